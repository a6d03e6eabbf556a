"""Runs to be delivered, made by hand: their rows are what a test says, one number per SKU."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, cast

import pyarrow as pa

from batcher import runs
from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.delivery import failed_records
from batcher.delivery.chunks import Target
from batcher.delivery.round import Clock
from batcher.delivery.sink_desk import SinkDesk
from batcher.delivery.standing import Overview, Standing, read_overview
from batcher.queries import Connection
from batcher.runs import Run
from batcher.traces import SiteTraces
from batcher.workbench import Workbench
from runtime.health import Health
from runtime.settings import Settings
from runtime.sites import site_windows
from runtime.tracing import OFF, Tracing
from schemas.failed_chunks import FailedChunk
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
    1 AS coverage, $run_id AS run_id, lines AS forward_lines,
    'A' AS stable_class, NULL AS count_accuracy, 0 AS pending_runs
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
        connection.register(
            "wanted", pa.table({"sku": list(lines), "lines": pa.array(list(lines.values()), pa.int64())})
        )
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


def scaled_clock(factor: float) -> Clock:
    """Time that goes so many times as fast; chances are drawn as they come."""
    return Clock(lambda: time.monotonic() * factor, lambda seconds: asyncio.sleep(seconds / factor))


class DeliveryWorld:
    """A sink at work on a database of its own, as a batch worker has it. An async context manager.

    `open_until` and `owned` may be changed while it works.
    """

    def __init__(
        self, directory: Path, sink: dict[str, Any], *, clock: Clock | None = None, tracing: Tracing = OFF
    ) -> None:
        self.settings = Settings(sinks={"wms": {"when": "always", **sink}}, state_dir=directory)
        windows = site_windows(self.settings)
        self.database = Database.open(directory / "velocity.duckdb", self.settings, windows)
        self.health = Health()
        self.traces = SiteTraces(tracing)
        self.open_until: Callable[[str, int], int | None] = lambda site_id, now_ms: now_ms + 1
        self._clock = clock
        self._bench = Workbench(
            self.settings,
            windows,
            cast(Any, None),
            AsyncDatabase(self.database),
            self.health,
            1,
            lambda: time.time_ns() // 1_000_000,
            self.traces,
        )

    async def __aenter__(self) -> Self:
        self.desk = SinkDesk(
            self._bench,
            "wms",
            self.settings.sinks["wms"],
            owns=lambda _: True,
            open_until=lambda site_id, now_ms: self.open_until(site_id, now_ms),  # noqa: PLW0108, it may change
            clock=self._clock,
        )
        await self.desk.sweep()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.desk.lines.close()
        await self._bench.database.close(5)

    async def overview(self, *sites: str) -> Overview:
        """How everything stands."""
        return await self._bench.database.read(Database.ask, lambda c: read_overview(c, sites or (SITE,)))

    async def visit(self) -> Standing:
        """One round of whatever is due; how the target stands after it, which is shown, too."""
        await self.desk.visit(await self.overview())
        overview = await self.overview()
        self.desk._show(overview)
        return overview.standings.get(TARGET, Standing())

    def records(self) -> list[FailedChunk]:
        """Records for the topic of failed chunks."""
        return self.database.ask(failed_records.untold)
