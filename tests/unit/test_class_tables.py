"""Tables of classes, deliveries and weeks: every figure is counted once, and shades say what numbers do."""

from datetime import date
from typing import Any

import pytest

from batcher.schedule.calendar import Calendar
from console.insight.classes import class_cells, heat_of, migration_rows, share_of_first
from console.insight.deliveries import chunk_rows, heat_rows, sink_rows
from console.insight.week import week_of
from schemas.failed_chunks import ChunkError, ChunkState, FailedChunk

MATRIX = [
    {"abc_class": "A", "xyz_class": "X", "skus": 1, "picks": 80, "units": 90},
    {"abc_class": "C", "xyz_class": "Z", "skus": 9, "picks": 20, "units": 20},
]


def test_the_matrix_has_nine_cells_whatever_is_in_them() -> None:
    """Shares are of all SKUs and all picks; the fullest cell has the strongest shade, an empty one none."""
    cells = class_cells(MATRIX)
    assert [[cell.abc + cell.xyz for cell in row] for row in cells] == [[a + x for x in "XYZ"] for a in "ABC"]
    ax, cz = cells[0][0], cells[2][2]
    assert (ax.sku_share, ax.pick_share, ax.heat) == (0.1, 0.8, 1)
    assert (cz.sku_share, cz.pick_share, cz.heat) == (0.9, 0.2, 5)
    assert cells[1][1].heat == 0
    assert class_cells([])[0][0].sku_share == 0


@pytest.mark.parametrize(("value", "most", "heat"), [(0, 10, 0), (1, 1000, 1), (10, 10, 5), (5, 0, 0)])
def test_anything_has_a_shade_and_nothing_has_none(value: int, most: int, heat: int) -> None:
    """So that one SKU among thousands is not taken for none."""
    assert heat_of(value, most) == heat


def test_migration_counts_who_stayed_moved_came_and_went() -> None:
    """Rows in the order of classes, new ones last; columns likewise, gone ones last."""
    columns, rows = migration_rows(
        [
            {"before": None, "after": "AX", "skus": 2},
            {"before": "AX", "after": "AX", "skus": 5},
            {"before": "AX", "after": "BX", "skus": 3},
            {"before": "BX", "after": None, "skus": 1},
        ]
    )
    assert columns == ["AX", "BX", "gone"]
    assert [(row.before, row.stayed, row.moved) for row in rows] == [("AX", 5, 3), ("BX", 0, 1), ("new", 0, 2)]


def test_the_share_of_skus_that_most_of_the_demand_rests_on() -> None:
    """The first point of the curve that reaches it; none where nothing was picked."""
    points = [{"sku_share": 0.1, "demand_share": 0.7}, {"sku_share": 0.2, "demand_share": 0.85}]
    assert share_of_first(points, 0.8) == 0.2
    assert share_of_first([], 0.8) is None


def sink(**changes: Any) -> dict[str, Any]:
    """A delivery as the API tells of it."""
    chunks = {"pending": 0, "sending": 0, "acknowledged": 0, "failed": 0, "dropped": 0}
    whole = {"sink": "wms", "kind": "http", "site_id": "A", "horizon": "rolling_30d", "backlog_skus": 0}
    whole |= {"waiting": None, "circuits": {"one": "closed", "two": "open"}, "stopped": None, "done": True}
    whole |= {"in_hand": False, "acknowledged_as_of": None, "acknowledged_at": None}
    return whole | changes | {"chunks": chunks | changes.get("chunks", {})}


def test_only_deliveries_with_chunks_are_in_the_heat_map() -> None:
    """Each shade is by the share of the delivery's own chunks."""
    rows = heat_rows([sink(), sink(site_id="B", done=False, chunks={"acknowledged": 9, "failed": 1})])
    assert [(row.target, row.chunks) for row in rows] == [("wms B rolling_30d", 10)]
    shades = {name: (count, shade) for name, count, shade in rows[0].cells}
    assert (shades["acknowledged"], shades["failed"], shades["pending"]) == ((9, 4), (1, 1), (0, 0))


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "delivered"),
        ({"done": False, "in_hand": True}, "sending"),
        ({"done": False, "waiting": "closed by the schedule"}, "waiting"),
        ({"stopped": "HTTP 426"}, "stopped"),
    ],
)
def test_a_delivery_is_described_in_a_word(changes: dict[str, Any], state: str) -> None:
    """A stopped sink is that before all else; circuits stand with their names."""
    (row,) = sink_rows([sink(**changes)])
    assert (row["state"], row["circuits"]) == (state, "one: closed, two: open")


def test_a_chunk_stands_as_its_newest_record_says() -> None:
    """The last change first, with the beginning of its SKUs."""

    def chunk(at: str, state: ChunkState = ChunkState.FAILED, chunk_id: str = "one") -> FailedChunk:
        return FailedChunk(
            chunk_id=chunk_id,
            sink="wms",
            site_id="A",
            horizon="rolling_30d",
            run_id="r",
            skus=[f"S{number}" for number in range(7)],
            retries=2,
            error=ChunkError(kind="timeout", message="nothing came"),
            at=at,
            state=state,
        )

    rows = chunk_rows(
        {
            "one": [chunk("2026-01-01T00:00:00Z"), chunk("2026-01-03T00:00:00Z", ChunkState.DELIVERED)],
            "two": [chunk("2026-01-02T00:00:00Z", chunk_id="two")],
        }
    )
    states = [(row["chunk_id"], row["state"], row["skus"]) for row in rows]
    assert states == [("one", "delivered", 7), ("two", "failed", 7)]
    assert rows[0]["first_skus"] == "S0, S1, S2, S3, S4…"
    assert rows[0]["error"] == "timeout: nothing came"


def test_a_week_covers_every_half_hour_of_seven_days_once() -> None:
    """Stretches follow each other without a hole, and what became of a night stands beside it."""
    night = {"night": "2026-03-23", "state": "missed", "why": "the worker was down", "finished_at": None}
    standing = {"open_until": None, "closed_because": "day", "deferred": False, "waits_for": None, "nights": [night]}
    week = week_of(Calendar(), "A", date(2026, 3, 23), standing)
    assert len(week.days) == 7
    for day in week.days:
        assert sum(one.cells for one in day.stretches) == 48
        assert (day.stretches[0].start, day.stretches[-1].end) == ("00:00", "24:00")
        assert all(one.end == later.start for one, later in zip(day.stretches, day.stretches[1:], strict=False))
    assert week.days[0].night == "missed"
    assert week.days[0].remarks == ("missed: the worker was down",)
    assert "open 02:00–04:00" in week.days[0].said
    assert week.standing == "closed: day"
