"""``onsale verify-draw`` against a site that serves a known draw, right or wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from engine.app.cli import main
from engine.core.ids import new_id
from engine.queue.draw import public, verification
from engine.queue.draw.numbers import EMPTY, commitment, draw_key, leaf, number

OCCURRENCE = new_id()
BUYERS = [new_id() for _ in range(10)]
SEED = hashlib.sha256(b"the seed").digest()
GAVE_UP = 4


class Site:
    """What a site publishes; a test may change any of it."""

    def __init__(self) -> None:
        leaves = [leaf(OCCURRENCE, buyer) for buyer in BUYERS]
        leaves[GAVE_UP] = EMPTY
        self.roster = b"".join(leaves)
        self.draw: dict[str, Any] = {
            "commitment": commitment(SEED),
            "algorithm": "hmac-sha256 feistel-12",
            "drawn": True,
            "n": len(BUYERS),
            "digest": hashlib.sha256(self.roster).hexdigest(),
            "seed": SEED.hex(),
            "drawn_at": "2027-05-01T10:00:00.000Z",
        }
        self.asked: list[str] = []
        self.busy = 0
        self.url = ""

    def number_of(self, index: int) -> int:
        digest = hashlib.sha256(self.roster).digest()
        return number(draw_key(SEED, digest), len(BUYERS), index)

    async def answer_draw(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        return web.json_response(self.draw)

    async def answer_roster(self, request: web.Request) -> web.Response:
        if self.busy:
            self.busy -= 1
            return web.Response(status=429, headers={"Retry-After": "0"})
        self.asked.append(request.path_qs)
        start, count = int(request.query["start"]), int(request.query["count"])
        return web.Response(body=self.roster[16 * start : 16 * (start + count)])


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    app = web.Application()
    line = f"/v1/occurrences/{OCCURRENCE}/queue"
    app.router.add_get(f"{line}/draw", made.answer_draw)
    app.router.add_get(f"{line}/roster", made.answer_roster)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def onsale(*words: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, [str(word) for word in words])


async def verify(site: Site, *arguments: object, occurrence: str = OCCURRENCE) -> Result:
    return await onsale("verify-draw", occurrence, "--url", site.url, *arguments)


async def test_a_right_draw_is_right_and_tells_everybody_their_number(site: Site) -> None:
    result = await verify(site, "--commitment", commitment(SEED).upper())
    assert result.exit_code == 0, result.output
    assert result.output == (
        "The draw is right: 10 places; digest and seed agree with what was shown.\n"
    )
    told = set()
    for index in (0, 3, 9):
        result = await verify(site, "--buyer", BUYERS[index], "--index", index)
        assert result.exit_code == 0, result.output
        place = f"index {index} in the roster, and so number {site.number_of(index)} in line."
        assert result.output.splitlines()[1:] == [
            f"Buyer {BUYERS[index]} has {place}",
            f"There is {place}",
        ]
        told.add(site.number_of(index))
    assert len(told) == 3


async def test_the_roster_is_read_a_page_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public, "PAGE", 4)
    site.busy = 2  # and then asks again
    assert (await verify(site)).exit_code == 0
    pages = [path.partition("?")[2] for path in site.asked if "roster" in path]
    assert pages == ["start=0&count=4", "start=4&count=4", "start=8&count=2"]


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        ({"seed": "ab" * 32}, "SHA-256 of the seed is not the commitment"),
        ({"commitment": "ab" * 32}, "SHA-256 of the seed is not the commitment"),
        ({"seed": None}, "SHA-256 of the seed is not the commitment"),
        ({"digest": "ab" * 32}, "SHA-256 of the roster is not its digest"),
        ({"digest": None}, "SHA-256 of the roster is not its digest"),
        ({"n": 9}, "SHA-256 of the roster is not its digest"),
        ({"n": 11}, "The roster has 160 bytes, not 11 places of 16"),
    ],
)
async def test_what_does_not_agree_is_named(
    site: Site, draw: dict[str, Any], sentence: str
) -> None:
    site.draw |= draw
    result = await verify(site, "--index", 0)
    assert result.exit_code == 1
    assert result.output.startswith(f"WRONG: The {sentence.removeprefix('The ')}")
    assert "number" not in result.output  # no place is told of a draw that is wrong


async def test_a_changed_roster_is_found(site: Site) -> None:
    site.roster = leaf(OCCURRENCE, new_id()) + site.roster[16:]
    result = await verify(site)
    assert (result.exit_code, "not its digest" in result.output) == (1, True)


async def test_a_buyer_with_two_places_is_found(site: Site) -> None:
    site.roster = site.roster[16:32] + site.roster[16:]
    site.draw["digest"] = hashlib.sha256(site.roster).hexdigest()
    result = await verify(site)
    assert (result.exit_code, result.output) == (
        1,
        "WRONG: A buyer has two places in the roster.\n",
    )


async def test_a_commitment_that_was_exchanged_is_found(site: Site) -> None:
    noted = commitment(SEED)
    other = hashlib.sha256(b"a seed that suits us better").digest()
    site.draw |= {"seed": other.hex(), "commitment": commitment(other)}
    assert (await verify(site)).exit_code == 0  # who noted nothing cannot tell
    result = await verify(site, "--commitment", noted)
    assert (result.exit_code, "not the one that was noted" in result.output) == (1, True)


async def test_who_has_no_place_in_the_draw_is_told_so(site: Site) -> None:
    for buyer in (new_id(), BUYERS[GAVE_UP]):
        result = await verify(site, "--buyer", buyer)
        assert (result.exit_code, "has no place in this draw" in result.output) == (1, True)


async def test_before_the_draw_the_commitment_is_to_be_noted(site: Site) -> None:
    site.draw |= {"drawn": False, "seed": None, "digest": None, "n": None, "drawn_at": None}
    result = await verify(site)
    assert result.exit_code == 2
    assert f"The commitment is {commitment(SEED)}: note it" in result.output


async def test_a_draw_of_nobody_is_right(site: Site) -> None:
    site.draw |= {"n": 0, "digest": hashlib.sha256(b"").hexdigest()}
    assert (await verify(site)).exit_code == 0
    assert (await verify(site, "--index", 0)).exit_code == 2


@pytest.mark.parametrize("index", [-1, 10])
async def test_an_index_that_there_is_not_is_refused(site: Site, index: int) -> None:
    result = await verify(site, "--index", index)
    assert (result.exit_code, "none of the draw's 10 places" in result.output) == (2, True)


async def test_what_a_site_answers_is_bounded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.draw["n"] = verification.PLACES_MAX + 1
    result = await verify(site)
    assert (result.exit_code, "not a published draw" in result.output) == (2, True)
    site.draw["n"] = 10
    site.draw["algorithm"] = "x" * 20_000
    result = await verify(site)
    assert (result.exit_code, "more than 16,384 bytes" in result.output) == (2, True)
    site.draw["algorithm"] = ""
    monkeypatch.setattr(site, "roster", site.roster * 2)
    monkeypatch.setattr(public, "PAGE", 5)

    async def answer_all(request: web.Request) -> web.Response:
        return web.Response(body=site.roster)

    app = web.Application()
    app.router.add_get(f"/v1/occurrences/{OCCURRENCE}/queue/draw", site.answer_draw)
    app.router.add_get(f"/v1/occurrences/{OCCURRENCE}/queue/roster", answer_all)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    result = await verify(site)
    await runner.cleanup()
    assert (result.exit_code, "more than 80 bytes" in result.output) == (2, True)


async def test_a_site_that_is_away_busy_or_another_is_one_sentence(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = await verify(site, occurrence=new_id())
    assert (result.exit_code, "there is nothing at" in result.output) == (2, True)
    site.busy = 100
    result = await verify(site)
    assert (result.exit_code, "too busy" in result.output) == (2, True)
    site.url = "http://127.0.0.1:1"
    result = await verify(site)
    assert (result.exit_code, "127.0.0.1:1 cannot be read" in result.output) == (2, True)


async def test_it_works_from_files(site: Site, tmp_path: Path) -> None:
    document, roster = tmp_path / "draw.json", tmp_path / "roster.bin"
    document.write_text(json.dumps(site.draw))
    roster.write_bytes(site.roster)
    words = ["verify-draw", OCCURRENCE, "--draw", document, "--roster", roster]
    result = await onsale(*words, "--buyer", BUYERS[2])
    assert result.exit_code == 0, result.output
    assert f"number {site.number_of(2)} in line" in result.output
    roster.write_bytes(site.roster[:-1])
    assert (await onsale(*words)).exit_code == 1
    assert site.asked == []
    for wrong in (words[:-2], [*words, "--url", site.url], [*words, "--buyer", "ada"]):
        assert (await onsale(*wrong)).exit_code == 2
