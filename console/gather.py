"""Reading the evidence for an audit.

Frontiers are read first, the rest up to its end after that; so everything that a frontier covers has been read, and
what belongs to later checkpoints is put aside. A second look at the frontiers tells those from manifests that no
checkpoint ever committed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from aiokafka import TopicPartition

from console.evidence import Announced, Evidence, PartitionEvidence, SourceLog
from console.frontier_board import read_frontiers
from console.progress import Meter
from console.topic_records import RecordUnreadable, decoded
from runtime.consumers import reader
from runtime.settings import KafkaSettings, Settings
from runtime.topic_reader import partitions_of, read_topic
from schemas.records import Frontier, Manifest, parse_partition_key, partition_key
from schemas.topics import TopicRole


@dataclass(slots=True)
class _Collected:
    announced: dict[str, list[Announced]] = field(default_factory=dict[str, list[Announced]])
    dead: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    foreign: int = 0
    unreadable: list[RecordUnreadable] = field(default_factory=list[RecordUnreadable])


async def gather_evidence(settings: Settings) -> Evidence:
    """Read everything that an audit needs, apart from the batch files and the source's records.

    Raises:
        KeyError: one of our topics is missing.
        RecordUnreadable: there is something else in the frontiers topic.
        KafkaError: the brokers do not answer.
    """
    batches, letters = settings.topics.name(TopicRole.BATCHES), settings.topics.name(TopicRole.DEAD_LETTERS)
    before, found = await read_frontiers(settings), _Collected()
    with Meter("reading manifests and dead letters") as meter:
        await asyncio.gather(_read_manifests(settings, found, meter), _read_dead_letters(settings, found, meter))
    after, logs, batch_bounds, letter_bounds = await asyncio.gather(
        read_frontiers(settings),
        _source_logs(settings, before),
        _bounds(settings.kafka, batches),
        _bounds(settings.kafka, letters),
    )
    foreign = (f"{found.foreign:,} records of {letters} are no dead letters of ours",) if found.foreign else ()
    return Evidence(
        partitions=tuple(_partition(before[key], found, logs.get(key)) for key in sorted(before, key=_sort_key)),
        strays=tuple(one for of_key in found.announced.values() for one in of_key if not _is_committed(one, after)),
        batches_topic=batches,
        batch_log_starts={partition: start for partition, (start, _) in batch_bounds.items()},
        dead_letter_log_starts={partition: start for partition, (start, _) in letter_bounds.items()},
        unreadable={error.where: str(error) for error in found.unreadable},
        notes=foreign,
    )


async def read_manifests(settings: Settings) -> list[Announced]:
    """Every manifest, as far as committed when the call began, and later.

    Raises:
        RecordUnreadable: there is something else among them, so which files are announced is not known.
    """
    found = _Collected()
    with Meter("reading manifests", unit="manifests") as meter:
        await _read_manifests(settings, found, meter)
    if found.unreadable:
        raise found.unreadable[0]
    return [one for of_key in found.announced.values() for one in of_key]


async def _read_manifests(settings: Settings, found: _Collected, meter: Meter) -> None:
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.BATCHES)):
        for record in records:
            try:
                one = Announced(decoded(record, Manifest), record.partition, record.offset)
            except RecordUnreadable as error:
                found.unreadable.append(error)
            else:
                found.announced.setdefault(one.source_key, []).append(one)
        meter.advance(len(records))


async def _read_dead_letters(settings: Settings, found: _Collected, meter: Meter) -> None:
    """A letter's key names the refused record; more is not needed here."""
    async for records in read_topic(settings.kafka, settings.topics.name(TopicRole.DEAD_LETTERS)):
        for record in records:
            try:
                key, offset = parse_partition_key((record.key or b"").decode())
                parse_partition_key(key)
            except ValueError:
                found.foreign += 1
            else:
                found.dead.setdefault(key, []).append(offset)
        meter.advance(len(records))


def _partition(frontier: Frontier, found: _Collected, log: SourceLog | None) -> PartitionEvidence:
    offsets = np.sort(np.array(found.dead.get(frontier.key, ()), dtype=np.int64))
    announced = found.announced.get(frontier.key, ())
    return PartitionEvidence(
        frontier=frontier,
        announced=tuple(one for one in announced if one.manifest.checkpoint_seq <= frontier.checkpoint_seq),
        dead_offsets=offsets[offsets < frontier.position],
        log=log,
    )


def _is_committed(one: Announced, frontiers: Mapping[str, Frontier]) -> bool:
    frontier = frontiers.get(one.source_key)
    return frontier is not None and one.manifest.checkpoint_seq <= frontier.checkpoint_seq


def _sort_key(key: str) -> tuple[str, int]:
    return parse_partition_key(key)


async def _source_logs(settings: Settings, frontiers: Mapping[str, Frontier]) -> dict[str, SourceLog]:
    from runtime.connections import topic_id

    logs: dict[str, SourceLog] = {}
    for topic in sorted({frontier.source_topic for frontier in frontiers.values()}):
        try:
            bounds = await _bounds(settings.kafka, topic)
        except KeyError:
            continue
        found_id = await asyncio.to_thread(topic_id, settings.kafka, topic)
        logs |= {partition_key(topic, p): SourceLog(start, end, found_id) for p, (start, end) in bounds.items()}
    return logs


async def _bounds(kafka: KafkaSettings, topic: str) -> dict[int, tuple[int, int]]:
    """Start and read_committed end of each partition.

    Raises:
        KeyError: there is no such topic.
    """
    tps = [TopicPartition(topic, number) for number in await asyncio.to_thread(partitions_of, kafka, topic)]
    consumer = reader(kafka.access)
    await consumer.start()
    try:
        starts, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        return {tp.partition: (starts[tp], ends[tp]) for tp in tps}
    finally:
        await consumer.stop()
