"""Rolling horizons: which instants a velocity looks back to. Pure; UTC milliseconds, half-open intervals."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from schemas.windows import local_instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Horizon:
    """`days` site-local calendar days that end at an instant; the last of them hold `blocks` of `block_days` each."""

    name: str
    days: int
    blocks: int
    block_days: int

    def start(self, as_of_ms: int, zone: ZoneInfo) -> int:
        """Where the horizon that ends at `as_of_ms` begins."""
        return days_before(as_of_ms, self.days, zone)

    def block_bounds(self, as_of_ms: int, zone: ZoneInfo) -> tuple[int, ...]:
        """The bounds of the blocks, ascending: one more than there are blocks, the last of them `as_of_ms`."""
        counts = range(self.blocks, 0, -1)
        return (*(days_before(as_of_ms, count * self.block_days, zone) for count in counts), as_of_ms)


#: By name. A week has one weekend, so that blocks of a week compare like with like; within one week only days are left.
HORIZONS = {
    horizon.name: horizon
    for horizon in (
        Horizon("rolling_7d", days=7, blocks=7, block_days=1),
        Horizon("rolling_30d", days=30, blocks=4, block_days=7),
        Horizon("rolling_91d", days=91, blocks=13, block_days=7),
    )
}


@dataclass(frozen=True, slots=True)
class MonthSpan:
    """`[start_ms, end_ms)` of a calendar month, 1 to 12, by the wall clock of a site."""

    month: int
    start_ms: int
    end_ms: int


def days_before(at_ms: int, days: int, zone: ZoneInfo) -> int:
    """The instant of the same wall time `days` calendar days earlier.

    A wall time that does not exist moves forward by the gap; one that exists twice is the first.
    """
    wall = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    return local_instant(wall.date() - timedelta(days=days), wall.time().replace(fold=0), zone)


def days_after(at_ms: int, days: int, zone: ZoneInfo) -> int:
    """The instant of the same wall time `days` calendar days later, the instant itself for none; see `days_before`."""
    return days_before(at_ms, -days, zone) if days else at_ms


def month_spans(start_ms: int, end_ms: int, zone: ZoneInfo) -> list[MonthSpan]:
    """The calendar months that intersect `[start_ms, end_ms)`, whole and ascending.

    A month begins at midnight; see `days_before` for a midnight that does not exist, or exists twice.
    """
    first = (_EPOCH + timedelta(milliseconds=start_ms)).astimezone(zone).date().replace(day=1)
    spans: list[MonthSpan] = []
    while (begin_ms := local_instant(first, time(0), zone)) < end_ms:
        following = (first + timedelta(days=31)).replace(day=1)
        spans.append(MonthSpan(first.month, begin_ms, local_instant(following, time(0), zone)))
        first = following
    return [span for span in spans if span.end_ms > start_ms]
