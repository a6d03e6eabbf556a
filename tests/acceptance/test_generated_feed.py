"""What the retail sample lacks: two sites in two zones, several units, facts held for want of one, book quantities.

Every column is compared with `generated_oracle.sql`, independent SQL over the raw lines, at instants where wall time
and elapsed time part: just after the clocks went forward, and where a bound of the horizon falls into the skipped hour.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from acceptance_feeds import EXACT
from generated_oracle import GeneratedOracle, HeldFact, Row
from pipeline_world import PipelineWorld, until

from sandbox.generated_feed import generated_feed

EVENTS = 6_000
NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
#: Clocks went forward at 02:00 on 9 March 2025 in New York, on 30 March in Berlin.
INSTANTS = {
    "US-NY1, the afternoon after the clocks went forward": ("US-NY1", datetime(2025, 3, 9, 15, tzinfo=NEW_YORK)),
    "US-NY1, a horizon from 02:30 that was skipped": ("US-NY1", datetime(2025, 4, 8, 2, 30, tzinfo=NEW_YORK)),
    "DE-FR1, the afternoon after the clocks went forward": ("DE-FR1", datetime(2025, 3, 30, 15, tzinfo=BERLIN)),
    "DE-FR1, a week from 02:30 that was skipped": ("DE-FR1", datetime(2025, 4, 20, 2, 30, tzinfo=BERLIN)),
}
#: Their horizons contain 22 March, from when on the late items convert packs anew.
LATE_INSTANTS = tuple(name for name in INSTANTS if "skipped" in name)
RATIOS = ("lines_per_day", "units_per_day", "velocity_coefficient", "demand_cv", "inventory_accuracy", "count_accuracy")
CLASSES = ("abc_class", "xyz_class", "stable_class")
COLUMNS = (
    *("site_id", "sku", "horizon", "as_of", "order_lines", "units_ordered", "units_returned", "net_units"),
    *("lines_per_day", "units_per_day", "normalized_lines", "velocity_coefficient", "abc_class", "demand_cv"),
    *("xyz_class", "variance_units", "inventory_accuracy", "first_seen", "provisional", "coverage", "run_id"),
    *("forward_lines", "stable_class", "count_accuracy"),
)


@dataclass(frozen=True)
class Stage:
    """What the product says with the items that are loaded so far, and an oracle that knows the same."""

    oracle: GeneratedOracle
    held: list[dict[str, Any]]
    rows: dict[str, list[dict[str, str]]]
    runs: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Stages:
    """Before and after the late items were loaded."""

    early: Stage
    late: Stage


@pytest.fixture(scope="module")
def stages(make_world: Any) -> Iterator[Stages]:
    """The feed, produced and drained once; calculated at every instant with the first items, then with all of them."""
    feed = generated_feed(events=EVENTS, seed=44)  # it has picks in the hours that DST moves across a bound
    world: PipelineWorld = make_world(
        "generated", VELOCITY_WINDOW__SPEC="local-day", VELOCITY_WINDOW__IDLE_POLICY="hold"
    )
    (world.directory / "sites.csv").write_text(feed.sites_csv)
    world.extra["VELOCITY_SITES_FILE"] = str(world.directory / "sites.csv")
    items = load_items(world, "items.csv", feed.items_csv)
    world.start("stream", "s1")
    world.start("batch", "b1")
    for source, lines in feed.lines.items():
        world.produce(source, [line for _, line in lines])
    world.drain(within_s=180)
    raw = {source.value: [line for _, line in timed] for source, timed in feed.lines.items()}
    with GeneratedOracle(raw, [items]) as early_oracle:
        early = calculated(world, early_oracle, INSTANTS)
        late_items = load_items(world, "late_items.csv", feed.late_items_csv)
        assert until(lambda: not held_facts(world), within_s=60), "the late items leave facts held"
        with GeneratedOracle(raw, [items, late_items]) as late_oracle:
            yield Stages(early, calculated(world, late_oracle, LATE_INSTANTS))
    world.close()


def load_items(world: PipelineWorld, name: str, text: str) -> Path:
    """Write an items file, and load it by the command line."""
    file = world.directory / name
    file.write_text(text)
    world.run("reference", "load", "--items", str(file))
    return file


def held_facts(world: PipelineWorld) -> list[dict[str, Any]]:
    """Every held fact of both sites."""
    return world.json("facts", "--held", "--limit", str(EVENTS))


def calculated(world: PipelineWorld, oracle: GeneratedOracle, instants: Iterable[str]) -> Stage:
    """Recalculate at these instants and keep what the command line shows."""
    rows: dict[str, list[dict[str, str]]] = {}
    runs: dict[str, dict[str, Any]] = {}
    for name in instants:
        site_id, as_of = INSTANTS[name]
        query = ("--as-of", as_of.isoformat(), "--site", site_id)
        (runs[name],) = world.json("recalc", *query)["runs"]
        rows[name] = list(csv.DictReader(io.StringIO(world.run("coefficients", *query, "--format", "csv").stdout)))
    return Stage(oracle, held_facts(world), rows, runs)


@pytest.mark.parametrize("instant", INSTANTS)
def test_every_column_agrees_with_independent_sql(stages: Stages, instant: str) -> None:
    """All rows, all columns, without the facts that are held: sums and classes exactly, ratios to 1e-9."""
    assert_stage(stages.early, instant)


@pytest.mark.parametrize("instant", LATE_INSTANTS)
def test_every_column_agrees_once_all_items_are_known(stages: Stages, instant: str) -> None:
    """The same with the late items: what was held counts, what was counted is converted anew."""
    assert_stage(stages.late, instant)


def assert_stage(stage: Stage, instant: str) -> None:
    """The rows at an instant against the oracle's."""
    site_id, as_of = INSTANTS[instant]
    rows, expected = stage.rows[instant], stage.oracle.velocity(site_id, as_of)
    assert [row["sku"] for row in rows] == sorted(expected)
    for row in rows:
        assert tuple(row) == COLUMNS
        assert_row(row, expected[row["sku"]])
    assert {row["run_id"] for row in rows} == {stage.runs[instant]["run_id"]}
    windows = {row["windows"] for row in expected.values()}
    assert {stage.runs[instant][name] for name in ("windows", "complete_windows")} == windows


