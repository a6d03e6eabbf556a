"""Where a record that was sent is now: not taken yet, in an open window, or in a batch, which is opened to be sure."""

import asyncio
from dataclasses import dataclass
from io import BytesIO
from time import time_ns
from typing import Any, cast

import fastavro

from console.frontier_board import read_frontiers
from console.topic_records import decoded
from runtime.settings import Settings
from runtime.sites import site_windows
from runtime.store import StoreError, open_store
from runtime.topic_reader import read_topic
from schemas.instants import rfc3339
from schemas.records import BatchKind, Frontier, Manifest, Window, parse_partition_key
from schemas.sources import FIELDS, Source
from schemas.topics import TopicRole
from streams.intake import Fault, Intake
from streams.intake_rules import IntakeRules


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The stream worker has not come to it: its position is `behind` offsets short."""

    behind: int


@dataclass(frozen=True, slots=True)
class InOpenWindow:
    """Accepted; its window is not closed yet, and not known where the source has not retained the record."""

    site_id: str | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class InBatch:
    """In the file of a batch; the event's own words are read from there."""

    batch_id: str
    kind: BatchKind
    source: Source
    site_id: str
    window: Window
    event_id: str
    sku: str


@dataclass(frozen=True, slots=True)
class Nowhere:
    """It should be in a batch and is not found; says why."""

    why: str


Whereabouts = NotTaken | InOpenWindow | InBatch | Nowhere


async def locate(settings: Settings, place: str) -> Whereabouts:
    """The whereabouts of the record at `topic/partition/offset`, which did not become a dead letter.

    Raises:
        ValueError: that is no place.
        KafkaError: the brokers do not answer.
    """
    key, offset = parse_partition_key(place)
    frontier = (await read_frontiers(settings)).get(key)
    if frontier is None or frontier.position <= offset:
        return NotTaken(offset + 1 - (frontier.position if frontier else 0))
    covering = await _covering(settings, key, offset)
    for manifest in covering:
        row = await asyncio.to_thread(_row_of, settings, manifest, offset)
        if isinstance(row, Nowhere):
            return row
        if row is not None:
            return _in_batch(manifest, row)
    return await _in_open_window(settings, frontier, offset)


async def _covering(settings: Settings, key: str, offset: int) -> list[Manifest]:
    """Manifests whose range of offsets has this one in it: their files have it, or not."""
    found: list[Manifest] = []
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.BATCHES)):
        for manifest in (decoded(record, Manifest) for record in records):
            of_key = f"{manifest.source_topic}/{manifest.source_partition}" == key
            if of_key and manifest.first_offset <= offset <= manifest.last_offset:
                found.append(manifest)
    return found


def _row_of(settings: Settings, manifest: Manifest, offset: int) -> dict[str, Any] | Nowhere | None:
    try:
        data = open_store(settings.store).read(manifest.path)
        rows = cast("list[dict[str, Any]]", list(fastavro.reader(BytesIO(data))))
    except StoreError as error:
        return Nowhere(f"the file of batch {manifest.batch_id} cannot be read: {error}")
    except Exception as error:  # fastavro raises what it happens to stumble over
        return Nowhere(f"the file of batch {manifest.batch_id} is no Avro: {error!r}")
    return next((row for row in rows if row["source_offset"] == offset), None)


def _in_batch(manifest: Manifest, row: dict[str, Any]) -> Whereabouts:
    start_ms = round(row["window_start"].timestamp() * 1000)
    window = next((window for window in manifest.windows if window.start == start_ms), None)
    if window is None:
        return Nowhere(f"batch {manifest.batch_id} has it, in a window that its manifest does not name")
    return InBatch(
        manifest.batch_id, manifest.kind, manifest.source, row["site_id"], window, row["event_id"], row["sku"]
    )


async def _in_open_window(settings: Settings, frontier: Frontier, offset: int) -> Whereabouts:
    if not frontier.open_windows:
        return Nowhere("it is in no batch, no dead letter and no open window: run `velocity audit --deep`")
    rules = await asyncio.to_thread(IntakeRules.from_settings, settings.intake)
    topic, partition = frontier.source_topic, frontier.source_partition
    starts, ends = {partition: offset}, {partition: offset + 1}
    async for records in read_topic(settings.kafka, topic, starts=starts, ends=ends):
        for record in records:
            verdict = Intake(frontier.source, rules).judge(record.value, record.timestamp or time_ns() // 1_000_000)
            if isinstance(verdict, Fault):
                return Nowhere(f"it seems to have failed again ({verdict.error_class.value}): look once more")
            if record.offset == offset:
                event = dict(zip((one.name for one in FIELDS[frontier.source]), verdict, strict=True))
                window = site_windows(settings).window_of(event["site_id"], event["event_time"])
                return InOpenWindow(event["site_id"], window)
    return InOpenWindow()


def window_text(window: Window) -> str:
    """`[start, end)`, as people read it."""
    return f"{rfc3339(window.start)} to {rfc3339(window.end)}"
