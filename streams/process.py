"""The stream worker as a process: start, HTTP, signals, stop. Exit codes: 0 stopped, 1 failed, 3 refused."""

import asyncio
import gc
import time
from contextlib import suppress
from typing import cast

import faust
import msgspec
import structlog
from aiohttp import web
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from runtime.connections import probe, until_connected
from runtime.consumers import reading
from runtime.health import Health, add_health_routes, serve_http
from runtime.memory import frugal_memory, keep_freed_memory
from runtime.settings import Settings, milliseconds
from runtime.sites import site_windows
from runtime.stopping import stop_on_signals
from runtime.store import StoreError, open_store
from runtime.topic_reader import end_offsets
from runtime.topics import check_topics
from runtime.tracing import open_tracing
from schemas.codecs import decode
from schemas.records import ControlRecord
from schemas.sources import Source
from schemas.topics import TopicRole
from streams.app import add_agents, build_app
from streams.batch_file import BatchFormat
from streams.event_clock import ClockRules
from streams.fetch_lane import FetchLane
from streams.intake import Intake, IntakeRules
from streams.pressure import Pressure
from streams.recovery import check_settings_of_all
from streams.settings_hash import settings_hash
from streams.surroundings import until_store_is_ours, watch_membership, watch_surroundings
from streams.workbench import Workbench
from streams.worker import TICK_S, StreamWorker

log = structlog.get_logger(__name__)

CONTROL_RETRY_S = 2.0
FAUST_STOP_S = 2.0
STOP_WITHIN_S = 9.0
#: A fetch is parsed into tens of thousands of objects that die at once. At Python's defaults the cyclic collector looks
#: through them again and again: a fifth of the worker's CPU time, when it was measured (docs/performance.md).
GC_THRESHOLDS = (500_000, 20, 50)


def build_workbench(settings: Settings, health: Health) -> Workbench:
    """Everything that partitions share.

    Raises:
        Refusal: the sites file, the schema directory or the store's address is wrong.
    """
    windows = site_windows(settings)
    rules = IntakeRules.from_settings(settings.intake)
    return Workbench(
        settings=settings,
        settings_hash=settings_hash(settings, rules, windows.zones),
        store=open_store(
            settings.store, min_free_bytes=settings.stream.min_free_bytes, spool_dir=settings.state_dir / "spool"
        ),
        windows=windows,
        rules=ClockRules(
            milliseconds(settings.window.max_out_of_orderness),
            milliseconds(settings.window.idle_timeout),
            settings.window.idle_policy,
            windows.spec.longest_ms,
        ),
        intakes={source: Intake(source, rules) for source in Source},
        formats={source: BatchFormat(source, settings.stream.codec) for source in Source},
        pressure=Pressure(health),
        wall_ms=lambda: time.time_ns() // 1_000_000,
        tracing=open_tracing(settings.traces, "stream", settings.worker_id),
    )


