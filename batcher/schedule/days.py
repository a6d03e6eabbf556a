"""The schedule day by day, as a person looks at it. Pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from batcher.schedule.calendar import Blackout, Calendar
from schemas.wall_spans import ONE_DAY, Interval, day_exists, whole_day
from schemas.windows import local_instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS = 60_000
OPEN, CLOSED, LEFT_OUT = "open", "closed", "left out"  # of a cell, beside kinds of blackouts


@dataclass(frozen=True, slots=True)
class ClockChange:
    """At `at_ms` clocks that would show `before` show `after`."""

    at_ms: int
    before: time
    after: time


@dataclass(frozen=True, slots=True)
class Day:
    """A local day of a site: its instants, its night's off-peak window, and what of it is open or blacked out.

    A window that reaches into the next day is given whole, the rest as far as it lies within the day.
    """

    day: date
    zone: ZoneInfo
    bounds: Interval
    off_peak: Interval
    open: list[Interval]
    blackouts: list[Blackout]
    clock_changes: list[ClockChange]

    def cells(self, minutes: int) -> list[str]:
        """What each stretch of so many minutes of wall time holds: a kind of blackout, else `open`, else `closed`.

        `left out` is one that clocks jump over; one that comes twice holds what either of the two does.
        """
        return [self._cell(start_min, minutes) for start_min in range(0, 24 * 60, minutes)]

    def _cell(self, start_min: int, minutes: int) -> str:
        wall = datetime.combine(self.day, time(start_min // 60, start_min % 60), self.zone)
        starts = {_milliseconds(wall.replace(fold=fold)) for fold in (0, 1)}
        parts = [(s, s + minutes * _MINUTE_MS) for s in starts if _wall(s, self.zone) == wall.replace(tzinfo=None)]
        if not parts:
            return LEFT_OUT
        for blackout in self.blackouts:
            if any(_meet((blackout.start_ms, blackout.end_ms), part) for part in parts):
                return blackout.kind
        return OPEN if any(_meet(one, part) for one in self.open for part in parts) else CLOSED


def days_of(calendar: Calendar, site_id: str, first: date, count: int) -> list[Day]:
    """So many days of a site from `first` on; one that its zone left out is none."""
    zone = calendar.zone_of(site_id)
    days = [first + number * ONE_DAY for number in range(count)]
    return [_day(calendar, site_id, day, zone) for day in days if day_exists(day, zone)]


def _day(calendar: Calendar, site_id: str, day: date, zone: ZoneInfo) -> Day:
    bounds = local_instant(day, time(0), zone), local_instant(day + ONE_DAY, time(0), zone)
    around = calendar.around(site_id, day)
    return Day(
        day,
        zone,
        bounds,
        calendar.off_peak_window(site_id, day),
        [(max(one[0], bounds[0]), min(one[1], bounds[1])) for one in around.open if _meet(one, bounds)],
        [one for one in around.blackouts if _meet((one.start_ms, one.end_ms), bounds)],
        _clock_changes(whole_day(day, zone), zone),
    )


def _clock_changes(bounds: Interval, zone: ZoneInfo) -> list[ClockChange]:
    """Every minute is compared with the one before."""
    changes: list[ClockChange] = []
    for at_ms in range(bounds[0], bounds[1], _MINUTE_MS):
        expected = _wall(at_ms - _MINUTE_MS, zone) + timedelta(minutes=1)
        if (shown := _wall(at_ms, zone)) != expected:
            changes.append(ClockChange(at_ms, expected.time(), shown.time()))
    return changes


def _meet(one: Interval, other: Interval) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _wall(at_ms: int, zone: ZoneInfo) -> datetime:
    """What the wall clock shows."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).replace(tzinfo=None)
