"""The compute API in a process of its own, over the run of made-up facts, and what its answers must be."""

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
from benchmarks.made_facts import sum_up
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

#: SKU i has 1 + i % 3 orders within the horizon.
_FACTS = """
INSERT INTO facts BY NAME SELECT
    (1::BIGINT << 32) + i // 3 AS series_no, $as_of_ms - 3_600_000 - i * 1_000 AS event_time_ms,
    (1 + i % 12)::DECIMAL(18, 3) / 8 AS quantity, 1 AS batch_no, hash(i) AS key_hash,
    hash(i + 1_000_000_000) AS body_hash
FROM range(3 * $known) t(i) WHERE i % 3 <= i // 3 % 3
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
    expected = [(sku, 1 + number % 3 if (number := int(sku[4:])) < KNOWN else None) for sku in skus]
    if [(row["sku"], row.get("order_lines")) for row in rows] != expected:
        raise WrongOutput("the rows are not those of the SKUs that were asked for")


@contextmanager
def compute_api(folder: Path) -> Iterator[tuple[str, int]]:
    """The address of a server that is ready, and its process id."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder / "results.duckdb", theirs))
    server.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}", server.pid or 0
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
        connection.execute(_FACTS, {"as_of_ms": AS_OF_MS, "known": KNOWN})
        sum_up(connection, SITE, digits=7)
    opened = Database.open(file, settings, windows)
    opened.calculate(SITE, AS_OF_MS, trigger="bench", now_ms=AS_OF_MS, newest=False)
    database = AsyncDatabase(opened, settings.api.max_computations)
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
