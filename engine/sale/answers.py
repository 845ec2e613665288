"""Orders in the scripts' answers."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.platform.valkey.codes import Code
from engine.sale.documents import Order
from engine.sale.failures import raise_failure
from engine.sale.inventory.occurrences import Published

decode = msgspec.msgpack.Decoder(Order).decode


def decode_order(published: Published, answer: list[Any]) -> Order:
    """Return the order of an answer. Raises the error that the answer stands for."""
    if answer[0] != Code.OK:
        raise_failure(published, answer)
    return decode(answer[1])
