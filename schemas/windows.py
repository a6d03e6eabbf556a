"""Windows of event time: the grid that both stages cut time with.

A window is half-open, `[start, end)` in UTC milliseconds. Fixed windows divide the UTC day. Local ones follow the
site's wall clock, so the day of a DST change has 23 or 25 hours. Boundaries are wall times resolved as the velocity
definition does: one that does not exist moves forward by the gap, one that exists twice is the first.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo, reset_tzpath

from schemas.records import Window

reset_tzpath(())  # zones from the pinned tzdata package, never from the host: a replay must cut time as before

DAY_MS = 86_400_000
_REMEMBERED_DAYS = 4_096  # bounds the memory of a grid whose events are of any year
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def local_instant(day: date, wall: time, zone: ZoneInfo) -> int:
    """UTC milliseconds of a wall time; in a gap it moves forward by the gap, in a fold the first is meant.

    `fold=0` reads a wall time in a gap with the offset before it, which is the move forward (PEP 495).
    """
    return (datetime.combine(day, wall, zone) - _EPOCH) // _MILLISECOND


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How a site's time is cut: `size_ms` for fixed windows, else `boundaries`, the wall times that start one."""

    text: str
    size_ms: int | None = None
    boundaries: tuple[time, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`PT1H` and the like, `local-day`, or `shifts:06:00,14:00,22:00`.

        Raises:
            ValueError: anything else, a size that does not divide a day, or shifts that do not ascend.
        """
        if text == "local-day":
            return cls(text, boundaries=(time(0),))
        if text.startswith("shifts:"):
            return cls(text, boundaries=_parse_shifts(text))
        return cls(text, size_ms=_parse_size(text))

    @property
    def longest_ms(self) -> int:
        """An upper bound on the length of a window: a local one may gain hours when clocks are put back."""
        return self.size_ms or DAY_MS + 7 * 3_600_000  # seven: Antarctica/Vostok in 1994


def _parse_size(text: str) -> int:
    found = _DURATION.fullmatch(text)
    size_ms = 0
    if found:
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        size_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000
    if not size_ms:
        raise ValueError(f"{text!r} is no window: use a duration such as PT1H, local-day, or shifts:06:00,14:00,22:00")
    if DAY_MS % size_ms:
        raise ValueError(f"a window of {text} does not divide a day, so windows would drift from one day to the next")
    return size_ms


def _parse_shifts(text: str) -> tuple[time, ...]:
    try:
        starts = tuple(time.fromisoformat(part) for part in text.removeprefix("shifts:").split(","))
    except ValueError as error:
        raise ValueError(f"{text!r}: a shift starts at a wall time such as 06:00") from error
    if list(starts) != sorted(set(starts)) or any(start.tzinfo for start in starts):
        raise ValueError(f"{text!r}: shifts must start at ascending wall times, each once")
    return starts


@dataclass(slots=True)
class WindowGrid:
    """The windows of one time zone. Remembers the local days it has seen, so a lookup is a bisection."""

    spec: WindowSpec
    zone: ZoneInfo
    _days: dict[date, list[int]] = field(default_factory=dict[date, list[int]], repr=False)

    def window_of(self, at_ms: int) -> Window:
        """The window that holds an instant."""
        if self.spec.size_ms:
            start = at_ms - at_ms % self.spec.size_ms
            return Window(start, start + self.spec.size_ms)
        day = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(self.zone).date()
        starts = self._starts_around(day)
        index = bisect_right(starts, at_ms)
        return Window(starts[index - 1], starts[index])

    def windows_between(self, start_ms: int, end_ms: int) -> list[Window]:
        """Every window that intersects `[start_ms, end_ms)`, ascending."""
        windows: list[Window] = []
        at_ms = start_ms
        while at_ms < end_ms:
            windows.append(self.window_of(at_ms))
            at_ms = windows[-1].end
        return windows

    def count_between(self, start_ms: int, end_ms: int) -> int:
        """How many windows intersect `[start_ms, end_ms)`. Of fixed ones any number is counted at once."""
        if not self.spec.size_ms:
            return len(self.windows_between(start_ms, end_ms))
        if end_ms <= start_ms:
            return 0
        return (end_ms - 1) // self.spec.size_ms - start_ms // self.spec.size_ms + 1

    def _starts_around(self, day: date) -> list[int]:
        """Starts of the windows of a day and of two days on either side; strictly ascending.

        Two, because the neighbour may not do: where clocks go back across midnight (America/St_Johns until 2011) the
        next day has begun already while it is once more this day, and Pacific/Apia skipped the whole of 2011-12-30.
        """
        starts = self._days.get(day)
        if starts is None:
            if len(self._days) >= _REMEMBERED_DAYS:
                self._days = {}  # not emptied: another thread may be reading it
            days = [day + timedelta(days=delta) for delta in range(-2, 3)]
            # Two boundaries inside one DST gap resolve to instants that may meet: an empty window is none.
            starts = sorted({local_instant(d, wall, self.zone) for d in days for wall in self.spec.boundaries})
            self._days[day] = starts
        return starts


class SiteZones:
    """Time zones of sites: those of the sites file, else the default."""

    def __init__(self, zones: dict[str, str], default: str = "UTC") -> None:
        """
        Raises:
            ZoneInfoNotFoundError: a name is not an IANA time zone.
        """
        self.names = dict(zones)
        self.default = default
        self._zones = {name: ZoneInfo(name) for name in {*zones.values(), default}}

    def zone_of(self, site_id: str) -> ZoneInfo:
        """The zone of a site."""
        return self._zones[self.names.get(site_id, self.default)]

    @property
    def all_zones(self) -> tuple[ZoneInfo, ...]:
        """Every distinct zone in use, the default among them, by name."""
        return tuple(self._zones[name] for name in sorted(self._zones))


class SiteWindows:
    """The grids of all sites under one spec."""

    def __init__(self, spec: WindowSpec, zones: SiteZones) -> None:
        self.spec = spec
        self.zones = zones
        # Fixed windows are the same everywhere: one grid serves all.
        distinct = (ZoneInfo("UTC"),) if spec.size_ms else zones.all_zones
        self.grids: dict[str, WindowGrid] = {zone.key: WindowGrid(spec, zone) for zone in distinct}

    def grid_of(self, site_id: str) -> WindowGrid:
        """The grid that cuts a site's time."""
        return self.grids["UTC"] if self.spec.size_ms else self.grids[self.zones.zone_of(site_id).key]

    def window_of(self, site_id: str, at_ms: int) -> Window:
        """The window of a site that holds an instant."""
        return self.grid_of(site_id).window_of(at_ms)

    def floors(self, at_ms: int) -> tuple[int, ...]:
        """Start of the window that holds `at_ms`, per grid: it changes when an instant crosses a window's end."""
        return tuple(grid.window_of(at_ms).start for grid in self.grids.values())
