"""How SKUs fall into classes, and how they moved between two runs, as tables of figures. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ABC = "ABC"
XYZ = "XYZ"
HEATS = 6  # shades of a heat map, 0 for nothing

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClassCell:
    """A pair of classes: SKUs, order lines, their shares of all, and a shade from 0 to `HEATS - 1`."""

    abc: str
    xyz: str
    skus: int
    picks: int
    sku_share: float
    pick_share: float
    heat: int


@dataclass(frozen=True, slots=True)
class MigrationRow:
    """From one pair of classes (`new` for SKUs that were not there) to others; `gone` have left."""

    before: str
    to: dict[str, int]
    stayed: int
    moved: int


def class_cells(matrix: Iterable[Row]) -> list[list[ClassCell]]:
    """Nine cells in three rows, A to C, of X to Z each; what has no SKU is there too."""
    known = {(row["abc_class"], row["xyz_class"]): row for row in matrix}
    skus = sum(row["skus"] for row in known.values())
    picks = sum(row["picks"] for row in known.values())
    most = max((row["skus"] for row in known.values()), default=0)
    return [[_cell(abc, xyz, known.get((abc, xyz), {}), skus, picks, most) for xyz in XYZ] for abc in ABC]


def _cell(abc: str, xyz: str, row: Row, skus: int, picks: int, most: int) -> ClassCell:
    own, own_picks = row.get("skus", 0), row.get("picks", 0)
    return ClassCell(
        abc, xyz, own, own_picks, own / skus if skus else 0.0, own_picks / picks if picks else 0.0, heat_of(own, most)
    )


def heat_of(value: float, most: float) -> int:
    """A shade: 0 for nothing, the strongest for the most of all, at least 1 for anything."""
    return 0 if value <= 0 or most <= 0 else max(1, round((HEATS - 1) * value / most))


def migration_rows(migration: Iterable[Row]) -> tuple[list[str], list[MigrationRow]]:
    """The classes that SKUs came to, and a row for each that they came from, both in the order of classes."""
    counts: dict[str, dict[str, int]] = {}
    for row in migration:
        to = counts.setdefault(row["before"] or "new", {})
        to[row["after"] or "gone"] = to.get(row["after"] or "gone", 0) + row["skus"]
    columns = sorted({after for to in counts.values() for after in to}, key=_class_order)
    rows = [
        MigrationRow(before, to, to.get(before, 0), sum(count for after, count in to.items() if after != before))
        for before, to in sorted(counts.items(), key=lambda item: _class_order(item[0]))
    ]
    return columns, rows


def _class_order(name: str) -> tuple[bool, bool, str]:
    return name == "gone", name == "new", name


def share_of_first(pareto: Iterable[Row], share: float) -> float | None:
    """Which share of the SKUs has the first `share` of the demand; None without demand."""
    return next((point["sku_share"] for point in pareto if point["demand_share"] >= share), None)
