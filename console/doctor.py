"""`velocity doctor`: what a running system needs, looked at one by one, each with advice."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
from confluent_kafka import KafkaException

from console.configuration import unknown_variables
from console.frontier_board import read_frontiers
from runtime.backlog import batch_backlog
from runtime.connections import admin_client
from runtime.refusals import Refusal
from runtime.settings import Settings
from runtime.sites import site_windows
from runtime.store import StoreError, open_store
from runtime.store_local import LocalStore
from runtime.topics import plan_topics

KAFKA_TIMEOUT_S = 3.0
HTTP_TIMEOUT_S = 3.0


class Grade(StrEnum):
    """`fail`: it cannot work so; `warn`: it can, but somebody should look."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `advice` is empty where there is nothing to do."""

    name: str
    grade: Grade
    found: str
    advice: str = ""


Look = Callable[[Settings], Awaitable[Check]]


async def examine(settings: Settings) -> list[Check]:
    """Look at everything, one after the other; a check that itself fails is a failed check."""
    checks = [await _guarded(name, look, settings) for name, look in CHECKS]
    reachable = next(check for check in checks if check.name == "kafka").grade is not Grade.FAIL
    later = ON_KAFKA if reachable else ()
    return checks + [await _guarded(name, look, settings) for name, look in later]


async def _guarded(name: str, look: Look, settings: Settings) -> Check:
    try:
        return await look(settings)
    except Exception as error:
        return Check(name, Grade.FAIL, f"could not be looked at: {error!r}")


async def _variables(settings: Settings) -> Check:
    unknown = unknown_variables()
    if unknown:
        return Check("settings", Grade.WARN, f"no settings, so without effect: {', '.join(unknown)}", "Mend the names.")
    return Check("settings", Grade.OK, "valid; `velocity config` shows them")


async def _sites(settings: Settings) -> Check:
    try:
        zones = site_windows(settings).zones
    except Refusal as error:
        return Check("sites", Grade.FAIL, str(error), "Mend the file, or unset VELOCITY_SITES_FILE.")
    named = f"{len(zones.names)} listed with their zone; all others follow {zones.default}"
    return Check("sites", Grade.OK, f"{named}; windows {settings.window.spec}")


async def _time_zones(_: Settings) -> Check:
    offset = datetime(2011, 7, 1, tzinfo=UTC).astimezone(ZoneInfo("Europe/London")).utcoffset()
    if offset is None or offset.total_seconds() != 3600:
        return Check("time zones", Grade.FAIL, "London had no summer time in 2011", "Install the package tzdata.")
    return Check("time zones", Grade.OK, f"tzdata {version('tzdata')}")


async def _store(settings: Settings) -> Check:
    try:
        store = open_store(settings.store, min_free_bytes=settings.stream.min_free_bytes)
        if isinstance(store, LocalStore) and not store.root.exists():
            return _folder_check("batch store", store.root, "Set VELOCITY_STORE__URL to where batches shall live.")
        await asyncio.to_thread(store.check)
    except (StoreError, Refusal) as error:
        return Check("batch store", Grade.FAIL, str(error), "Stream workers pause until it can be written.")
    return Check("batch store", Grade.OK, f"{settings.store.url} can be written")


async def _state_dir(settings: Settings) -> Check:
    advice = "Set VELOCITY_STATE_DIR to a directory of the worker's own."
    return _folder_check("state directory", settings.state_dir.absolute(), advice)


