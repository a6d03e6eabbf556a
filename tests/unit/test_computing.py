"""The compute API over a real database and real HTTP: what it answers, and how it refuses under load."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from hand_made import SITE, batch, open_database, order

from batcher import answers, metrics
from batcher.api import MAX_BODY_BYTES, Api, build_app
from batcher.async_database import AsyncDatabase
from batcher.computing import ComputeDesk
from batcher.database import Database
from batcher.queries import Connection
from batcher.requests import MAX_SKU_LENGTH, MAX_SKUS
from batcher.runs import Run
from benchmarks.compute_api import OneSite
from runtime.health import serve_http
from runtime.settings import ApiSettings
from schemas.sources import Source

T = "2011-05-01T10:00:00Z"
AS_OF_MS = 1_306_800_000_000
PATH = "/api/v1/velocity/compute"


@pytest.fixture
def database() -> Database:
    """Three SKUs with a run; `serving` closes it."""
    database = open_database()
    events = [order(f"E{n}", T, sku=sku, quantity=n / 8) for n, sku in enumerate(("A", "B", "ÄÖ", "A"))]
    database.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)
    database.calculate(SITE, AS_OF_MS, trigger="test", now_ms=0, newest=True)
    return database


@asynccontextmanager
async def serving(database: Database, settings: ApiSettings) -> AsyncIterator[Callable[..., Any]]:
    """A function that asks the API: it returns status, content and headers."""
    threads = AsyncDatabase(database, settings.max_computations)
    api = Api()
    service: Any = OneSite(SITE, AS_OF_MS)
    api.answer_from(service, ComputeDesk(threads, settings))
    runner, port = await serve_http(build_app(api), "127.0.0.1", 0)

    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def ask(*skus: str, **more: Any) -> tuple[int, Any, Any]:
            body = {"skus": skus, "site_id": SITE, **more}
            async with session.post(PATH, json=body) as reply:
                return reply.status, await reply.json(), reply.headers

        yield ask
    await runner.cleanup()
    await threads.close(5)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """A computation takes for ever from now on; those that have begun."""
    begun: list[Run] = []

    def results_of(connection: Connection, run: Run, _: Any) -> str:
        begun.append(run)
        return str(
            connection.execute("SELECT sum(a.i * b.i) FROM range(10_000_000) a(i), range(10_000) b(i)").fetchall()
        )

    monkeypatch.setattr(answers, "results_of", results_of)
    return begun


async def test_every_sku_is_answered_in_its_place_with_all_columns(database: Database) -> None:
    """As it was asked for, found by its canonical form, as often as it was asked for; the values are those of the
    results table."""
    asked = ["b ", "nothing", 'quote " and \\', "A", "äö", "A", ""][:-1]
    async with serving(database, ApiSettings()) as ask:
        status, body, _ = await ask(*asked)
        run, kept = database.runs()[0], {row["sku"]: row for row in database.results(SITE).to_pylist()}
    rows = body["results"]
    assert (status, body["run_id"]) == (200, run.run_id)
    assert [row["sku"] for row in rows] == asked
    assert [row["status"] for row in rows] == ["ok", "unknown", "unknown", "ok", "ok", "ok"]
    assert rows[1] == {"sku": "nothing", "status": "unknown"}
    assert rows[3] == {**kept["A"], "status": "ok"} == rows[5]
    assert rows[4] == {**kept["ÄÖ"], "sku": "äö", "status": "ok"}
    assert list(rows[3]) == [*kept["A"], "status"]


async def test_the_largest_request_fits(database: Database) -> None:
    """20,000 SKUs of 256 characters; one SKU or one character more is refused by name, a body beyond that unread."""
    long = [f"{number:0{MAX_SKU_LENGTH}}" for number in range(MAX_SKUS)]
    async with serving(database, ApiSettings()) as ask:
        status, body, _ = await ask(*long)
        assert (status, len(body["results"])) == (200, MAX_SKUS)
        assert (await ask("x" * (MAX_BODY_BYTES + 1)))[0] == 413
        status, body, _ = await ask(*("A" for _ in range(MAX_SKUS + 1)))
        assert (status, "length <= 20000" in body["message"]) == (400, True)
        status, body, _ = await ask("x" * (MAX_SKU_LENGTH + 1))
        assert (status, "length <= 256" in body["message"]) == (400, True)
        assert (await ask())[0] == 400


async def test_beyond_the_queue_the_answer_is_429_with_the_time_to_stay_away(
    database: Database, endless: list[Run]
) -> None:
    """One computes, one waits, the third is told to come back; when the deadline passes both get 503, and the queries
    are over: their threads are free for the next."""
    settings = ApiSettings(max_computations=1, max_waiting=1, compute_deadline=timedelta(seconds=3))
    late = metrics.COMPUTE_REFUSED.labels("deadline")._value.get()
    async with serving(database, settings) as ask:
        waiting = [asyncio.create_task(ask("A")) for _ in range(2)]
        while not endless or metrics.COMPUTE_REQUESTS._value.get() < 2:  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0.005)
        status, body, headers = await ask("A")
        assert (status, body["error"], headers["Retry-After"]) == (429, "busy", "2")
        for status, body, headers in await asyncio.gather(*waiting):
            assert (status, body["error"]) == (503, "too_late")
            assert "VELOCITY_API__COMPUTE_DEADLINE" in body["message"]
            assert int(headers["Retry-After"]) >= 1
        assert len(endless) == 1, "who only waited has asked the database nothing"
        assert metrics.COMPUTE_REFUSED.labels("deadline")._value.get() == late + 2
        assert metrics.COMPUTE_REQUESTS._value.get() == 0


async def test_an_interrupted_query_leaves_the_database_as_it_was(database: Database, endless: list[Run]) -> None:
    """It can be read and written at once."""
    settings = ApiSettings(compute_deadline=timedelta(seconds=0.2))
    async with serving(database, settings) as ask:
        assert (await ask("A"))[0] == 503
        assert endless
        later_ms = AS_OF_MS + 3_600_000
        await asyncio.to_thread(database.calculate, SITE, later_ms, trigger="test", now_ms=0, newest=True)
        assert len(database.runs()) == 2
