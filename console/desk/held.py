"""Held facts by what they wait for: one group, one reference row that lets them all count. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_ROW = "a row {sku},{uom},BASE_UNITS, in a file for `velocity reference load --items FILE`"

#: What a person does about each reason of `/api/v1/facts/held`.
REMEDIES = {
    "item is not listed": f"list the item: {_ROW}",
    "item has no row for this unit": f"say how much the unit is: {_ROW}",
    "unit is not valid yet": f"let the unit be valid from earlier on (an earlier valid_from, or none): {_ROW}",
}


@dataclass(frozen=True, slots=True)
class HeldGroup:
    """Facts of one site that wait for the same row. `first` and `last` are event times, UTC milliseconds."""

    site_id: str
    reason: str
    sku: str
    uom: str
    facts: int
    first: int
    last: int

    @property
    def remedy(self) -> str:
        """What to do."""
        text = REMEDIES.get(self.reason, "load what is missing: `velocity reference load --help`")
        return text.format(sku=self.sku, uom=self.uom)


def group_held(rows: Iterable[Mapping[str, Any]]) -> list[HeldGroup]:
    """Rows of `/api/v1/facts/held` by site, reason, SKU and unit, the largest group first."""
    found = dict[tuple[str, str, str, str], list[int]]()
    for row in rows:
        key, at = (row["site_id"], row["reason"], row["sku"], row["uom"]), row["event_time_ms"]
        group = found.setdefault(key, [0, at, at])
        group[0] += 1
        group[1:] = min(group[1], at), max(group[2], at)
    groups = [HeldGroup(*key, *counts) for key, counts in found.items()]
    return sorted(groups, key=lambda one: (-one.facts, one.site_id, one.reason, one.sku, one.uom))
