"""The main job on real input: 209,029 retail lines through a real Kafka, checked against independent SQL."""

import csv
import io
import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from acceptance_feeds import EXACT, RETAIL_ENVIRONMENT, coefficients, sample, start_retail
from pipeline_world import PipelineWorld

from sandbox import retail_sample
from sandbox.disorder import Disorder, disordered
from sandbox.malformed import MALFORMED_KINDS
from schemas.errors import ErrorClass
from schemas.sources import Source

ORACLE = Path(__file__).with_name("retail_oracle.sql").read_text("utf-8")
PARQUET = Path(retail_sample.__file__).parent / "data" / "online_retail_2010-12_2011-05.parquet"
# Naive on purpose: the oracle works in London wall time.
INSTANTS = {
    "one day after the clocks went forward": ("2011-03-28T00:00", "2011-03-27T23:00"),
    "the end of the sample": ("2011-06-01T00:00", "2011-05-31T23:00"),
}
LINES = 209_029
DISORDER = Disorder(max_out_of_orderness_ms=600_000, late_fraction=0.01, duplicate_fraction=0.01)
RATIOS = ("lines_per_day", "units_per_day", "velocity_coefficient", "demand_cv")
CLASSES = ("abc_class", "xyz_class")


def oracle(wall: datetime, utc: datetime) -> dict[str, dict[str, Any]]:
    """Every row by SKU, from the raw file."""
    with duckdb.connect() as connection:
        cursor = connection.execute(ORACLE, {"file": str(PARQUET), "as_of": wall, "as_of_utc": utc})
        names = [column[0] for column in cursor.description or ()]
        return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


@pytest.mark.parametrize("instant", INSTANTS)
def test_every_column_agrees_with_independent_sql(pipeline: PipelineWorld, instant: str) -> None:
    """All rows, all columns: sums and classes exactly, ratios to 1e-9."""
    wall, utc = map(datetime.fromisoformat, INSTANTS[instant])
    as_of = utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = list(csv.DictReader(io.StringIO(coefficients(pipeline, as_of))))
    expected = oracle(wall, utc)
    assert [row["sku"] for row in rows] == sorted(expected)
    for row in rows:
        _assert_row(row, expected[row["sku"]], as_of)
    assert len({row["run_id"] for row in rows}) == 1


def _assert_row(row: dict[str, str], wanted: dict[str, Any], as_of: str) -> None:
    sku = row["sku"]
    assert (row["site_id"], row["horizon"], row["as_of"]) == ("UK-DC1", "rolling_30d", as_of)
    for name in EXACT:
        assert float(row[name]) == float(wanted[name]), (sku, name, row[name], wanted[name])
    for name in RATIOS:
        if wanted[name] is None:
            assert row[name] == "", (sku, name)
        else:
            assert math.isclose(float(row[name]), float(wanted[name]), rel_tol=0, abs_tol=1e-9), (sku, name)
    for name in CLASSES:
        assert row[name] == wanted[name], (sku, name, row[name], wanted[name])
    first_seen = datetime.fromisoformat(row["first_seen"])
    assert first_seen.astimezone(UTC).replace(tzinfo=None) == wanted["first_seen"], sku
    assert row["provisional"] == str(wanted["provisional"]).lower(), sku
    assert (row["inventory_accuracy"], row["count_accuracy"], float(row["coverage"])) == ("", "", 1.0), sku
    assert row["stable_class"] == wanted["abc_class"], sku  # classes have no memory unless the settings give them one
    assert len(row["run_id"]) == 64


