"""A WMS in a process of its own, and a run to deliver to it: what the lanes of delivery have in common."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb

from batcher.database import Database
from benchmarks.feed import SITE
from benchmarks.verify import WrongOutput
from runtime.settings import Settings
from runtime.sites import site_windows
from sandbox.wms import FakeWms

SKUS = 200_000
CHUNK_SKUS = 10_000
CONCURRENCY = 4
HORIZON = "rolling_30d"
RUN_ID = "d" * 64
AS_OF_MS = 1_738_713_600_000  # 2025-02-05T00:00:00Z

_SETUP = """
INSERT INTO sites VALUES ($site, 0);
INSERT INTO results BY NAME
SELECT $site AS site_id, format('SKU-{:06d}', i) AS sku, $horizon AS horizon, $as_of_ms AS as_of_ms,
    i % 997 AS order_lines, (i % 997) * 1.5 AS units_ordered, 0 AS units_returned, (i % 997) * 1.5 AS net_units,
    (i % 997) / 30 AS lines_per_day, (i % 997) / 20 AS units_per_day, i % 997 AS normalized_lines,
    (i % 997) / 30 AS velocity_coefficient, 'A' AS abc_class, (i % 7) / 3 AS demand_cv, 'X' AS xyz_class,
    0 AS variance_units, 1 AS inventory_accuracy, i AS first_seen_ms, false AS provisional, 1 AS coverage,
    $run_id AS run_id, i % 997 AS forward_lines,
    'A' AS stable_class, NULL AS count_accuracy, 0 AS pending_runs
FROM range($skus) t(i);
INSERT INTO runs BY NAME
SELECT $run_id AS run_id, $site AS site_id, $horizon AS horizon, $as_of_ms AS as_of_ms, 0 AS start_ms,
    'bench' AS trigger, 0 AS calculated_at_ms, '' AS dataset_hash, '' AS reference_hash,
    1 AS complete_windows, 1 AS windows,
    $skus AS skus, true AS current;
INSERT INTO published_runs BY NAME
SELECT $site AS site_id, $horizon AS horizon, 0 AS partition, $as_of_ms AS as_of_ms, $run_id AS run_id
"""


@dataclass(frozen=True, slots=True)
class Wms:
    """Where it answers, and a line to its process."""

    url: str
    pid: int
    line: Connection

    def verify(self) -> None:
        """
        Raises:
            WrongOutput: it does not have every coefficient.
        """
        self.line.send("what do you have?")
        count, lines = self.line.recv()
        expected = SKUS, sum(number % 997 for number in range(SKUS))
        if (count, lines) != expected:
            raise WrongOutput(f"the WMS has {count} SKUs with {lines} lines, not {expected}")


@contextmanager
def running_wms() -> Iterator[Wms]:
    """A WMS that does as it is asked."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Wms(ours.recv(), process.pid or 0, ours)
    finally:
        process.terminate()
        process.join()


def _serve(line: Connection) -> None:
    async def serve() -> None:
        async with FakeWms() as wms:
            line.send(wms.url)
            while await asyncio.to_thread(line.recv):
                line.send((len(wms.rows), sum(row.order_lines for row in wms.rows.values())))

    asyncio.run(serve())


def prepare(directory: Path, url: str) -> tuple[Settings, Path]:
    """Settings with one sink, and a database whose published run it has nothing of."""
    sink: Any = {
        "kind": "http",
        "urls": [url],
        "when": "always",
        "chunk_skus": CHUNK_SKUS,
        "max_concurrency": CONCURRENCY,
    }
    settings, file = Settings(sinks={"wms": sink}), directory / "delivery.duckdb"
    Database.open(file, settings, site_windows(settings)).close()
    values = {"site": SITE, "horizon": HORIZON, "as_of_ms": AS_OF_MS, "run_id": RUN_ID, "skus": SKUS}
    with duckdb.connect(file) as connection:
        for statement in _SETUP.split(";\n"):
            connection.execute(statement, {name: v for name, v in values.items() if f"${name}" in statement})
    return settings, file
