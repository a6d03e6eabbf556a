"""A batch worker regulates itself: under a limit of memory, with a full queue, and while its event loop lags."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from batch_world import HOUR, NOON, BatchWorker, BatchWorld, Order
from pipeline_world import PipelineWorld, until
from prometheus_client import Counter, Gauge

from batcher import feed, loading
from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.feed import Feed
from batcher.headroom import Headroom
from batcher.loading import Loaded, Loader
from batcher.manifests import Progress
from batcher.memory import Memory
from batcher.metrics import FACTS, HELD_BATCHES, LIMIT, LIMIT_REASON, LOAD_FAILURES
from batcher.partition import OwnedPartition
from batcher.pulse import bounds_of
from batcher.reading import read_load
from batcher.regulation import Regulator
from batcher.workbench import Workbench
from batcher.worker import Apis, _work
from runtime.health import Health
from runtime.partitioning import partition_of
from runtime.settings import Settings
from runtime.sites import site_windows
from runtime.topic_reader import end_offsets
from sandbox.kafka import EmbeddedKafka
from sandbox.kafka.probe import free_port
from schemas.sources import Source

SITE = "A"
HOME = partition_of(SITE, 2)
MB = 10**6
BACKLOG = 240  # so that some of it is left when the loop no longer lags: an idle worker's limit sinks


@pytest.fixture
def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Iterator[BatchWorld]:
    """Topics, a store, and nothing running yet."""
    pipeline = PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)
    yield BatchWorld(pipeline)
    pipeline.close()


def hourly(hours: range) -> list[Order]:
    """An order an hour, so that each is a batch of its own."""
    return [Order(f"o{hour}", "SKU", NOON + hour * HOUR, site_id=SITE) for hour in hours]


def settings_of(world: BatchWorld, **batch: Any) -> Settings:
    """The settings of a worker of this world, in this process."""
    more = {f"VELOCITY_BATCH__{name.upper()}": str(value) for name, value in batch.items()}
    with patch.dict("os.environ", {**world.world.environment, **more}, clear=True):
        return Settings(worker_id="here")


async def eventually(claim: Callable[[], bool] | Callable[[], Awaitable[bool]], within_s: float = 20.0) -> float:
    """Wait until a claim holds; how long it took, in seconds."""
    began = time.monotonic()
    while True:
        held = claim()
        if held if isinstance(held, bool) else await held:
            return time.monotonic() - began
        assert time.monotonic() - began < within_s, "it never came true"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*work: Any) -> AsyncIterator[None]:
    """Run coroutines beside a test; none may end before it."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
        assert not any(task.done() for task in tasks), [task.exception() for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


def sample(metric: Counter | Gauge, **labels: str) -> float:
    """A sample of this process; 0 where there is none. To ask the registry would collect all metrics, each time."""
    return next((one.value for one in metric.collect()[0].samples if one.labels == labels), 0.0)


def failures() -> float:
    """How many attempts to load a batch have failed in this process, whatever the reason."""
    return sum(one.value for one in LOAD_FAILURES.collect()[0].samples if one.name.endswith("_total"))


# -- memory ------------------------------------------------------------------------------------------------------------


def peak_bytes(worker: BatchWorker) -> int:
    """The most resident memory that a process ever had, as the kernel counts it."""
    status = Path(f"/proc/{worker.worker.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def loaded_under(world: BatchWorld, name: str, facts: int, **environment: str) -> int:
    """Let a worker take the backlog into a database of its own; its peak of resident memory."""
    group = {"VELOCITY_KAFKA__BATCH_GROUP": f"{world.world.name}-{name}", "VELOCITY_BATCH__THREADS": "2"}
    worker = world.start(name, free_port(), **group, **environment)

    def taken() -> bool:
        text = worker.ask("/metrics", accept="text/plain")[1]
        found = re.search(rb'velocity_facts_loaded_total\{source="orders"\} (\S+)', text or b"")
        return found is not None and float(found[1]) >= facts

    assert until(taken, 120), worker.worker.text[-3000:]
    metrics = worker.ask("/metrics", accept="text/plain")[1].decode()
    assert "velocity_batch_load_failures_total{" not in metrics, "a batch could not be loaded"
    assert "velocity_held_batches 0.0" in metrics
    peak = peak_bytes(worker)
    assert worker.worker.terminate() == 0
    return peak


@pytest.mark.parametrize(
    ("files", "limit_mb"), [(24, 450), pytest.param(48, 700, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_a_worker_with_little_memory_takes_a_backlog_that_wants_more(
    world: BatchWorld, files: int, limit_mb: int
) -> None:
    """It wants more than the limit where there is none; under the limit it stays below, and nothing fails."""
    world.backlog(files, rows_per_file=50_000)
    assert loaded_under(world, "free", files * 50_000) > limit_mb * MB
    assert loaded_under(world, "limited", files * 50_000, VELOCITY_BATCH__RSS_LIMIT=f"{limit_mb}MB") < limit_mb * MB


# -- a full queue ------------------------------------------------------------------------------------------------------


async def test_no_manifest_is_fetched_while_the_queue_is_full_and_none_is_lost(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position stands still while the log grows; once the loader goes on, every batch is loaded once."""
    monkeypatch.setattr(feed, "FETCHED_AT_ONCE", 10)
    settings = settings_of(world, queue_size=15)
    windows = site_windows(settings)
    database = AsyncDatabase(Database.open(world.world.directory / "here.duckdb", settings, windows))
    bench = Workbench(settings, windows, world.store, database, Health(), 2, lambda: NOON)
    taken, no_publisher = list[Loaded](), Any
    regulator, memory = Regulator(bounds_of(settings.batch)), Memory(Headroom(1 << 40), database)
    loader = Loader(bench, regulator, memory, taken.extend)
    owned = OwnedPartition(HOME, no_publisher, Progress(0), 0, None)

    async def end() -> int:
        return (await end_offsets(settings.kafka, bench.batches_topic))[HOME]

    try:
        world.checkpoint(Source.ORDERS, NOON, hourly(range(60)))
        async with running(Feed(bench, loader, owned).run()):
            await eventually(lambda: loader.queued >= 15)
            stood, lag = owned.progress.position, await end() - owned.progress.position
            assert stood == loader.queued == 20
            world.checkpoint(Source.ORDERS, NOON, hourly(range(60, 100)))
            await asyncio.sleep(3 * feed.POLL_MS / 1000)
            assert owned.progress.position == stood
            assert await end() - stood > lag
            async with running(loader.run()):
                await eventually(lambda: len(taken) >= 100)
                ends = await end()  # beyond the last transaction's marker
                await eventually(lambda: owned.progress.next_offset() == ends)
                assert sorted(one.result.facts_new for one in taken) == [1] * 100
    finally:
        await database.close(5.0)


# -- a late event loop -------------------------------------------------------------------------------------------------


async def block_repeatedly(for_s: float) -> None:
    """Hold up the event loop, again and again, as a callback that computes would."""
    while True:
        time.sleep(for_s)  # noqa: ASYNC251 - that is the trouble
        await asyncio.sleep(0.01)


async def test_while_the_loop_lags_fewer_files_are_read_at_once_and_then_more_again(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It falls within two seconds, says why, and recovers by itself; the backlog is loaded and nothing fails."""
    monkeypatch.setattr(loading, "read_load", lambda *of: (time.sleep(0.05), read_load(*of))[1])  # files queue
    world.checkpoint(Source.ORDERS, NOON, hourly(range(BACKLOG)))
    settings = settings_of(world, load_records=1, max_loop_lag="PT0.4S")
    before = sample(FACTS, source="orders")

    failed = failures()

    def limit() -> float:
        return sample(LIMIT)

    lowest = math.inf

    def rises() -> bool:
        """It may have fallen further: a machine with other work to do makes the loop late, too."""
        nonlocal lowest
        before, lowest = lowest, min(lowest, limit())
        return limit() > before

    async with running(_work(settings, Health(), Apis(), "127.0.0.1:1")):
        await eventually(lambda: limit() >= 6, within_s=60)  # then there is something to fall from
        async with running(block_repeatedly(0.6)):
            fell_s = await eventually(lambda: limit() <= 3)
            assert sample(LIMIT_REASON, reason="loop_lag") == 1
        await eventually(rises, within_s=40)
        settings.batch.load_records = 500_000  # the rest need not be one transaction each
        assert fell_s < 2.0
        assert sample(LIMIT_REASON, reason="queue") == 1
        assert sample(HELD_BATCHES) == 0
        await eventually(lambda: sample(FACTS, source="orders") == before + BACKLOG, 60)
        assert failures() == failed
