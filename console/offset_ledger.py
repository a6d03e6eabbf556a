"""Every offset of one source partition, and what became of it: one byte each. Pure.

First everything that claims an offset is entered: batches, corrections, dead letters. Then the offsets that the source
delivers are held against the ledger: those that nobody claims must be the ones in open windows, and a claimed one that
is never delivered does not exist.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from console.evidence import Offsets
from schemas.offsets import offsets_hash, subtract_hashes

_DELIVERED = 0x80


class Claim(IntEnum):
    """Where an offset is."""

    NOWHERE = 0
    BATCH = 1
    CORRECTION = 2
    DEAD_LETTER = 3


class OffsetLedger:
    """Offsets `[base, end)` of one source partition."""

    def __init__(self, base: int, end: int) -> None:
        self.base, self.end = base, max(base, end)
        self._claims = np.zeros(self.end - self.base, np.uint8)

    def enter(self, offsets: Offsets, claim: Claim) -> tuple[Offsets, Offsets]:
        """Claim offsets, distinct, shape (n,). The first claim stays.

        Returns:
            Those that were claimed before, and those out of bounds, both ascending.
        """
        inside = offsets[(offsets >= self.base) & (offsets < self.end)]
        free = self._claims[inside - self.base] == Claim.NOWHERE
        self._claims[inside[free] - self.base] = claim
        twice = np.sort(inside[~free])
        return twice, np.sort(offsets[(offsets < self.base) | (offsets >= self.end)])

    def deliver(self, offsets: Offsets) -> Offsets:
        """Note that the source delivers these, all within bounds; returns those that nobody claims."""
        places = offsets - self.base
        unclaimed = offsets[self._claims[places] == Claim.NOWHERE]
        self._claims[places] |= _DELIVERED
        return unclaimed

    def never_delivered(self, log_start: int) -> Offsets:
        """Claimed offsets from `log_start` on that the source did not deliver."""
        first = max(0, log_start - self.base)
        claims = self._claims[first:]
        return np.flatnonzero((claims != Claim.NOWHERE) & (claims < _DELIVERED)) + self.base + first

    def claimed(self, claim: Claim) -> int:
        """How many offsets are claimed so."""
        return int(np.count_nonzero((self._claims & ~np.uint8(_DELIVERED)) == claim))


def outside(offsets: Offsets, ranges: Sequence[tuple[int, int]]) -> Offsets:
    """Those of ascending offsets that lie in none of the ranges; both bounds of a range are inclusive."""
    kept = np.ones(len(offsets), np.bool_)
    for first, last in ranges:
        kept[np.searchsorted(offsets, first) : np.searchsorted(offsets, last, side="right")] = False
    return offsets[kept]


def odd_one_out(offsets: Offsets, expected_hash: int) -> int | None:
    """The one offset without which the others have the expected hash; None if there is none."""
    surplus = subtract_hashes(offsets_hash(offsets), expected_hash)
    found = [int(offset) for offset in offsets if offsets_hash(np.array([offset], np.int64)) == surplus]
    return found[0] if len(found) == 1 else None
