"""The batch worker as a process: start, parts, signals, stop. Exit codes: 0 stopped, 1 failed, 3 refused."""

import asyncio
import signal
import socket
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import structlog

from batcher import metrics
from batcher.agenda import Agenda
from batcher.api import READS, Api, build_app
from batcher.async_database import AsyncDatabase
from batcher.computing import ComputeDesk
from batcher.database import Database
from batcher.delivery.deliveries import Deliveries
from batcher.delivery.failed_chunks import FailedChunkLog
from batcher.delivery.opening import check_sinks
from batcher.delivery_api import DeliveryApi, add_delivery_routes
from batcher.frontiers import Frontiers
from batcher.gauges import keep_gauges
from batcher.headroom import Headroom
from batcher.insight.api import InsightApi, add_insight_routes
from batcher.loading import Loader
from batcher.membership import Membership
from batcher.memory import Memory
from batcher.owner_mark import own_mark
from batcher.owners import Owners
from batcher.ownership import Ownership
from batcher.partition import OwnedPartition
from batcher.publication import Publication
from batcher.pulse import bounds_of, keep_pulse
from batcher.recalculation import Parts, Recalculation
from batcher.reference_feed import ReferenceFeed
from batcher.regulation import Regulator
from batcher.schedule.api import ScheduleApi, add_schedule_routes
from batcher.schedule.file import load_calendar
from batcher.schedule.nightly import Nightly
from batcher.service import Service
from batcher.traces import SiteTraces
from batcher.workbench import Workbench
from runtime.connections import probe, until_connected
from runtime.door import Door, bearer
from runtime.guarding import guarding
from runtime.health import Health, add_health_routes, serve_http
from runtime.memory import keep_freed_memory
from runtime.refusals import Refusal, SettingsRefused
from runtime.settings import Settings
from runtime.sites import site_windows
from runtime.store import open_store
from runtime.topic_reader import partitions_of
from runtime.topics import check_topics
from runtime.tracing import open_tracing
from schemas.topics import TopicRole

log = structlog.get_logger(__name__)

DATABASE_FILE = "velocity.duckdb"
FINISH_S = 5.0  # for the transaction in hand; of the 10 s that a stop may take
COMMIT_S = 0.2
EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Apis:
    """What the worker answers."""

    results: Api = field(default_factory=Api)
    delivery: DeliveryApi = field(default_factory=DeliveryApi)
    schedule: ScheduleApi = field(default_factory=ScheduleApi)
    insight: InsightApi = field(default_factory=InsightApi)


async def run_batch_worker(settings: Settings) -> int:
    """Run until a signal or a failure; returns the exit code.

    Raises:
        Refusal: a guard said no.
    """
    keep_freed_memory()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    check_sinks(settings)
    health, apis = Health(), Apis()
    host, wanted_port = host_and_port(settings.api.url)
    app = build_app(apis.results, guarding(Door.of(settings.serve, host, "the API of VELOCITY_API__URL"), READS))
    add_delivery_routes(app, apis.delivery)
    add_schedule_routes(app, apis.schedule)
    add_insight_routes(app, apis.insight)
    add_health_routes(app, health)
    try:
        runner, port = await serve_http(app, host, wanted_port)
    except OSError as error:
        raise SettingsRefused(f"the API cannot listen at VELOCITY_API__URL {settings.api.url}: {error}") from error
    address = f"{socket.gethostname() if host in EVERYWHERE else host}:{port}"
    log.info("batch worker", worker=settings.worker_id, api=f"http://{address}", kafka=settings.kafka.bootstrap_servers)
    try:
        health.raise_reason("start", "not started yet")
        return await _until_stopped(_work(settings, health, apis, address), stop)
    finally:
        await runner.cleanup()


def host_and_port(url: str) -> tuple[str, int]:
    """Where to listen for an API at this address.

    Raises:
        SettingsRefused: it is not an address such as http://127.0.0.1:8080.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsRefused(f"VELOCITY_API__URL is {url!r}: {error}") from error
    if parts.scheme != "http" or not host:
        raise SettingsRefused(f"VELOCITY_API__URL is {url!r}; it must be like http://127.0.0.1:8080")
    return host, 80 if port is None else port


async def _until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> int:
    """Work until it is time to stop; returns the exit code."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
    log.info("stopping")
    stopped.cancel()
    working.cancel()
    try:
        await working
    except asyncio.CancelledError:
        return 0
    except Exception as error:
        cause = _first_leaf(error)
        if isinstance(cause, Refusal):
            raise cause from None
        log.error("failed; restarting is safe", exc_info=cause)
        return 1
    return 0


