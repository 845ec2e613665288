from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.ids import is_id, new_id, order_number, order_sequence, ticket_number


def test_an_id_is_a_uuid_of_version_7_and_later_ones_sort_later() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    for text in ids:
        found = uuid.UUID(text)
        assert (found.version, found.variant) == (7, uuid.RFC_4122)
        assert is_id(text)
    times = [text[:12] for text in ids]
    assert times == sorted(times)


def test_a_forked_process_makes_ids_of_its_own() -> None:
    new_id()  # so that there are bytes left that both could take
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(new_id()[12:].encode() for _ in range(50)))
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(reading, 65_536).decode()
    os.close(reading)
    os.close(writing)
    theirs = {told[at : at + 20] for at in range(0, len(told), 20)}
    ours = {new_id()[12:] for _ in range(300)}
    assert len(theirs) == 50
    assert not theirs & ours


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "0" * 32 + "\n"])
def test_what_is_no_id_is_told(text: str) -> None:
    assert not is_id(text)


@given(st.integers(0, 15), st.integers(1, 2**26 - 1))
def test_an_order_number_can_be_read_back(shard: int, sequence: int) -> None:
    number = order_number(shard, sequence, 1_795_000_000_000)
    assert number.startswith("ONS-20261118-")
    assert len(number) == 19
    assert order_sequence(number) == (shard, sequence)


def test_numbers_are_unique_and_tell_no_count() -> None:
    numbers = [order_number(s, n, 0) for s in range(16) for n in range(1, 2_000)]
    assert len(set(numbers)) == len(numbers)
    tickets = [ticket_number(3, n, i) for n in range(1, 500) for i in range(20)]
    assert len(set(tickets)) == len(tickets)
    neighbours = [number[-6:] for number in numbers[:50]]
    assert neighbours != sorted(neighbours)


@pytest.mark.parametrize("sequence", [0, -1, 2**26])
def test_order_sequences_out_of_range_are_refused(sequence: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        order_number(0, sequence, 0)


@pytest.mark.parametrize("index", [-1, 1024])
def test_ticket_indexes_out_of_range_are_refused(index: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        ticket_number(0, 1, index)
