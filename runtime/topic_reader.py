"""Reading a topic from one offset to another, once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing
from typing import NamedTuple, cast

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from runtime.connections import REQUEST_TIMEOUT_S, admin_client, reading
from runtime.settings import KafkaSettings
from runtime.source_record import SourceRecord, spare_records

POLL_MS = 500


async def end_offsets(kafka: KafkaSettings, topic: str, *, isolation: str = "read_committed") -> dict[int, int]:
    """End offset of each partition: the last stable one when `read_committed`, else the high watermark.

    Raises:
        KeyError: the topic does not exist.
    """
    partitions = [TopicPartition(topic, number) for number in await asyncio.to_thread(partitions_of, kafka, topic)]
    async with reading(kafka, isolation_level=isolation) as consumer:
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
    async with reading(kafka, isolation_level="read_uncommitted") as consumer:
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

    See `read_partitions`.
    """
    async with aclosing(read_partitions(kafka, topic, starts=starts, ends=ends, isolation=isolation)) as read:
        async for _, records in read:
            yield cast(list[ConsumerRecord], records)


async def read_partitions(
    kafka: KafkaSettings,
    topic: str,
    *,
    starts: dict[int, int] | None = None,
    ends: dict[int, int] | None = None,
    isolation: str = "read_committed",
    at_most: int | None = None,
    lean: bool = False,
) -> AsyncGenerator[tuple[int, Sequence[SourceRecord]], None]:
    """Numbers of partitions with some of their records in offset order, until the whole topic was read.

    Reads partition p over `[starts[p], ends[p])`: from the log's start where not given, up to the *uncommitted* end
    captured at the call where not given. So it waits for transactions open by then instead of missing what they
    hold once committed. `at_most` so many records are decoded at a time: where each is large or has many headers, fewer
    are quicker, for the garbage collector looks through all that are there. `lean`: without aiokafka's record objects,
    where that goes.
    """
    if ends is None:
        ends = await end_offsets(kafka, topic, isolation="read_uncommitted")
    starts = starts or {}
    wanted = {TopicPartition(topic, number): end for number, end in ends.items() if end > starts.get(number, 0)}
    if not wanted:
        return
    async with reading(kafka, isolation_level=isolation) as consumer:
        consumer.assign(list(wanted))
        await consumer.seek_to_beginning()
        if lean:
            spare_records(consumer._fetcher)
        for tp in wanted:
            if starts.get(tp.partition):
                consumer.seek(tp, starts[tp.partition])
        # Looked at before a poll, too: one for what is not there would last its whole time.
        while wanted := {tp: end for tp, end in wanted.items() if await consumer.position(tp) < end}:
            for tp, records in (await consumer.getmany(*wanted, timeout_ms=POLL_MS, max_records=at_most)).items():
                kept = [record for record in records if record.offset < wanted[tp]]
                if kept:
                    yield tp.partition, kept
