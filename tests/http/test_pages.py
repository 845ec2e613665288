"""Pages for people: what is sent, for how long it may be kept, what may run on it."""

from __future__ import annotations

import gzip
import hashlib
import re

import aiohttp
import pytest

from engine.core.ids import new_id
from engine.platform.http.assets import PAGES
from tests.http.running import Edge

ADDRESS = re.compile(r"/assets/[a-z0-9.-]+\.[0-9a-f]{16}\.(?:js|css)")
VENDORED = PAGES / "altcha"
ROW = re.compile(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", re.MULTILINE)


async def page_of(edge: Edge) -> str:
    answer = await edge.call("GET", f"/wait/{edge.snapshot.occurrence}")
    assert answer.status == 200
    return answer.raw.decode()


async def test_the_waiting_page_runs_only_files_of_its_own(edge: Edge) -> None:
    answer = await edge.call("GET", f"/wait/{new_id()}")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "max-age=30" in answer.headers["Cache-Control"]
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["worker-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    page = answer.raw.decode()
    assert "://" not in page
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page)


async def test_every_file_is_found_under_an_address_of_its_content(edge: Edge) -> None:
    found, waiting = set(), {match[0] for match in ADDRESS.finditer(await page_of(edge))}
    while waiting:
        address = waiting.pop()
        found.add(address)
        answer = await edge.call("GET", address)
        assert answer.status == 200, address
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        kind = "text/css" if address.endswith(".css") else "text/javascript"
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert hashlib.sha256(answer.raw).hexdigest()[:16] in address
        waiting |= {match[0] for match in ADDRESS.finditer(answer.raw.decode())} - found
        assert not re.search(r"/assets/[a-z-]+\.(?:js|css)", answer.raw.decode()), address
    assert len(found) == 11


async def test_files_are_compressed_for_those_who_take_it(edge: Edge) -> None:
    address = next(match[0] for match in ADDRESS.finditer(await page_of(edge)))
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(edge.url + address, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert response.headers["Vary"] == "Accept-Encoding"
            packed = await response.read()
        plain = {"Accept-Encoding": "identity"}
        async with session.get(edge.url + address, headers=plain) as response:
            assert "Content-Encoding" not in response.headers
            assert gzip.decompress(packed) == await response.read()


@pytest.mark.parametrize(
    "path",
    [
        "/assets/wait.0000000000000000.js",
        "/assets/wait.js",
        "/assets/../pages/wait/wait.js",
        "/assets/%2e%2e%2fapp.py",
        "/wait/",
        "/wait/abc",
    ],
)
async def test_what_is_no_file_is_404(edge: Edge, path: str) -> None:
    answer = await edge.call("GET", path)
    assert (answer.status, answer.code) == (404, "path_unknown")


def test_the_widget_is_as_it_was_published() -> None:
    recorded = dict(ROW.findall((VENDORED / "README.md").read_text()))
    assert set(recorded) == {path.name for path in VENDORED.iterdir()} - {"README.md"}
    for name, digest in recorded.items():
        assert hashlib.sha256((VENDORED / name).read_bytes()).hexdigest() == digest, name
