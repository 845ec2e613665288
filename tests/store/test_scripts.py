from __future__ import annotations

import pytest
from redis.asyncio import Redis

from engine.platform.valkey import scripts
from engine.platform.valkey.errors import StoreUnavailableError
from engine.platform.valkey.scripts import SCRIPTS, Script
from tests.store.conftest import House


@pytest.mark.parametrize("name", SCRIPTS)
async def test_the_server_takes_every_script(redis_client: Redis, name: str) -> None:
    # among other things, a function of Lua has 200 local variables at most, constants included
    assert await redis_client.script_load(SCRIPTS[name].text) in {
        SCRIPTS[name].sha,
        SCRIPTS[name].sha.encode(),
    }


def test_constants_that_nobody_uses_are_left_out() -> None:
    text = scripts._without_unused("local ONE = 1\nlocal TWO = 2 -- of ONE\nreturn TWO + ONES\n")
    assert text == "local ONE = 1\nlocal TWO = 2 -- of ONE\nreturn TWO + ONES\n"
    assert scripts._without_unused("local ONE = 1\nlocal TWO = 2\nreturn TWO\n") == (
        "local TWO = 2\nreturn TWO\n"
    )


async def test_a_script_that_cannot_be_loaded_says_why(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(SCRIPTS, "read", Script("read", "no Lua at all", "0" * 40))
    with pytest.raises(StoreUnavailableError):
        await house.commands.read(house.place, "o", "0" * 32)
    assert "Error compiling script" in caplog.text
