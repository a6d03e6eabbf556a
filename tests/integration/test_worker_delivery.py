"""A real batch worker delivers what it publishes: through a kill, by API and command line, with failures on Kafka."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from batch_world import HOUR, NOON, BatchWorker, BatchWorld, Order
from pipeline_world import PipelineWorld, until

from sandbox.kafka import EmbeddedKafka
from sandbox.kafka.probe import free_port
from sandbox.wms import FakeWms, Fault, FaultScript
from schemas.failed_chunks import ChunkState, decode_failed_chunk
from schemas.sources import Source

CHUNKS, CHUNK_SKUS = 40, 5


@pytest.fixture
async def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> AsyncIterator[BatchWorld]:
    """Topics, a store, and nothing running yet."""
    pipeline = PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)
    yield await asyncio.to_thread(BatchWorld, pipeline)
    await asyncio.to_thread(pipeline.close)


def sink(wms: FakeWms, **more: str) -> dict[str, str]:
    """The environment of a worker with that sink, one chunk after the other."""
    named = {"KIND": "http", "URLS": wms.url, "WHEN": "always", "CHUNK_SKUS": str(CHUNK_SKUS), "MAX_CONCURRENCY": "1"}
    return {f"VELOCITY_SINKS__WMS__{name}": value for name, value in (named | more).items()}


def orders() -> list[Order]:
    """One order of each SKU."""
    return [Order(f"o{number}", f"SKU-{number:03}", NOON + number) for number in range(CHUNKS * CHUNK_SKUS)]


async def row_when(worker: BatchWorker, **wanted: Any) -> dict[str, Any]:
    """The row of the sink once it has these values; fails with the worker's log."""
    rows: list[dict[str, Any]] = []

    def there() -> bool:
        nonlocal rows
        rows = (worker.ask("/api/v1/sinks")[1] or {}).get("rows", [])
        return bool(rows) and all(rows[0][name] == value for name, value in wanted.items())

    assert await asyncio.to_thread(until, there), (rows, worker.worker.text)
    return rows[0]


async def test_a_worker_that_is_killed_in_the_middle_delivers_the_rest(world: BatchWorld) -> None:
    """Forty chunks, SIGKILL after the effect of the fifteenth: each takes effect once, one is sent twice."""
    port = free_port()
    async with FakeWms() as wms:
        worker = world.start("b1", port, **sink(wms), VELOCITY_CRASH_AT="delivery.before_acknowledge:15")
        await asyncio.to_thread(world.checkpoint, Source.ORDERS, NOON + 2 * HOUR, orders())
        await asyncio.to_thread(world.pass_all, NOON + HOUR)
        assert await asyncio.to_thread(worker.worker.process.wait, 60) == -signal.SIGKILL
        assert len(wms.applied) == 15
        worker = world.start("b1", port, **sink(wms))
        row = await row_when(worker, done=True)
        assert row["acknowledged_run"] == row["published_run"]
        assert len(wms.rows) == CHUNKS * CHUNK_SKUS
        again = [applied.again for applied in wms.applied.values()]
        assert again == [0] * 14 + [1] + [0] * 25, worker.worker.text

        base = {"VELOCITY_API__URL": f"http://127.0.0.1:{port}"}
        world.world.extra |= base
        listed = await asyncio.to_thread(world.world.json, "sinks", "list", "--json")
        assert listed[0]["backlog_skus"] == 0
        delivered = await asyncio.to_thread(world.world.json, "deliver", "--sink", "wms", "--full", "--json")
        assert delivered[0]["done"]
        assert len(wms.applied) == 2 * CHUNKS


async def test_what_fails_is_on_its_topic_and_can_be_tried_again_by_a_person(world: BatchWorld) -> None:
    """`deliver` exits 1 while a chunk has failed; retried it is delivered, and the topic says so."""
    port = free_port()
    async with FakeWms(FaultScript(first=(None, Fault.REFUSED))) as wms:
        worker = world.start("b1", port, **sink(wms, CHUNK_SKUS="100"))
        await asyncio.to_thread(world.checkpoint, Source.ORDERS, NOON + 2 * HOUR, orders())
        await asyncio.to_thread(world.pass_all, NOON + HOUR)
        chunks = {"pending": 0, "sending": 0, "acknowledged": 1, "dropped": 0, "failed": 1}
        await row_when(worker, chunks=chunks, waiting="1 chunks failed: 422 Unprocessable Entity")
        world.world.extra |= {"VELOCITY_API__URL": f"http://127.0.0.1:{port}"}
        done = await asyncio.to_thread(world.world.run, "deliver", "--sink", "wms", check=False)
        assert (done.returncode, "1 chunks failed" in done.stderr) == (1, True)

        def records() -> list[Any]:
            topic = world.world.topic("velocity.failed-chunks.v1")
            return [decode_failed_chunk(message.value()) for message in world.world.read(topic)]

        assert await asyncio.to_thread(until, records)
        (failed,) = await asyncio.to_thread(records)
        assert (failed.state, len(failed.skus), failed.site_id) == (ChunkState.FAILED, 100, "A")
        asked = {"chunk_id": failed.chunk_id, "site_id": "A"}
        status, _ = await asyncio.to_thread(worker.ask, "/api/v1/chunks/retry", asked)
        assert status == 200
        await row_when(worker, done=True)
        assert len(wms.rows) == CHUNKS * CHUNK_SKUS
        assert await asyncio.to_thread(until, lambda: records()[-1].state is ChunkState.DELIVERED)
        status, body = await asyncio.to_thread(worker.ask, "/api/v1/deliveries", {"sink": "nowhere"})
        assert (status, body["message"]) == (400, "there is no sink 'nowhere'; there are wms")


async def test_what_another_worker_delivered_in_the_meantime_is_not_taken_for_known(world: BatchWorld) -> None:
    """The first worker knows the first run, the second delivers another one; what the first knew is then void."""
    ports = free_port(), free_port()
    facts = orders()[:20]
    async with FakeWms() as wms:
        environment = sink(wms, CHUNK_SKUS="100")
        first = world.start("b1", ports[0], **environment)
        await asyncio.to_thread(world.checkpoint, Source.ORDERS, NOON + 4 * HOUR, facts)
        await asyncio.to_thread(world.pass_all, NOON + HOUR)
        await row_when(first, done=True)
        await asyncio.to_thread(first.worker.terminate)
        second = world.start("b2", ports[1], **environment)
        await row_when(second, done=True)
        assert len(wms.applied) == 2, "nothing is known to the second worker: it sends all"
        await asyncio.to_thread(second.worker.terminate)
        wms.rows.clear()
        first = world.start("b1", ports[0], **environment)
        await row_when(first, done=True)
        assert await asyncio.to_thread(until, lambda: len(wms.applied) == 3), first.worker.text
        assert len(wms.rows) == 20