def assert_row(row: dict[str, str], wanted: Row) -> None:
    """One SKU's row, column by column."""
    for name in EXACT:
        assert Decimal(row[name]) == wanted[name], (row["sku"], name, row[name], wanted[name])
    for name in RATIOS:
        assert agrees(row[name], wanted[name]), (row["sku"], name, row[name], wanted[name])
    for name in ("site_id", "horizon", *CLASSES):
        assert row[name] == wanted[name], (row["sku"], name, row[name], wanted[name])
    for name in ("as_of", "first_seen"):
        assert datetime.fromisoformat(row[name]) == wanted[name], (row["sku"], name, row[name], wanted[name])
    assert row["provisional"] == str(wanted["provisional"]).lower(), row["sku"]
    assert float(row["coverage"]) == wanted["coverage"], row["sku"]
    assert len(row["run_id"]) == 64


def agrees(text: str, wanted: float | None) -> bool:
    """Null is empty; a ratio is right to 1e-9."""
    if wanted is None or not text:
        return wanted is None and not text
    return math.isclose(float(text), wanted, rel_tol=0, abs_tol=1e-9)


def test_the_held_facts_are_those_without_a_unit(stages: Stages) -> None:
    """Exactly the facts that the oracle cannot convert are shown as held, and some stand for a SKU of their own."""
    shown = {HeldFact(*(fact[name] for name in HeldFact._fields)) for fact in stages.early.held}
    expected = stages.early.oracle.held()
    assert shown == expected
    assert len(stages.early.held) == len(expected) > 100
    assert {fact["sku"] for fact in stages.early.held} - stages.early.oracle.skus(), "no SKU has held facts only"


def test_late_items_count_what_was_held_and_convert_anew(stages: Stages) -> None:
    """After the late items nothing is held; SKUs that had no row have one, and the runs are other runs."""
    assert stages.late.held == []
    assert stages.late.oracle.held() == set()
    for instant, after in stages.late.rows.items():
        before = stages.early.rows[instant]
        assert {row["sku"] for row in before} < {row["sku"] for row in after}, instant
        assert {row["run_id"] for row in before}.isdisjoint(row["run_id"] for row in after), instant


def test_the_oracle_reads_wall_time_as_the_definitions_say(stages: Stages) -> None:
    """A wall time that the clocks skipped moves forward by the gap; of one that came twice the first is meant."""
    skipped = stages.early.oracle.bounds(datetime(2025, 4, 8, 2, 30, tzinfo=NEW_YORK))
    assert skipped[30] == datetime(2025, 3, 9, 7, 30, tzinfo=UTC)
    twice = stages.early.oracle.bounds(datetime(2025, 11, 9, 1, 30, tzinfo=NEW_YORK))
    assert (twice[7], twice[0]) == (datetime(2025, 11, 2, 5, 30, tzinfo=UTC), datetime(2025, 11, 9, 6, 30, tzinfo=UTC))
    assert stages.early.oracle.facts() == EVENTS


def test_the_feed_reaches_every_case_of_the_definitions(stages: Stages) -> None:
    """The comparison is worth something: each class, each null, and a floored inventory accuracy occur."""
    tables = [*stages.early.rows.values(), *stages.late.rows.values()]
    rows = [row for table in tables for row in table]
    assert {row["abc_class"] for row in rows} == {"A", "B", "C"}
    assert {row["xyz_class"] for row in rows} == {"X", "Y", "Z"}
    assert {row["provisional"] for row in rows} == {"true", "false"}
    accuracies = {row["inventory_accuracy"] for row in rows}
    assert {"", "0.0"} < accuracies
    assert len(accuracies) > 20
    assert {"", "0.0", "1.0"} < {row["count_accuracy"] for row in rows}
    assert any(row["demand_cv"] == "" for row in rows)
    assert any(float(row["units_ordered"]) % 1 for row in rows)
    assert any(float(row["units_returned"]) for row in rows)
