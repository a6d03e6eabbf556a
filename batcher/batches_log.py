"""The batches topic as the broker has it, and whether the database can go on from there."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from runtime.connections import topic_id
from runtime.consumers import reader
from runtime.refusals import TopicRefused
from runtime.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class BatchesLog:
    """Of which topic the log is, and per partition what it holds: offsets `[starts, ends)`, read_committed."""

    topic: str
    topic_id: str
    starts: Mapping[int, int]
    ends: Mapping[int, int]


async def look_at_log(kafka: KafkaSettings, topic: str, partitions: Collection[int]) -> BatchesLog:
    """Ask the broker.

    Raises:
        KafkaError, KafkaException: it does not answer.
    """
    tps = [TopicPartition(topic, number) for number in sorted(partitions)]
    consumer = reader(kafka.access)
    await consumer.start()
    try:
        starts, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    finally:
        await consumer.stop()
    return BatchesLog(
        topic,
        await asyncio.to_thread(topic_id, kafka, topic),
        {tp.partition: offset for tp, offset in starts.items()},
        {tp.partition: offset for tp, offset in ends.items()},
    )


def check_continues(log: BatchesLog, known_id: str | None, offsets: Mapping[int, int]) -> None:
    """Whether a database that was filled from topic `known_id` (None: from none yet) up to `offsets` can go on.

    Raises:
        TopicRefused: it cannot; says why and what to do.
    """
    if known_id is not None and known_id != log.topic_id:
        raise TopicRefused(
            f"{log.topic} was recreated (its id was {known_id}, now it is {log.topic_id}), but this worker's database "
            "was filled from the old one. Restore the topic; or, if it was replaced on purpose, stop this worker and "
            "move its database file away: it is then rebuilt from the new topic."
        )
    for partition, end in sorted(log.ends.items()):
        start, needed = log.starts[partition], offsets.get(partition, 0)
        if needed > end:
            raise TopicRefused(
                f"{log.topic}/{partition} ends at {end}, but manifests up to {needed} were read before: it was "
                "truncated. Restore it before this worker can go on."
            )
        if start > needed:
            raise TopicRefused(
                f"{log.topic}/{partition} begins at {start}, but this worker needs manifests from {needed} on: they "
                "were removed, and no later manifest brings their facts back. Restore them from a backup, and keep the "
                "topic's retention unlimited (`velocity topics plan`)."
            )
