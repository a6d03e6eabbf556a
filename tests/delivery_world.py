"""Runs to be delivered, made by hand: their rows are what a test says, one number per SKU."""

from collections.abc import Mapping
from dataclasses import asdict

import pyarrow as pa

from batcher import runs
from batcher.database import Database
from batcher.delivery.chunks import Target
from batcher.queries import Connection
from batcher.runs import Run
from schemas.instants import parse_rfc3339

AS_OF_MS = parse_rfc3339("2026-03-01T00:00:00Z")
SITE = "S1"
HORIZON = "rolling_30d"
TARGET = Target("wms", SITE, HORIZON)

_RESULTS = """
INSERT INTO results BY NAME
SELECT $site AS site_id, sku, $horizon AS horizon, $as_of_ms AS as_of_ms, lines AS order_lines, lines AS units_ordered,
    0 AS units_returned, lines AS net_units, lines / 30 AS lines_per_day, lines / 30 AS units_per_day,
    lines AS normalized_lines, lines / 30 AS velocity_coefficient, 'A' AS abc_class, NULL AS demand_cv,
    'Z' AS xyz_class, 0 AS variance_units, NULL AS inventory_accuracy, 0 AS first_seen_ms, false AS provisional,
    1 AS coverage, $run_id AS run_id
FROM wanted
"""


def make_run(run_id: str, *, site_id: str = SITE, as_of_ms: int = AS_OF_MS, skus: int = 0) -> Run:
    """A run with all windows complete."""
    return Run(
        run_id=run_id,
        site_id=site_id,
        horizon=HORIZON,
        as_of_ms=as_of_ms,
        start_ms=0,
        trigger="test",
        calculated_at_ms=0,
        dataset_hash="",
        reference_hash="",
        complete_windows=1,
        windows=1,
        skus=skus,
        current=True,
    )


def publish(
    database: Database, run_id: str, lines: Mapping[str, int], *, site_id: str = SITE, as_of_ms: int = AS_OF_MS
) -> Run:
    """A published run whose results are these order lines by SKU, in place of the site's earlier ones."""
    run = make_run(run_id, site_id=site_id, as_of_ms=as_of_ms, skus=len(lines))

    def enter(connection: Connection) -> None:
        runs.clear(connection, run)
        connection.register("wanted", pa.table({"sku": list(lines), "lines": pa.array(list(lines.values()), pa.int64())}))
        values = {"site": site_id, "horizon": HORIZON, "as_of_ms": as_of_ms, "run_id": run_id}
        connection.execute(_RESULTS, values)
        connection.unregister("wanted")
        connection.register("new_run", pa.Table.from_pylist([asdict(run)]))
        connection.execute("INSERT OR REPLACE INTO runs BY NAME FROM new_run")
        connection.unregister("new_run")
        connection.execute("INSERT OR REPLACE INTO sites VALUES ($site, 0)", {"site": site_id})
        connection.execute(
            "INSERT OR REPLACE INTO published_runs BY NAME SELECT $site AS site_id, $horizon AS horizon, "
            "0 AS partition, $as_of_ms AS as_of_ms, $run_id AS run_id",
            values,
        )

    database.change(enter)
    return run
