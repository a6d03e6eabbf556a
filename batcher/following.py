"""Following a whole topic without a group: from given offsets to its end, and on from there."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from runtime.consumers import reader, stop_consumer
from runtime.settings import KafkaSettings
from runtime.topic_reader import partitions_of

POLL_MS = 500


@dataclass(frozen=True, slots=True)
class News:
    """Committed records, perhaps none, in offset order per partition; and every partition's position behind them."""

    records: list[ConsumerRecord]
    positions: Mapping[int, int]


@dataclass(slots=True)
class Position:
    """How far a topic was followed. `ends` is where it ended at the start."""

    ends: Mapping[int, int] = field(default_factory=dict[int, int])
    reached: Mapping[int, int] = field(default_factory=dict[int, int])

    @property
    def caught_up(self) -> bool:
        """Whether all that was there at the start has been read."""
        return bool(self.ends) and not self.is_behind(self.ends)

    def is_behind(self, ends: Mapping[int, int]) -> bool:
        """Whether something before these offsets has yet to be read."""
        return any(self.reached.get(partition, 0) < end for partition, end in ends.items())


async def follow(
    kafka: KafkaSettings, topic: str, starts: Mapping[int, int], position: Position
) -> AsyncGenerator[News]:
    """What a topic holds from `starts` on (its beginning where not given), and what comes; often without any record.

    `position` is kept up to date when the next news is asked for, that is: once these have been dealt with.

    Raises:
        OffsetOutOfRangeError: a start is not in the log.
        KafkaError, KafkaException: the brokers do not answer.
    """
    tps = [TopicPartition(topic, number) for number in await asyncio.to_thread(partitions_of, kafka, topic)]
    consumer = reader(kafka.access, auto_offset_reset="none")
    await consumer.start()
    try:
        consumer.assign(tps)
        beginnings = await consumer.beginning_offsets(tps)
        for tp in tps:
            consumer.seek(tp, starts.get(tp.partition, beginnings[tp]))
        ends = await consumer.end_offsets(tps)
        position.ends = {tp.partition: end for tp, end in ends.items()}
        async with aclosing(_news(consumer, tps)) as news:
            async for one in news:
                yield one
                position.reached = one.positions
    finally:
        await stop_consumer(consumer)


async def _news(consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> AsyncGenerator[News]:
    while True:
        found = await consumer.getmany(*tps, timeout_ms=POLL_MS)
        records = [record for tp in tps for record in found.get(tp, [])]
        yield News(records, {tp.partition: await consumer.position(tp) for tp in tps})
