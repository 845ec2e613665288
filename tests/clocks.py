"""Moves the sale clock of an occurrence, for tests that cannot wait."""

from __future__ import annotations

from redis.asyncio import Redis

from engine.platform.valkey.connections import get
from engine.platform.valkey.packing import pack, unpack


async def put_clock_ahead(client: Redis, place: str, ms: int) -> None:
    """Set the sale clock so far ahead of the wall clock: as a pause backwards."""
    packed = await get(client, f"{place}:clock")
    assert packed is not None
    _, _, gated = unpack(packed)
    await client.set(f"{place}:clock", pack([0, -ms, gated]))
