"""What normalised demand must be, line by line in exact fractions. Shares nothing with the product but the records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from schemas.reference import Channel, Promotion, ReferenceRecord, Season

_ALWAYS = -1
_BILLION = 10**9


@dataclass
class DemandOracle:
    """Factors of one site, and what lines count by them. Times are UTC milliseconds."""

    records: Sequence[ReferenceRecord]
    site_id: str
    zone: ZoneInfo
    _memory: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def wall(self, at_ms: int) -> datetime:
        """What the site's clock says."""
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone)

    def weight(self, channel: str | None, at_ms: int) -> Fraction:
        """Of the site's own rows, else of those for all, the latest that is valid."""
        rows = [
            ((row.site_id is not None, _since(row.valid_from)), row.weight)
            for row in self._of(Channel)
            if row.channel == channel and _since(row.valid_from) <= at_ms
        ]
        return Fraction(max(rows)[1]) if rows else Fraction(1)

    def season_index(self, sku: str, at_ms: int) -> Fraction:
        """Of the rows of the wall clock's month that have the narrowest scope, the latest that is valid."""
        month = self.wall(at_ms).month
        rows = [
            ((_scope(row), _since(row.valid_from)), row.index)
            for row in self._of(Season)
            if row.month == month and row.sku in (None, sku) and _since(row.valid_from) <= at_ms
        ]
        return Fraction(max(rows)[1]) if rows else Fraction(1)

    def uplift(self, sku: str, at_ms: int) -> Fraction:
        """Of the promotions that run and have the narrowest scope, the highest."""
        rows = [
            (_scope(row), row.uplift)
            for row in self._of(Promotion)
            if row.sku in (None, sku) and _since(row.start) <= at_ms and (row.end is None or at_ms < row.end)
        ]
        return Fraction(max(rows)[1]) if rows else Fraction(1)

    def line(self, sku: str, channel: str | None, at_ms: int) -> Fraction:
        """What one line counts: a whole number of billionths, halves to the even one as `round` has it."""
        exact = self.weight(channel, at_ms) / (self.season_index(sku, at_ms) * self.uplift(sku, at_ms))
        return Fraction(round(exact * _BILLION), _BILLION)

    def normalized_lines(self, lines: Iterable[tuple[str, str | None, int]]) -> dict[str, Decimal]:
        """Per SKU the sum over its lines, each a SKU, a channel and an event time."""
        sums: dict[str, Fraction] = {}
        for sku, channel, at_ms in lines:
            sums[sku] = sums.get(sku, Fraction(0)) + self.line(sku, channel, at_ms)
        return {sku: _decimal(total) for sku, total in sums.items()}

    def forward_lines(self, sku: str, normalized: Decimal, as_of_ms: int) -> Decimal:
        """Times the mean season index at `as_of` and the 29 instants a day later each by the wall clock."""
        start = self.wall(as_of_ms)
        walls = [start, *((start + timedelta(days=days)).replace(fold=0) for days in range(1, 30))]
        instants = [round(wall.timestamp() * 1000) for wall in walls]
        mean = sum(self.season_index(sku, at_ms) for at_ms in instants) / Fraction(30)
        return _decimal(Fraction(round(Fraction(normalized) * mean * _BILLION), _BILLION))

    def _of(self, kind: type[Any]) -> list[Any]:
        found: list[Any] | None = self._memory.get((kind,))
        if found is None:
            found = [row for row in self.records if type(row) is kind and row.site_id in (None, self.site_id)]
            self._memory[(kind,)] = found
        return found


def _since(instant: int | None) -> int:
    return _ALWAYS if instant is None else instant


def _scope(row: Any) -> int:
    """SKU and site, SKU, site, all."""
    return 2 * (row.sku is not None) + (row.site_id is not None)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator * (_BILLION // value.denominator)) / _BILLION
