"""Rolling horizons: which instants a velocity looks back to. Pure; UTC milliseconds, half-open intervals."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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


HORIZONS = {"rolling_30d": Horizon("rolling_30d", days=30, blocks=4, block_days=7)}


def days_before(at_ms: int, days: int, zone: ZoneInfo) -> int:
    """The instant of the same wall time `days` calendar days earlier.

    A wall time that does not exist moves forward by the gap; one that exists twice is the first.
    """
    wall = (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    return local_instant(wall.date() - timedelta(days=days), wall.time().replace(fold=0), zone)
