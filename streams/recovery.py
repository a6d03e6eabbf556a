"""Bringing a source partition back: what was committed, where to read on, and what must agree first."""

import asyncio
from dataclasses import dataclass

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from runtime.consumers import reading
from runtime.refusals import CheckpointRefused, SettingsRefused, SourceRecreated
from runtime.settings import KafkaSettings, Settings
from runtime.topic_reader import read_topic
from schemas.codecs import decode
from schemas.records import CommitMetadata, Frontier
from schemas.sources import Source
from schemas.topics import TopicRole

READ_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class LogBounds:
    """What the broker holds of a source partition: `[start, end)`, of which topic."""

    start: int
    end: int
    topic_id: str


async def last_frontier(kafka: KafkaSettings, topic: str, key: str, commit: tuple[int, str] | None) -> Frontier | None:
    """The frontier record of a partition's last checkpoint; None if it never had one.

    With a commit the record is read at the offset that the commit names: another producer's open transaction would
    hide it from a read_committed end. Without one (it has expired) the whole topic is read.

    Raises:
        CheckpointRefused: the commit and the record contradict each other.
    """
    if commit is None:
        return await _newest(kafka, topic, key)
    offset, metadata = commit
    try:
        told = decode(metadata.encode(), CommitMetadata)
    except msgspec.DecodeError as error:
        raise CheckpointRefused(
            f"{key}: offset {offset} was committed by something else than a checkpoint (metadata {metadata[:80]!r}). "
            "Restore the group's offsets, or delete them: the frontier record then decides."
        ) from error
    record = await _read_at(kafka, topic, told.r)
    if record is None or not _agree(record, key, offset, told):
        raise CheckpointRefused(
            f"{key}: the commit (offset {offset}, {metadata}) and the frontier record at {topic}/0/{told.r} contradict "
            "each other. One of them was changed by hand; restore it before this partition can go on."
        )
    return record


def _agree(record: Frontier, key: str, offset: int, told: CommitMetadata) -> bool:
    here = (record.key, record.committed, record.position, record.frontier, record.max_event_time)
    there = (key, offset, told.n, told.f, told.m)
    return here == there and (record.checkpoint_seq, record.settings_hash) == (told.s, told.h)


async def _read_at(kafka: KafkaSettings, topic: str, offset: int) -> Frontier | None:
    tp = TopicPartition(topic, 0)
    async with reading(kafka.access, isolation_level="read_uncommitted", auto_offset_reset="none") as consumer:
        consumer.assign([tp])
        consumer.seek(tp, offset)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                record = await consumer.getone(tp)
            return decode(record.value or b"", Frontier) if record.offset == offset else None
        except (OffsetOutOfRangeError, msgspec.DecodeError):
            return None


async def check_settings_of_all(settings: Settings, settings_hash: str) -> None:
    """Whether no source partition, whoever owns it, has windows open under other settings.

    Asked before anything is taken: a partition without open windows could go on under the new settings, and then
    neither these nor the old ones would start. Records of open transactions are read too, for their owner may have
    died: what it did not commit it had begun under settings that it was allowed to use.

    Raises:
        SettingsRefused: see `check_same_settings`.
    """
    sources = {settings.topics.source_topic(source) for source in Source}
    newest: dict[bytes | None, Frontier] = {}
    frontiers = settings.topics.name(TopicRole.FRONTIERS)
    async for records in read_topic(settings.kafka, frontiers, isolation="read_uncommitted"):
        newest |= {record.key: decode(record.value, Frontier) for record in records if record.value is not None}
    for record in newest.values():
        if record.source_topic in sources:
            check_same_settings(record, settings_hash)


async def _newest(kafka: KafkaSettings, topic: str, key: str) -> Frontier | None:
    found: Frontier | None = None
    wanted = key.encode()
    async for records in read_topic(kafka, topic):
        for record in records:
            if record.key == wanted and record.value is not None:
                found = decode(record.value, Frontier)
    return found


def check_continues(record: Frontier, log: LogBounds, settings_hash: str) -> None:
    """Whether a partition may go on from its last checkpoint on this log, under these settings.

    Raises:
        SourceRecreated: the topic is another one, or shorter than what was read of it.
        SettingsRefused: windows are open that other settings cut or judged.
    """
    check_same_log(record.key, record.topic_id, record.position, log)
    check_same_settings(record, settings_hash)


def check_same_log(key: str, topic_id: str, position: int, log: LogBounds) -> None:
    """Whether this is the log that was read up to `position` before.

    Raises:
        SourceRecreated: the topic is another one, or shorter than what was read of it.
    """
    if topic_id != log.topic_id:
        raise SourceRecreated(
            f"{key}: the topic was recreated (its id was {topic_id}, now it is {log.topic_id}). What was read of the "
            "old one is safe; give the new one another name, or start a new group with its own topics."
        )
    if position > log.end:
        raise SourceRecreated(
            f"{key}: the log ends at {log.end}, but records up to {position} were read before. "
            "It was truncated or replaced; restore it before this partition can go on."
        )


def check_same_settings(record: Frontier, settings_hash: str) -> None:
    """
    Raises:
        SettingsRefused: windows are open that other settings cut or judged.
    """
    if record.settings_hash != settings_hash and record.open_windows:
        raise SettingsRefused(
            f"{record.key}: settings that decide verdicts or windows have changed (hash {record.settings_hash} → "
            f"{settings_hash}) while {len(record.open_windows)} windows are open under the old ones. Go back to them, "
            "run `velocity drain --stop`, then start with the new ones."
        )