async def run_stream_worker(settings: Settings) -> int:
    """Run until a signal, a drain with `--stop`, or a failure; returns the exit code.

    Raises:
        Refusal: a guard said no at start.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    keep_freed_memory()
    frugal_memory()
    stop = stop_on_signals(STOP_WITHIN_S)
    health = Health()
    bench = build_workbench(settings, health)
    http = web.Application()
    add_health_routes(http, health)
    runner, port = await serve_http(http, settings.stream.http_host, settings.stream.http_port)
    log.info("stream worker", worker=settings.worker_id, http_port=port, kafka=settings.kafka.bootstrap_servers)
    try:
        health.raise_reason("start", "not started yet")
        if not await _prepared(bench, stop):
            return 0
        health.clear("start")
        return await _run(bench, health, stop)
    finally:
        await asyncio.to_thread(bench.tracing.close)
        await runner.cleanup()


async def _prepared(bench: Workbench, stop: asyncio.Event) -> bool:
    """Prepare, unless a signal comes first."""
    preparing, stopped = asyncio.create_task(_prepare(bench)), asyncio.create_task(stop.wait())
    await asyncio.wait([preparing, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not preparing.done():
        preparing.cancel()
        return False
    preparing.result()
    return True


async def _prepare(bench: Workbench) -> None:
    """Wait for Kafka and the store, check the topics, and remove what an earlier life left in the temporary folder."""
    await until_connected("start", lambda: asyncio.to_thread(probe, bench.settings.kafka))
    await asyncio.to_thread(check_topics, bench.settings)
    await until_store_is_ours(bench)
    with suppress(StoreError):
        swept = await asyncio.to_thread(bench.store.sweep, bench.settings.worker_id)
        log.debug("temporary files swept", files=swept)
    await until_connected("start", lambda: check_settings_of_all(bench.settings, bench.settings_hash))


async def _run(bench: Workbench, health: Health, stop: asyncio.Event) -> int:
    app = build_app(bench.settings)
    health.raise_reason("group", "has not joined its consumer group yet")
    worker = StreamWorker(bench, health, lambda: cast(FetchLane, app.consumer))
    add_agents(app, worker, bench.settings)
    app.finalize()
    helpers = [
        asyncio.create_task(work)
        for work in (
            _follow_app(app),
            _tick(worker),
            _follow_control(bench.settings, worker),
            watch_surroundings(bench, health),
            watch_membership(lambda: cast(FetchLane, app.consumer), health),
        )
    ]
    try:
        return await _until_end(worker, stop, helpers)
    except Exception as error:
        worker.background.end(1, f"failed: {error!r}")  # nothing that is in memory can be trusted now
        raise
    finally:
        await worker.finish()
        for helper in helpers:
            helper.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAUST_STOP_S):
                await app.stop()


async def _until_end(worker: StreamWorker, stop: asyncio.Event, helpers: list[asyncio.Task[None]]) -> int:
    """Wait for a reason to end; returns the exit code."""
    signalled = asyncio.create_task(stop.wait())
    await asyncio.wait([signalled, worker.background.ended, *helpers], return_when=asyncio.FIRST_COMPLETED)
    signalled.cancel()
    if worker.background.ended.done():
        code, reason = worker.background.ended.result()
        log.error("stopping", exit_code=code, reason=reason)
        return code
    for helper in helpers:
        if helper.cancelled():
            raise RuntimeError(f"{helper} was cancelled from within a library")
        if helper.done():
            helper.result()  # raises what ended it
    log.info("stopping", drained=worker.drains.stop)
    return 0


async def _follow_app(app: faust.App) -> None:
    """Start Faust, and raise what crashed it."""
    await app.start()
    while not app.should_stop:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    raise RuntimeError(f"Faust ended: {app.crash_reason!r}")


async def _tick(worker: StreamWorker) -> None:
    while not worker.drains.stop:
        await worker.tick()
        await asyncio.sleep(TICK_S)


async def _follow_control(settings: Settings, worker: StreamWorker) -> None:
    """Feed the control topic to the worker, from its start: a request may be older than this worker."""
    topic = settings.topics.name(TopicRole.CONTROL)
    live_from: int | None = None
    while True:
        try:
            if live_from is None:
                live_from = (await end_offsets(settings.kafka, topic))[0]
            await _apply_control(settings, topic, worker, live_from)
        except (KafkaError, KafkaException) as error:
            log.warning("control topic cannot be read; trying again", error=repr(error))
            await asyncio.sleep(CONTROL_RETRY_S)


async def _apply_control(settings: Settings, topic: str, worker: StreamWorker, live_from: int) -> None:
    async with reading(settings.kafka.access) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        async for record in consumer:
            try:
                worker.drains.apply(decode(record.value or b"", ControlRecord), live=record.offset >= live_from)
            except msgspec.DecodeError as error:
                log.error("not a control record; it is passed over", topic=topic, offset=record.offset, why=str(error))
