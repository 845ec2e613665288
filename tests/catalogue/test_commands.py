from __future__ import annotations

import json
import re
from pathlib import Path

import psycopg
import pytest
import redis
from click.testing import CliRunner, Result

from engine.app.cli import main
from engine.core.settings import Settings
from tests.catalogue.documents import DEMO, HALL, edited, event, written


@pytest.fixture
def running(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The command line finds the test's servers in the environment; Redis is empty."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("REDIS_URL", settings.redis_url)
    with redis.Redis.from_url(settings.redis_url) as client:
        client.flushall()
    return settings


def _onsale(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(item) for item in arguments])


def test_the_demo_is_loaded_published_and_exported_equal(running: Settings, tmp_path: Path) -> None:
    first = _onsale("load", DEMO)
    assert first.exit_code == 0, first.output
    assert "1,252 seats" in first.output
    assert "Next: onsale publish demo-match\n" in first.output
    occurrence = re.search(r"evening: ([0-9a-f]{32}) \(draft\)", first.output)
    assert occurrence is not None
    assert "unchanged" in _onsale("load", DEMO).output
    published = _onsale("publish", "demo-match")
    assert published.exit_code == 0, published.output
    assert "1,252 seats and 248 standing" in published.output
    assert f"/v1/occurrences/{occurrence[1]}" in published.output
    assert "unchanged" in _onsale("publish", occurrence[1]).output
    out = tmp_path / "plan.json"
    assert _onsale("export", "riethsporthalle", "-o", out).exit_code == 0
    assert json.loads(out.read_bytes()) == json.loads(HALL.read_bytes())
    printed = _onsale("export", "erfurt-handball/riethsporthalle")
    assert json.loads(printed.stdout) == json.loads(HALL.read_bytes())


def test_a_stadium_is_loaded_and_published(running: Settings) -> None:
    loaded = _onsale(
        "load", "--stadium", 500, "--slug", "bowl", "--occurrences", 2, "--general", 30
    )
    assert loaded.exit_code == 0, loaded.output
    assert "500 seats" in loaded.output
    assert "Next: onsale publish bowl --all" in loaded.output
    refused = _onsale("publish", "bowl")
    assert refused.exit_code == 2
    assert "has 2 occurrences: name one by its id, or give --all" in refused.output
    published = _onsale("publish", "bowl", "--all")
    assert published.output.count("published with 500 seats and 30 standing") == 2


def test_a_broken_file_is_refused_with_every_mistake_and_nothing_is_loaded(
    running: Settings, tmp_path: Path
) -> None:
    document = edited(edited(event(), "ticket_types.2.price", 12.5), "event.currency", "EURO")
    result = _onsale("load", written(tmp_path, document))
    assert result.exit_code == 2
    assert "2 mistakes; nothing was loaded" in result.output
    assert "ticket_types[2].price: must be a decimal in quotes" in result.output
    assert "event.currency: 'EURO' is not a currency (ISO 4217) (did you mean \"EUR\"?)" in (
        result.output
    )
    with psycopg.connect(running.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM organizations").fetchone() == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("load",), "give --stadium"),
        (("load", DEMO, "--stadium", 5), "give --stadium"),
        (("load", "none.yaml"), "there is no none.yaml"),
        (("load", "--stadium", 0), "from 1 to 150,000"),
        (("publish", "nothing"), "there is no event or occurrence nothing"),
        (("publish", "0" * 32), "there is no occurrence"),
        (("export", "nowhere"), "there is no venue nowhere"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    running: Settings, arguments: tuple[object, ...], message: str
) -> None:
    result = _onsale(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_venue_slug_of_two_organizations_must_be_told_apart(
    running: Settings, tmp_path: Path
) -> None:
    for slug in ("players", "singers"):
        document = edited(event(), "organization.slug", slug)
        document = edited(document, "event.slug", slug)
        assert _onsale("load", written(tmp_path, document)).exit_code == 0
    result = _onsale("export", "small-hall")
    assert result.exit_code == 2
    assert "players/small-hall, singers/small-hall" in result.output
    assert _onsale("export", "singers/small-hall").exit_code == 0


def test_a_database_without_tables_says_migrate(
    running: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
    result = _onsale("load", DEMO)
    assert result.exit_code == 2
    assert "run `onsale migrate`" in result.output
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/onsale")
    assert "127.0.0.1:1 does not answer" in _onsale("load", DEMO).output
