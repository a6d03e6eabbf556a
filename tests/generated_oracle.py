"""What the velocity of a generated feed must be, worked out from its raw lines with nothing of the product.

Plain Python: `json` with exact decimals, `zoneinfo` for wall time, `fractions` for shares. Slow, and meant to be read
beside the definitions of the columns. Promotions, channels and seasons are not known here: every factor is 1.
"""

import csv
import io
import json
import statistics
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

HORIZON_DAYS = 30
THOUSANDTH = Decimal("0.001")
ALWAYS = datetime.min.replace(tzinfo=UTC)

Row = dict[str, Any]


class Fact(NamedTuple):
    """One line as it counts; `units` and `book_units` are in base units, `units` is None while the fact is held."""

    source: str
    site_id: str
    event_id: str
    sku: str
    uom: str
    event_time: datetime
    units: Decimal | None
    book_units: Decimal | None


@dataclass(frozen=True)
class Items:
    """The rows of items files: per SKU and unit, what a unit holds from when on, ascending."""

    factors: Mapping[tuple[str, str], list[tuple[datetime, Decimal]]]

    @classmethod
    def parse(cls, *texts: str) -> "Items":
        """All rows of all files together."""
        factors: dict[tuple[str, str], list[tuple[datetime, Decimal]]] = defaultdict(list)
        for row in (row for text in texts for row in csv.DictReader(io.StringIO(text))):
            valid_from = datetime.fromisoformat(row["valid_from"]) if row["valid_from"] else ALWAYS
            factors[row["sku"], row["uom"]].append((valid_from, Decimal(row["base_units"])))
        return cls({key: sorted(dated) for key, dated in factors.items()})

    def base_units(self, sku: str, uom: str, at: datetime) -> Decimal | None:
        """Base units in one `uom` at an instant, None if nobody has said so. One `EA` of an unlisted item is 1."""
        dated = self.factors.get((sku, uom), [])
        position = bisect_right([valid_from for valid_from, _ in dated], at)
        if position:
            return dated[position - 1][1]
        listed = any(sku == known for known, _ in self.factors)
        return Decimal(1) if uom == "EA" and not listed else None


def facts_of(lines: Mapping[str, Iterable[bytes]], items: Items) -> list[Fact]:
    """Every line as a fact, converted by the given items. Lines per source: orders, returns, cycle-counts."""
    return [_fact(source, line, items) for source, of_source in lines.items() for line in of_source]


def _fact(source: str, line: bytes, items: Items) -> Fact:
    event = json.loads(line, parse_float=Decimal, parse_int=Decimal)
    sku = unicodedata.normalize("NFKC", event["sku"]).strip().upper()
    at = datetime.fromisoformat(event["event_time"]).astimezone(UTC)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    factor = items.base_units(sku, event["uom"], at)
    quantity = event["variance"] if source == "cycle-counts" else event["quantity"]
    units, book_units = _converted(quantity, factor), _converted(event.get("book_quantity"), factor)
    return Fact(source, event["site_id"], event["event_id"], sku, event["uom"], at, units, book_units)


def _converted(quantity: Decimal | None, factor: Decimal | None) -> Decimal | None:
    if quantity is None or factor is None:
        return None
    return (quantity * factor).quantize(THOUSANDTH, ROUND_HALF_EVEN)


def days_before(wall: datetime, days: int) -> datetime:
    """The instant of the same wall time some calendar days earlier, in UTC.

    Fold 0 reads a wall time that the clocks skipped with the offset before the gap, so it moves forward by the gap.
    """
    earlier = wall.replace(tzinfo=None) - timedelta(days=days)
    return earlier.replace(tzinfo=wall.tzinfo, fold=0).astimezone(UTC)


def velocity(facts: Iterable[Fact], site_id: str, as_of: datetime) -> dict[str, Row]:
    """Every row of a site by SKU; `as_of` is wall time with the site's zone."""
    assert isinstance(as_of.tzinfo, ZoneInfo), "wall time needs a zone that knows its DST changes"
    start, end = days_before(as_of, HORIZON_DAYS), as_of.astimezone(UTC)
    by_sku: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.site_id == site_id and fact.units is not None and fact.event_time < end:
            by_sku[fact.sku].append(fact)
    rows = {
        sku: _row(known, start, as_of)
        for sku, known in by_sku.items()
        if any(fact.event_time >= start for fact in known)
    }
    for sku, abc_class in _abc_classes(rows):
        rows[sku]["abc_class"] = abc_class
    return rows


def _row(known: list[Fact], start: datetime, as_of: datetime) -> Row:
    """All columns but `abc_class` from the facts of one SKU before `as_of`."""
    recent = [fact for fact in known if fact.event_time >= start]
    orders = [fact for fact in recent if fact.source == "orders"]
    ordered = _total(orders)
    returned = _total(fact for fact in recent if fact.source == "returns")
    counts = [fact for fact in recent if fact.source == "cycle-counts"]
    demand_cv = _demand_cv([fact.event_time for fact in orders], as_of)
    first_seen = min(fact.event_time for fact in known)
    return {
        "order_lines": len(orders),
        "units_ordered": ordered,
        "units_returned": returned,
        "net_units": ordered - returned,
        "lines_per_day": len(orders) / HORIZON_DAYS,
        "units_per_day": float(Fraction(ordered - returned) / HORIZON_DAYS),
        "normalized_lines": len(orders),
        "velocity_coefficient": len(orders) / HORIZON_DAYS,
        "demand_cv": demand_cv,
        "xyz_class": "Z" if demand_cv is None or demand_cv > 1 else "Y" if demand_cv > 0.5 else "X",
        "variance_units": _total(counts),
        "inventory_accuracy": _inventory_accuracy(counts),
        "first_seen": first_seen,
        "provisional": as_of.astimezone(UTC) - first_seen < timedelta(days=14),
    }


def _total(facts: Iterable[Fact]) -> Decimal:
    return sum((fact.units for fact in facts if fact.units is not None), Decimal(0))


def _demand_cv(picks: list[datetime], as_of: datetime) -> float | None:
    """Over the order lines of four weeks of wall time that end at `as_of`."""
    bounds = [days_before(as_of, 7 * weeks) for weeks in (4, 3, 2, 1, 0)]
    weeks = [sum(start <= pick < end for pick in picks) for start, end in pairwise(bounds)]
    return statistics.pstdev(weeks) / statistics.fmean(weeks) if any(weeks) else None


def _inventory_accuracy(counts: list[Fact]) -> float | None:
    booked = [
        (abs(fact.units), fact.book_units) for fact in counts if fact.units is not None and fact.book_units is not None
    ]
    book = sum((Fraction(units) for _, units in booked), Fraction(0))
    if not book:
        return None  # no count with a book quantity, or nothing but books of zero: there is no share of nothing
    return float(max(Fraction(0), 1 - sum((Fraction(deviation) for deviation, _ in booked), Fraction(0)) / book))


def _abc_classes(rows: Mapping[str, Row]) -> Iterator[tuple[str, str]]:
    """The class of each SKU by the share of all lines that stands before it."""
    total, before = sum(row["order_lines"] for row in rows.values()), 0
    for sku in sorted(rows, key=lambda sku: (-rows[sku]["order_lines"], -rows[sku]["net_units"], sku)):
        lines = rows[sku]["order_lines"]
        share = Fraction(before, total) if total else Fraction(1)
        yield sku, "C" if not lines else "A" if share < Fraction(80, 100) else "B" if share < Fraction(95, 100) else "C"
        before += lines
