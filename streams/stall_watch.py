"""Fetches that went missing on the way and are followed by none. Pure: `now` is passed in, in seconds.

A fetch that is lost shows with the next one of its partition, which continues from too far. Where no next one comes, it
shows here: the lane has read beyond the position, nothing is in hand, and the position has not moved for `STALL_S`.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

STALL_S = 15.0


@dataclass(slots=True)
class StallWatch:
    """Remembers since when each partition has been behind what was read of it."""

    _behind: dict[Hashable, tuple[int, float]] = field(default_factory=dict[Hashable, tuple[int, float]])

    def stalled(self, partition: Hashable, reached: int | None, position: int, now: float, *, busy: bool) -> bool:
        """Whether to read again from `position`; `reached` is up to where the lane has read, None if it does not."""
        if reached is None or reached <= position or busy:
            self._behind.pop(partition, None)
            return False
        seen, since = self._behind.setdefault(partition, (position, now))
        if seen != position:
            self._behind[partition] = (position, now)
            return False
        if now - since <= STALL_S:
            return False
        del self._behind[partition]
        return True
