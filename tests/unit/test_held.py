"""Held facts by what they wait for."""

import itertools
from typing import Any

import pytest

from console.desk.held import HeldGroup, group_held

NOON = 1_298_980_800_000
LISTED, UNIT = "item is not listed", "item has no row for this unit"


def row(sku: str, uom: str, reason: str, minute: int = 0, site: str = "S1") -> dict[str, Any]:
    """As `/api/v1/facts/held` has it."""
    return {"site_id": site, "sku": sku, "uom": uom, "reason": reason, "event_time_ms": NOON + minute * 60_000}


def test_one_group_waits_for_one_row() -> None:
    """By site, reason, SKU and unit, the largest first; in whatever order the facts come."""
    rows = [
        row("A1", "CS", UNIT, 5),
        row("A1", "CS", UNIT, 2),
        row("A1", "EA", LISTED),
        row("A1", "CS", UNIT, site="S2"),
    ]
    for order in itertools.permutations(rows):
        assert group_held(order) == [
            HeldGroup("S1", UNIT, "A1", "CS", 2, NOON + 120_000, NOON + 300_000),
            HeldGroup("S1", LISTED, "A1", "EA", 1, NOON, NOON),
            HeldGroup("S2", UNIT, "A1", "CS", 1, NOON, NOON),
        ]
    assert group_held([]) == []


@pytest.mark.parametrize("reason", [LISTED, UNIT, "unit is not valid yet"])
def test_what_to_do_names_the_row_that_is_missing(reason: str) -> None:
    """With the item's and the unit's name, whatever signs are in them, and the command that loads it."""
    (group,) = group_held([row("{uom}A1", "CS", reason)])
    assert "{uom}A1,CS,BASE_UNITS," in group.remedy
    assert "velocity reference load --items" in group.remedy