def _first_leaf(error: BaseException) -> BaseException:
    """The first cause in a tree of groups; a refusal comes before others."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first_leaf(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, Refusal)), leaves[0])


async def _work(settings: Settings, health: Health, apis: Apis, address: str) -> None:
    """Prepare, then run all parts."""
    windows = site_windows(settings)
    calendar = load_calendar(settings, windows.zones)
    store = open_store(settings.store)
    partitions = await until_connected("start", lambda: asyncio.to_thread(_check, settings))
    file = settings.state_dir / DATABASE_FILE
    if not file.exists():
        log.info("there is no database yet: it is built from the batches topic and the store", file=str(file))
    tracing = open_tracing(settings.traces, "batch", settings.worker_id)
    opened = await asyncio.to_thread(Database.open, file, settings, windows, store.read_verified)
    database = AsyncDatabase(opened, settings.api.max_computations)
    try:
        traces = SiteTraces(tracing)
        bench = Workbench(settings, windows, store, database, health, partitions, _wall_ms, traces, calendar)
        await _run_parts(bench, apis, address)
    finally:
        await database.close(FINISH_S)
        await asyncio.to_thread(tracing.close)


def _check(settings: Settings) -> int:
    """Check all topics; how many partitions the batches topic has. Blocks.

    Raises:
        TopicRefused: a topic is missing or endangers data.
        KafkaException: the brokers do not answer.
    """
    probe(settings.kafka)  # gives up sooner than the others: a stop has to wait for it
    check_topics(settings)
    return len(partitions_of(settings.kafka, settings.topics.name(TopicRole.BATCHES)))


async def _run_parts(bench: Workbench, apis: Apis, address: str) -> None:
    settings, health = bench.settings, bench.health
    agenda, regulator = Agenda(bench.windows, bench.is_blacked_out), Regulator(bounds_of(settings.batch))
    metrics.DATABASE_LIMIT.set(settings.batch.database_bytes)
    memory = Memory(Headroom(settings.batch.rss_limit_bytes), bench.database)
    loader = Loader(bench, regulator, memory, agenda.loaded)
    ownership = Ownership(bench, loader, agenda.dropped)
    frontiers = Frontiers(bench, agenda.wake)
    reference = ReferenceFeed(bench, agenda.reference_changed)
    parts = Parts(ownership, loader, frontiers, reference)
    recalculation = Recalculation(bench, agenda, parts)
    publication = Publication(bench, agenda, ownership, loader, recalculation)
    deliveries = Deliveries(bench, agenda, ownership, FailedChunkLog(settings), open_until=bench.calendar.open_until)
    membership = Membership(settings, address, health, ownership.revoked, ownership.assigned)
    nightly = Nightly(bench, agenda, parts, recalculation)
    service = Service(bench, agenda, parts, recalculation, Owners(settings.kafka, bearer(settings.serve)), address)
    apis.results.answer_from(service, ComputeDesk(bench.database, settings.api))
    apis.delivery.answer_from(service, deliveries)
    apis.schedule.answer_from(service, nightly)
    apis.insight.answer_from(service, bench)
    running = (ownership, loader, frontiers, reference, recalculation, publication, deliveries, membership, nightly)
    health.clear("start")
    async with asyncio.TaskGroup() as tasks:
        for part in running:
            tasks.create_task(part.run(), name=type(part).__name__.lower())
        tasks.create_task(keep_pulse(health, regulator, loader, ownership, bench.database, memory), name="pulse")
        tasks.create_task(keep_gauges(bench), name="gauges")
        tasks.create_task(_tell_offsets(bench, ownership, membership), name="offsets")


async def _tell_offsets(bench: Workbench, ownership: Ownership, membership: Membership) -> None:
    """Commit to the group what is in the database, for information, and that it is in this one."""
    mark = await bench.database.write(own_mark)
    told: dict[OwnedPartition, int] = {}
    while True:
        await asyncio.sleep(COMMIT_S)
        offsets = {owned: owned.progress.next_offset() for owned in ownership.partitions.values()}
        told = {owned: offset for owned, offset in told.items() if owned in offsets}
        news = {owned: offset for owned, offset in offsets.items() if told.get(owned) != offset}
        if news and await membership.commit({owned.number: offset for owned, offset in news.items()}, mark):
            told |= news
            for owned in news:
                owned.marked = True


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