def test_a_coefficient_is_explained_down_to_its_batches(pipeline: PipelineWorld) -> None:
    """`velocity explain`: lines, units and facts add up to the row, for machines; for people, top to bottom."""
    as_of = f"{INSTANTS['the end of the sample'][1]}:00Z"
    pipeline.run("recalc", "--as-of", as_of)
    (told,) = pipeline.json("explain", "85123a", "--as-of", as_of)
    result = told["result"]
    assert sum(row["normalized_lines"] for row in told["factors"]) == result["normalized_lines"] > 100
    assert sum(row["units"] for row in told["conversions"] if row["source"] == "orders") == result["units_ordered"]
    assert {row["kind"] for row in told["batches"]} == {"on_time"}
    text = pipeline.run("explain", "85123A", "--site", "UK-DC1", "--as-of", as_of).stdout
    assert text.startswith("85123A at UK-DC1, rolling_30d: A")
    assert told["batches"][-1]["batch_id"] in text


def test_the_audit_accounts_for_every_line(pipeline: PipelineWorld) -> None:
    """Delivered = batches + corrections + dead letters + open, down to every offset."""
    audit = pipeline.json("audit", "--deep")
    assert audit["complete"] is True, audit
    assert audit["delivered"] == LINES
    parts = ("in_batches", "in_corrections", "dead_lettered", "open")
    assert sum(audit[part] for part in parts) == audit["delivered"]
    assert audit["open"] == 0
    assert audit["gaps"] == 0 or audit["gaps"] == []


def test_service_lines_are_dead_letters_as_they_should_be(pipeline: PipelineWorld) -> None:
    """POST, M, BANK CHARGES and the like fail the demo's SKU pattern, and nothing else is refused."""
    stats = pipeline.json("dlq", "stats")
    assert stats["by_class"] == {"bad_format": 1274}
    letters = pipeline.dead_letters()
    assert Counter(letter.path for letter in letters) == {"$.sku": 1274}


def test_the_same_run_again_changes_nothing(pipeline: PipelineWorld) -> None:
    """A recalculation with the same data and instant has the same run id, and writes no row."""
    first = pipeline.run("coefficients", "--as-of", "2011-05-31T23:00:00Z", "--format", "csv").stdout
    published = len(pipeline.read(pipeline.topic("velocity.coefficients.v1")))
    pipeline.run("recalc", "--as-of", "2011-05-31T23:00:00Z")
    assert pipeline.run("coefficients", "--as-of", "2011-05-31T23:00:00Z", "--format", "csv").stdout == first
    assert len(pipeline.read(pipeline.topic("velocity.coefficients.v1"))) == published


def test_disorder_late_doubled_and_malformed_lines_change_nothing(pipeline: PipelineWorld, make_world: Any) -> None:
    """The whole sample once more, keyless: shuffled within the bound, 1 % days late, 1 % twice, with 77 kinds of
    malformed lines. Coefficients and run ids are those of the orderly sample to the byte, at every instant."""
    world = make_world("disordered-retail", **RETAIL_ENVIRONMENT)
    start_retail(world)
    sent = disordered_sample()
    lines = [line for of_source in sent.values() for line in of_source]
    for source, of_source in sent.items():
        world.produce(source, of_source)
    world.drain(within_s=180)
    for _, utc in INSTANTS.values():
        assert coefficients(world, f"{utc}:00Z") == coefficients(pipeline, f"{utc}:00Z")
    audit = world.json("audit", "--deep")
    assert audit["complete"] is True, audit
    assert audit["delivered"] == len(lines) > 1.005 * LINES
    assert audit["in_corrections"] > 0.005 * LINES
    refused = {letter.value for letter in pipeline.dead_letters()}
    expected = Counter((kind.line, kind.error_class, kind.path) for kind in MALFORMED_KINDS)
    expected.update((line, ErrorClass.BAD_FORMAT, "$.sku") for line in lines if line in refused)
    assert Counter((letter.value, letter.error_class, letter.path) for letter in world.dead_letters()) == expected
    world.close()


def disordered_sample() -> dict[Source, list[bytes]]:
    """What each source is sent."""
    found: dict[Source, list[bytes]] = {}
    for source, lines in sample().items():
        malformed = [kind.line for kind in MALFORMED_KINDS if kind.source is source]
        found[source] = list(disordered(lines, DISORDER, seed=5, malformed=malformed).lines)
    return found