def _folder_check(name: str, folder: Path, advice: str) -> Check:
    """Whether a folder can be written, or created where it will be; nothing is."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check(name, Grade.FAIL, f"{existing} cannot be written", advice)
    return Check(name, Grade.OK, f"{folder}{'' if folder.exists() else ' (will be created)'}")


async def _kafka(settings: Settings) -> Check:
    admin = admin_client(settings.kafka)
    where = settings.kafka.bootstrap_servers
    try:
        metadata = await asyncio.to_thread(admin.list_topics, timeout=KAFKA_TIMEOUT_S)
    except KafkaException as error:
        advice = "Start it (`velocity kafka start` on a laptop), or set VELOCITY_KAFKA__BOOTSTRAP_SERVERS."
        return Check("kafka", Grade.FAIL, f"{where}: {error.args[0].str()}", advice)
    return Check("kafka", Grade.OK, f"{where}: cluster {metadata.cluster_id}, {len(metadata.brokers)} brokers")


async def _topics(settings: Settings) -> Check:
    plan = await asyncio.to_thread(plan_topics, settings)
    if plan.dangers:
        found = f"{len(plan.dangers)} differences endanger data, such as: {plan.dangers[0]}"
        return Check("topics", Grade.FAIL, found, "Run `velocity topics plan`, then `velocity topics apply`.")
    if plan.differences:
        found = f"{len(plan.differences)} settings are not as advised, such as: {plan.differences[0]}"
        return Check("topics", Grade.WARN, found, "See `velocity topics plan`.")
    return Check("topics", Grade.OK, "as they should be")


async def _frontiers(settings: Settings) -> Check:
    frontiers = await read_frontiers(settings)
    if not frontiers:
        return Check("checkpoints", Grade.WARN, "there are none yet", "Start a stream worker: `velocity stream`.")
    newest = max(frontier.checkpoint_at for frontier in frontiers.values())
    age = datetime.now(UTC).timestamp() - newest / 1000
    gaps = sum(frontier.counts.gap for frontier in frontiers.values())
    found = f"{len(frontiers)} source partitions, the last checkpoint {age:,.0f} s ago"
    if gaps:
        advice = "Raise the source topics' retention; `velocity audit` names the offsets."
        return Check("checkpoints", Grade.WARN, f"{found}; retention removed {gaps:,} records", advice)
    if age < -60:
        return Check("checkpoints", Grade.WARN, f"{found}: in the future", "Compare the machines' clocks.")
    return Check("checkpoints", Grade.OK, found)


async def _backlog(settings: Settings) -> Check:
    backlog = await batch_backlog(settings)
    if backlog is None:
        return Check("backlog", Grade.WARN, "the batch group's offsets could not be read")
    limit = settings.stream.max_batch_backlog
    if backlog > limit:
        return Check("backlog", Grade.WARN, f"{backlog:,} manifests wait; stream workers pause above {limit:,}",
                     "Start more batch workers, or look at why they are slow.")  # fmt: skip
    return Check("backlog", Grade.OK, f"{backlog:,} offsets of the batches topic wait for the batch workers")


async def _stream_worker(settings: Settings) -> Check:
    if not settings.stream.http_port:
        return Check("stream worker", Grade.OK, "not asked: its port is chosen when it starts")
    return await _ready("stream worker", f"http://{settings.stream.http_host}:{settings.stream.http_port}")


async def _batch_worker(settings: Settings) -> Check:
    return await _ready("batch worker", settings.api.url)


async def _ready(name: str, url: str) -> Check:
    try:
        timeout = aiohttp.ClientTimeout(total=HTTP_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/readyz") as answer:
            reasons = (await answer.json()).get("reasons", {})
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Check(name, Grade.WARN, f"{url} does not answer ({type(error).__name__})", "Is it running there?")
    if reasons:
        return Check(name, Grade.FAIL, f"{url} is not ready: {'; '.join(map(str, reasons.values()))}")
    return Check(name, Grade.OK, f"{url} is ready")


CHECKS: tuple[tuple[str, Look], ...] = (
    ("settings", _variables),
    ("sites", _sites),
    ("time zones", _time_zones),
    ("batch store", _store),
    ("state directory", _state_dir),
    ("kafka", _kafka),
)
#: These make sense only where Kafka answers.
ON_KAFKA: tuple[tuple[str, Look], ...] = (
    ("topics", _topics),
    ("checkpoints", _frontiers),
    ("backlog", _backlog),
    ("stream worker", _stream_worker),
    ("batch worker", _batch_worker),
)
