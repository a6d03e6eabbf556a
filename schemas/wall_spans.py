"""Spans of a site's wall time, such as an off-peak window from 02:00 to 04:00, and the instants that they are.

A span is half-open and belongs to the local day on which it begins; one whose end is not after its start ends on the
next day. Wall times are resolved as those of windows: one that does not exist moves forward by the gap, one that exists
twice is the first.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from schemas.windows import DAY_MS, local_instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS = 60_000
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|(24):(00))")
ONE_DAY = timedelta(days=1)

Interval = tuple[int, int]
"""`[start, end)` in UTC milliseconds."""


def local_date(at_ms: int, zone: ZoneInfo) -> date:
    """The local day of an instant."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).date()


def day_exists(day: date, zone: ZoneInfo) -> bool:
    """Whether the calendar of the zone has the day: Pacific/Apia had no 2011-12-30."""
    return local_date(local_instant(day, time(0), zone), zone) == day


def whole_day(day: date, zone: ZoneInfo) -> Interval:
    """From midnight to midnight, local; empty for a day that the zone left out."""
    return local_instant(day, time(0), zone), _last_instant(day + ONE_DAY, time(0), zone)


def _last_instant(day: date, wall: time, zone: ZoneInfo) -> int:
    """The later one of an instant that exists twice."""
    return max(local_instant(day, wall, zone), local_instant(day, wall.replace(fold=1), zone))


@dataclass(frozen=True, slots=True)
class WallSpan:
    """`[start, end)` in wall time. `00:00-24:00`, a whole day, is midnight to midnight of the next day."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """`02:00-04:00`, `22:00-06:00`, `00:00-24:00`.

        Raises:
            ValueError: it is none, or is empty.
        """
        found = _SPAN.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no span of wall time, such as 02:00-04:00 or 22:00-06:00")
        hour, minute, end_hour, end_minute, midnight, _ = found.groups()
        start = time(int(hour), int(minute))
        end = time(0) if midnight else time(int(end_hour), int(end_minute))
        if start == end and not midnight:
            raise ValueError(f"{text!r} is empty; a whole day is 00:00-24:00")
        return cls(start, end)

    def __str__(self) -> str:
        end = "24:00" if self.end == time(0) else f"{self.end:%H:%M}"
        return f"{self.start:%H:%M}-{end}"

    @property
    def length_ms(self) -> int:
        """How long it is on a day without a change of clocks."""
        minutes = [wall.hour * 60 + wall.minute for wall in (self.start, self.end)]
        return (minutes[1] - minutes[0]) * _MINUTE_MS % DAY_MS or DAY_MS

    def on(self, day: date, zone: ZoneInfo, *, to_last: bool = False) -> Interval:
        """Its instants on a local day; `to_last`: an end that exists twice is the second.

        One that clocks leave nothing of, because a gap moves its start to or past its end, is as long as on any day: it
        is never empty.
        """
        ends = day if self.end > self.start else day + ONE_DAY
        start_ms = local_instant(day, self.start, zone)
        end_ms = (_last_instant if to_last else local_instant)(ends, self.end, zone)
        return start_ms, end_ms if end_ms > start_ms else start_ms + self.length_ms
