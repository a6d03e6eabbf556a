"""The compute API in a process of its own, over a made-up run, and what its answers must be."""

import asyncio
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb

from batcher.api import Api, build_app
from batcher.async_database import AsyncDatabase
from batcher.computing import ComputeDesk
from batcher.database import Database
from batcher.sites import Site
from benchmarks.verify import WrongOutput
from runtime.health import serve_http
from runtime.settings import Settings
from runtime.sites import site_windows
from schemas.records import Window
from schemas.windows import SiteWindows, SiteZones, WindowSpec

SITE = "BENCH"
AS_OF_MS = 1_738_713_600_000  # 2025-02-05T00:00:00Z
KNOWN = 100_000  # SKUs of the run
ASKED = 500_000  # SKUs of the data set; one in ten is unknown
BATCH_SIZE = 5_000
CONCURRENCY = 12

_RUN = """
INSERT INTO runs BY NAME SELECT
    'bench' AS run_id, $site AS site_id, 'rolling_30d' AS horizon, $as_of_ms AS as_of_ms, 0 AS start_ms,
    'bench' AS trigger, 0 AS calculated_at_ms, '' AS dataset_hash, '' AS reference_hash,
    1 AS complete_windows, 1 AS windows, $known AS skus, true AS current;
INSERT INTO results BY NAME SELECT
    $site AS site_id, format('SKU-{:07d}', i) AS sku, 'rolling_30d' AS horizon, $as_of_ms AS as_of_ms,
    i % 97 AS order_lines, (i % 1000) / 8 AS units_ordered, (i % 10) / 8 AS units_returned,
    (i % 1000 - i % 10) / 8 AS net_units, (i % 97) / 30 AS lines_per_day, (i % 1000) / 240 AS units_per_day,
    (i % 97) * 1.01 AS normalized_lines, (i % 97) * 1.01 / 30 AS velocity_coefficient, 'B' AS abc_class,
    (i % 7) / 3 AS demand_cv, 'Y' AS xyz_class, 0 AS variance_units, 0.98 AS inventory_accuracy,
    $as_of_ms - i * 60000 AS first_seen_ms, false AS provisional, 1 AS coverage, 'bench' AS run_id
FROM range($known) t(i)
"""


def asked_skus() -> list[str]:
    """The data set: all known SKUs and some unknown ones, in an order that is not the table's."""
    span = KNOWN * 10 // 9
    return [f"SKU-{number * 7_919 % span:07}" for number in range(ASKED)]


def check_rows(rows: Sequence[dict[str, Any]], skus: Sequence[str]) -> None:
    """Every SKU in its place, with its lines.

    Raises:
        WrongOutput
    """
    expected = [(sku, number % 97 if (number := int(sku[4:])) < KNOWN else None) for sku in skus]
    if [(row["sku"], row.get("order_lines")) for row in rows] != expected:
        raise WrongOutput("the rows are not those of the SKUs that were asked for")


@contextmanager
def compute_api(folder: Path) -> Iterator[str]:
    """The address of a server that is ready."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder / "results.duckdb", theirs))
    server.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        ours.close()  # which ends the server
        server.join()


def _serve(file: Path, pipe: Connection) -> None:
    asyncio.run(_answer_until_closed(file, pipe))


async def _answer_until_closed(file: Path, pipe: Connection) -> None:
    settings = Settings()
    windows = site_windows(settings)
    Database.open(file, settings, windows).close()
    with duckdb.connect(file) as connection:
        values = {"site": SITE, "as_of_ms": AS_OF_MS, "known": KNOWN}
        for statement in _RUN.split(";\n"):
            connection.execute(statement, {name: value for name, value in values.items() if f"${name}" in statement})
    database = AsyncDatabase(Database.open(file, settings, windows), settings.api.max_computations)
    api = Api()
    service: Any = OneSite(SITE, AS_OF_MS)
    api.answer_from(service, ComputeDesk(database, settings.api))
    runner, port = await serve_http(build_app(api), "127.0.0.1", 0)
    pipe.send(port)
    try:
        await asyncio.to_thread(pipe.recv)
    except EOFError:
        await runner.cleanup()
        await database.close(5)


class OneSite:
    """A worker's service without Kafka: the one site is always ready, and complete up to an instant."""

    assignment = frozenset({0})

    def __init__(self, site_id: str, complete_until_ms: int) -> None:
        grid = SiteWindows(WindowSpec.parse("PT1H"), SiteZones({}, "UTC")).grid_of(site_id)
        self._site = Site(site_id, 0, grid, 0, Window(0, complete_until_ms))

    async def site(self, _: str) -> Site:
        return self._site

    async def only_site(self) -> str:
        return self._site.site_id
