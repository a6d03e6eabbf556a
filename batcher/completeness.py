"""Which windows of a site are complete, from what the source partitions say of themselves. Pure.

1. A source partition has *passed* an instant for a site when its frontier F is there, or when it is idle and holds no
   open window of the site that starts before the instant.
2. What a frontier record says counts once the site's manifests that it announced have been taken: only then are the
   facts here. Until then the record before it counts. Idleness ends when the next event comes, so only the newest
   record can say it.
3. A site has been passed up to the least instant that any partition has passed. A partition that has never written a
   record has passed nothing.
4. Idle partitions say that nothing is open, not how late it is: no site is passed beyond the furthest F that any
   partition has.
5. Completeness never regresses. A site is complete *until* one instant, which only grows: its complete windows are all
   that end by then, also those into which an idle partition puts events after all. Those events are corrections to
   what was complete; docs/decisions/0014-complete-until.md says why.
6. A site has no complete window before that of its first fact is: there is nothing to calculate until then.

Times are UTC milliseconds; windows are half-open.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.records import Frontier, OpenWindow, Window
from schemas.windows import SiteWindows, WindowGrid

_UNBOUNDED = 2**63 - 1
_KEPT_RECORDS = 32  # per source partition, of those whose manifests have not been taken


@dataclass(frozen=True, slots=True)
class Place:
    """A site as the batches topic has it: its partition, and the first offset there that it has not taken."""

    site_id: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What of a frontier record completeness rests on.

    `first_open` holds the start of each site's first open window, `announced` the offset of the last manifest by
    partition of the batches topic.
    """

    frontier: int | None
    idle: bool
    first_open: Mapping[str, int]
    announced: Mapping[int, int]

    @classmethod
    def of(cls, record: Frontier) -> "Passage":
        """What a record says."""
        first_open: dict[str, int] = {}
        for window in record.open_windows:
            first_open[window.site_id] = min(window.start, first_open.get(window.site_id, window.start))
        return cls(record.frontier, record.idle, first_open, dict(record.manifests))

    def taken_by(self, place: Place) -> bool:
        """Whether the site has taken all manifests that were announced up to this record."""
        return self.announced.get(place.partition, -1) < place.next_offset

    def taken(self, next_offsets: Mapping[int, int]) -> bool:
        """Whether all these partitions of the batches topic have been taken up to this record."""
        return all(self.announced.get(partition, -1) < offset for partition, offset in next_offsets.items())

    def held_back_at(self, site_id: str) -> int | None:
        """Up to where an idle partition has passed for a site; None if it is not idle."""
        return self.first_open.get(site_id, _UNBOUNDED) if self.idle else None


class PassageBoard:
    """The records of every source partition (`topic/partition`), oldest first, as far as they are still of use."""

    def __init__(self) -> None:
        self._records: dict[str, list[Passage]] = {}

    def put(self, key: str, passage: Passage) -> None:
        """A partition's newest record. Leaving out older ones only delays completeness, so their number is bounded."""
        records = self._records.setdefault(key, [])
        if len(records) >= _KEPT_RECORDS:
            del records[1::2]
        records.append(passage)

    def remove(self, key: str) -> None:
        """A partition is no more."""
        self._records.pop(key, None)

    def forget_older(self, next_offsets: Mapping[int, int]) -> None:
        """Drop records that newer ones replace for everybody, given the first offset not taken per partition."""
        for records in self._records.values():
            newest = next((i for i in reversed(range(len(records))) if records[i].taken(next_offsets)), 0)
            del records[:newest]

    def passed(self, place: Place, partitions: Iterable[str]) -> int | None:
        """Up to when all these source partitions have passed for a site; None if one has passed nothing."""
        counting = [(key, self._counting(key, place)) for key in partitions]
        furthest = max((p.frontier for _, p in counting if p and p.frontier is not None), default=None)
        limits = [self._limit(key, passage, place) for key, passage in counting]
        reached = [limit for limit in limits if limit is not None]
        if furthest is None or len(reached) < len(limits):
            return None
        return min(furthest, *reached)

    def _counting(self, key: str, place: Place) -> Passage | None:
        """The newest record that the site has taken the manifests of."""
        return next((p for p in reversed(self._records.get(key, [])) if p.taken_by(place)), None)

    def _limit(self, key: str, counting: Passage | None, place: Place) -> int | None:
        if counting is None:
            return None
        is_newest = counting is self._records[key][-1]
        idle_until = counting.held_back_at(place.site_id) if is_newest else None
        known = [limit for limit in (counting.frontier, idle_until) if limit is not None]
        return max(known, default=None)


def cut_otherwise(windows: SiteWindows, record: Frontier) -> OpenWindow | None:
    """An open window of a source partition that is none by these `windows`; None if there is none."""
    return next(
        (w for w in record.open_windows if windows.window_of(w.site_id, w.start) != Window(w.start, w.end)),
        None,
    )


def first_open(records: Iterable[Frontier], as_of_ms: int) -> dict[str, tuple[str, OpenWindow]]:
    """Per site its first open window that starts before an instant, and the source partition that holds it."""
    found: dict[str, tuple[str, OpenWindow]] = {}
    for record in records:
        for window in record.open_windows:
            known = found.get(window.site_id)
            if window.start < as_of_ms and (known is None or window.start < known[1].start):
                found[window.site_id] = record.key, window
    return found


def complete_until(grid: WindowGrid, first_fact_ms: int, passed_ms: int) -> int | None:
    """End of the last window that ends by `passed_ms`; None while not even the one of the first fact does."""
    end_ms = grid.window_of(passed_ms).start
    return end_ms if end_ms > first_fact_ms else None


def first_incomplete(grid: WindowGrid, first_fact_ms: int, as_of_ms: int, until_ms: int | None) -> Window | None:
    """The first window that starts before `as_of_ms` and is not complete; None if `as_of_ms` is complete.

    Of a site without a complete window, that is the one of its first fact, or an earlier one that holds `as_of_ms`.
    """
    if until_ms is None:
        return grid.window_of(min(first_fact_ms, as_of_ms - 1))
    return None if as_of_ms <= until_ms else grid.window_of(until_ms)
