"""Reading a topic from one offset to another, once."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from typing import NamedTuple, cast

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from runtime.connections import REQUEST_TIMEOUT_S, admin_client
from runtime.consumers import read_partitions, reading
from runtime.settings import KafkaSettings


async def end_offsets(kafka: KafkaSettings, topic: str, *, isolation: str = "read_committed") -> dict[int, int]:
    """End offset of each partition: the last stable one when `read_committed`, else the high watermark.

    Raises:
        KeyError: the topic does not exist.
    """
    partitions = [TopicPartition(topic, number) for number in await asyncio.to_thread(partitions_of, kafka, topic)]
    async with reading(kafka.access, isolation_level=isolation) as consumer:
        ends = await consumer.end_offsets(partitions)
        return {tp.partition: end for tp, end in ends.items()}


class Bounds(NamedTuple):
    """The offsets of a partition that there are, `[begin, end)`; not all of them are committed records."""

    begin: int
    end: int


async def topic_bounds(kafka: KafkaSettings, topics: Collection[str]) -> dict[str, dict[int, Bounds]]:
    """Begin offset and high watermark of each partition of some topics.

    Raises:
        KeyError: a topic does not exist.
    """
    numbers = {topic: await asyncio.to_thread(partitions_of, kafka, topic) for topic in topics}
    places = [TopicPartition(topic, number) for topic, of_topic in numbers.items() for number in of_topic]
    async with reading(kafka.access, isolation_level="read_uncommitted") as consumer:
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    return {
        topic: {number: Bounds(*(of[TopicPartition(topic, number)] for of in (begins, ends))) for number in of_topic}
        for topic, of_topic in numbers.items()
    }


def partitions_of(kafka: KafkaSettings, topic: str) -> list[int]:
    """The partitions of a topic. Blocks.

    Raises:
        KeyError: the topic does not exist.
        KafkaException: the brokers do not answer.
    """
    found = admin_client(kafka).list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KeyError(topic)
    return sorted(found.partitions)


async def read_topic(
    kafka: KafkaSettings,
    topic: str,
    *,
    starts: dict[int, int] | None = None,
    ends: dict[int, int] | None = None,
    isolation: str = "read_committed",
) -> AsyncIterator[list[ConsumerRecord]]:
    """Records of a whole topic in batches, each of one partition in offset order; by default the committed ones.

    Reads partition p over `[starts[p], ends[p])`: from the log's start where not given, up to the *uncommitted* end
    captured at the call where not given. So it waits for transactions open by then instead of missing what they
    hold once committed.
    """
    if ends is None:
        ends = await end_offsets(kafka, topic, isolation="read_uncommitted")
    read = read_partitions(kafka.access, topic, starts=starts or {}, ends=ends, isolation=isolation)
    async with aclosing(read):
        async for _, records in read:
            yield cast(list[ConsumerRecord], records)
