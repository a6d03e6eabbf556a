"""Where a fact id may have come before: from its key hash to ranges of batches, in memory, however long the history.

    bucket: | slot | slot | slot | slot | slot | slot | slot | slot |, taken one after the other
    slot:   | 22 bits of the hash | 10 bits: a segment of batches, from 1; 0 is a free slot |

The bucket of an entry is given by other bits of the hash, and lies within one line of the CPU's cache; where it is
full, the entry is in the next one that was not. Nothing is ever removed, so a search ends at a bucket whose last slot
is free. Whoever looks up a hash passes every entry that has it, and now and then a stranger with the same bits: what
is found is a suspicion, to be checked against the facts. What is not found has never come. So a transaction may be
rolled back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batcher.row_hash import Hashes

Numbers = npt.NDArray[np.int64]
Entries = npt.NDArray[np.uint32]

SEGMENT_BITS = 10
FILL = 0.7  # of the slots at most: beyond that, too many buckets are full
_SEGMENTS = (1 << SEGMENT_BITS) - 1
_SMALLEST = 1 << 14
_SLOT_BYTES = 4
_BUCKET = 8  # slots; which of them are taken is then a word of bytes
_LINE_BYTES = 64  # of a cache; no bucket lies in two lines
_TOGETHER = 1 << 16  # hashes


class TableFull(Exception):
    """So many hashes, or so many batches, are more than the table has room for."""


@dataclass(frozen=True, slots=True)
class Span:
    """Batches `[first, last]`, both inclusive, and which of the hashes that were looked up may be in there."""

    first: int
    last: int
    rows: Numbers


class KeyTable:
    """Room for `capacity` hashes of batches up to number `last_batch_no`."""

    def __init__(self, capacity: int, last_batch_no: int) -> None:
        slots = max(_SMALLEST, 1 << (int(capacity / FILL) - 1).bit_length())
        self._slots = _zeros(slots)
        self._buckets = self._slots.reshape(-1, _BUCKET)
        self._shift = np.uint64(64 - (len(self._buckets).bit_length() - 1))
        self._batch_shift = max(0, (last_batch_no // _SEGMENTS).bit_length())
        self._left = int(slots * FILL)

    @staticmethod
    def capacity_within(size: int) -> int:
        """The largest capacity that takes up to `size` bytes, or that of the smallest table."""
        return int(FILL * max(_SMALLEST, 1 << max(0, (size // _SLOT_BYTES).bit_length() - 1)))

    def add(self, hashes: Hashes, batch_nos: Numbers) -> None:
        """Enter hashes, each with the number of its batch; both of shape (n,).

        Raises:
            TableFull: none was entered.
        """
        segments = self._segments(batch_nos)
        if len(hashes) > self._left or int(segments.max(initial=0)) > _SEGMENTS:
            raise TableFull
        self._left -= len(hashes)
        buckets, entries = self._home(hashes), _marks(hashes) | segments.astype(np.uint32)
        while len(buckets):  # those that wait go on together: they are few, and those that wait again are fewer
            waiting = [self._enter(buckets[part], entries[part], part.start) for part in _parts(len(buckets))]
            rows, following = (np.concatenate(column) for column in zip(*waiting, strict=True))
            buckets, entries = following, entries[rows]

    def _enter(self, buckets: Numbers, entries: Entries, first_row: int) -> tuple[Numbers, Numbers]:
        """Put entries into the next free slots of their buckets; rows that have none yet, and where they try next."""
        is_taken = self._buckets.take(buckets, axis=0) != 0
        taken = np.bitwise_count(is_taken.view(np.uint64)).ravel().astype(np.int64)
        rows = np.flatnonzero(taken < _BUCKET)
        slots = (buckets * _BUCKET + taken)[rows]
        self._slots[slots] = entries[rows]  # of several for one slot, one gets it
        is_in = np.zeros(len(buckets), np.bool_)
        is_in[rows] = self._slots[slots] == entries[rows]
        waiting = np.flatnonzero(~is_in)
        return waiting + first_row, self._after(buckets[waiting], taken[waiting] == _BUCKET)

    def look_up(self, hashes: Hashes) -> list[Span]:
        """Where the hashes, shape (n,), may have come before; spans ascend and do not meet."""
        rows, buckets, marks = np.arange(len(hashes)), self._home(hashes), _marks(hashes)
        suspects, segments = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        while len(rows):  # those whose buckets are full go on together
            full = [rows[:0]]
            for part in _parts(len(rows)):
                found = self._buckets.take(buckets[part], axis=0)
                hits = np.flatnonzero((found ^ marks[part, None]) <= _SEGMENTS)
                hits = hits[found.ravel()[hits] != 0]
                suspects.append(rows[part.start + hits // _BUCKET])
                segments.append((found.ravel()[hits] & np.uint32(_SEGMENTS)).astype(np.int64))
                full.append(part.start + np.flatnonzero(found[:, -1]))
            further = np.concatenate(full)
            rows, buckets, marks = rows[further], self._after(buckets[further]), marks[further]
        return list(self._spans(np.concatenate(suspects), np.concatenate(segments)))

    def _spans(self, suspects: Numbers, segments: Numbers) -> Iterator[Span]:
        """Suspects by the segments that they may be in, neighbouring segments together."""
        distinct = np.unique(segments)
        for run in np.split(distinct, np.flatnonzero(np.diff(distinct) > 1) + 1) if len(distinct) else ():
            within = (segments >= run[0]) & (segments <= run[-1])
            first, last = (int(run[0]) - 1) << self._batch_shift, (int(run[-1]) << self._batch_shift) - 1
            yield Span(first, last, np.unique(suspects[within]))

    def _segments(self, batch_nos: Numbers) -> Numbers:
        return (batch_nos >> self._batch_shift) + 1

    def _home(self, hashes: Hashes) -> Numbers:
        """The bucket that each hash has its entry in, if there is room."""
        return (hashes >> self._shift).astype(np.int64)

    def _after(self, buckets: Numbers, steps: npt.NDArray[np.bool_] | int = 1) -> Numbers:
        return (buckets + steps) & (len(self._buckets) - 1)


def _parts(size: int) -> Iterator[slice]:
    """Rows, so many at a time that what is worked out about them fits into the CPU's caches."""
    for begin in range(0, size, _TOGETHER):
        yield slice(begin, begin + _TOGETHER)


def _zeros(slots: int) -> Entries:
    """So many free slots, from the beginning of a line of the CPU's cache on."""
    room = np.zeros(slots * _SLOT_BYTES + _LINE_BYTES, np.uint8)
    begin = -room.ctypes.data % _LINE_BYTES
    return room[begin : begin + slots * _SLOT_BYTES].view(np.uint32)


def _marks(hashes: Hashes) -> Entries:
    """The lowest 22 bits of each hash, where an entry has them."""
    return (hashes << np.uint64(SEGMENT_BITS)).astype(np.uint32)
