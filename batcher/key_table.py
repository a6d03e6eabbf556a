"""Where a fact id may have come before: from its key hash to ranges of batches, in memory, however long the history.

    slot: | 20 bits of the hash | 12 bits: a segment of batches, from 1; 0 is a free slot |

The place of an entry is given by other bits of the hash; where that is taken, the next free one behind it. Whoever
looks up a hash passes every entry that has it, and now and then a stranger with the same bits: what is found is a
suspicion, to be checked against the facts. What is not found has never come. So a transaction may be rolled back.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from batcher.row_hash import Hashes

Numbers = npt.NDArray[np.int64]

SEGMENT_BITS = 12
FILL = 0.7  # of the slots at most: beyond that, the way to the next free one grows long
_SEGMENTS = (1 << SEGMENT_BITS) - 1
_SMALLEST = 1 << 14
_SLOT_BYTES = 4


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
        self._slots = np.zeros(slots, np.uint32)
        self._shift = np.uint64(64 - (slots.bit_length() - 1))
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
        places, entries = self._places(hashes), _marks(hashes) | segments.astype(np.uint32)
        while len(places):
            found = self._slots[places]
            free = found == 0
            self._slots[places[free]] = entries[free]  # of several for one slot, one gets it
            left = self._slots[places] != entries
            places, entries = self._next(places[left]), entries[left]

    def look_up(self, hashes: Hashes) -> list[Span]:
        """Where the hashes, shape (n,), may have come before; spans ascend and do not meet."""
        rows, places, marks = np.arange(len(hashes)), self._places(hashes), _marks(hashes)
        suspects, segments = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        while len(rows):
            entries = self._slots[places]
            hits = (entries != 0) & (entries >> np.uint32(SEGMENT_BITS) == marks >> np.uint32(SEGMENT_BITS))
            suspects.append(rows[hits])
            segments.append((entries[hits] & np.uint32(_SEGMENTS)).astype(np.int64))
            taken = entries != 0
            rows, places, marks = rows[taken], self._next(places[taken]), marks[taken]
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

    def _places(self, hashes: Hashes) -> Numbers:
        return (hashes >> self._shift).astype(np.int64)

    def _next(self, places: Numbers) -> Numbers:
        return (places + 1) & (len(self._slots) - 1)


def _marks(hashes: Hashes) -> npt.NDArray[np.uint32]:
    """The lowest 20 bits of each hash, where an entry has them."""
    return (hashes << np.uint64(SEGMENT_BITS)).astype(np.uint32)
