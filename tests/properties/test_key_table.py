"""What was entered is found, in whatever bucket it had to go: the id of a fact that is not found counts twice."""

from collections.abc import Iterator
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher import key_table
from batcher.key_table import KeyTable

SLOTS = 32  # four buckets: most of them are full, and the last one goes on in the first
ROOM = 22
_LAST_BATCH = 5_000

_hashes = (
    st.integers(0, (1 << 64) - 1)
    | st.integers(0, 9).map(lambda low: (1 << 64) - 1 - low)  # of the last bucket
    | st.sampled_from([0, 1 << 40, 3 << 62, 1 << 63])  # whose lowest bits, those in a slot, are none
)
_entries = st.lists(st.tuples(_hashes, st.integers(1, _LAST_BATCH)), max_size=ROOM)


@pytest.fixture(autouse=True, scope="module")
def small_tables() -> Iterator[None]:
    with patch.object(key_table, "_SMALLEST", SLOTS):
        yield


@given(_entries, st.lists(st.integers(1, 9), max_size=4), st.integers(1, 8))
def test_what_was_entered_is_found_in_its_batch(
    entries: list[tuple[int, int]], sizes: list[int], together: int
) -> None:
    """The same hash once or often, at once or one after the other, up to the last one that there is room for."""
    table = KeyTable(1, _LAST_BATCH)
    hashes = np.array([hashed for hashed, _ in entries], np.uint64)
    batch_nos = np.array([batch_no for _, batch_no in entries], np.int64)
    cuts = np.cumsum(np.array(sizes, np.int64))
    with patch.object(key_table, "_TOGETHER", together):
        for some, of_batches in zip(np.split(hashes, cuts), np.split(batch_nos, cuts), strict=True):
            table.add(some, of_batches)
        spans = table.look_up(hashes)
    found = np.zeros(len(hashes), np.bool_)
    for span in spans:
        found[span.rows] |= (span.first <= batch_nos[span.rows]) & (batch_nos[span.rows] <= span.last)
    assert found.all()
    assert all(before.last < after.first for before, after in pairwise(spans))


@given(_entries, st.lists(_hashes, max_size=30))
def test_what_has_other_bits_is_no_suspect(entries: list[tuple[int, int]], strangers: list[int]) -> None:
    """A hash is suspected only where one was entered that has its lowest bits."""
    table = KeyTable(1, _LAST_BATCH)
    table.add(np.array([hashed for hashed, _ in entries], np.uint64), np.array([no for _, no in entries], np.int64))
    bits = (1 << (32 - key_table.SEGMENT_BITS)) - 1
    marks = {hashed & bits for hashed, _ in entries}
    suspects = {row for span in table.look_up(np.array(strangers, np.uint64)) for row in span.rows.tolist()}
    assert all(strangers[row] & bits in marks for row in suspects)
