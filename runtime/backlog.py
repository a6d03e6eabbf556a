"""How far the batch workers are behind: manifests announced that their group has not taken."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from runtime.consumers import reader, stop_consumer
from runtime.settings import Settings
from runtime.topic_reader import partitions_of
from schemas.topics import TopicRole

TIMEOUT_S = 10.0


class BatchBacklog:
    """Looks as often as it is asked, by one consumer for as long as that has answers.

    aiokafka rather than the admin client of confluent-kafka: the futures of that one crash the process now and then
    when a broker goes away.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka, self._topic = settings.kafka, settings.topics.name(TopicRole.BATCHES)
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: list[TopicPartition] = []

    async def look(self) -> int | None:
        """Manifests that wait, over all partitions; None while the brokers do not answer.

        A partition of which the group has committed nothing counts from its start.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._count()
        except (KafkaError, KafkaException, KeyError, OSError, TimeoutError):
            await self.close()
            return None

    async def close(self) -> None:
        """Let go of the consumer; the next look opens another."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_consumer(consumer)

    async def _count(self) -> int:
        if self._consumer is None:
            numbers = await asyncio.to_thread(partitions_of, self._kafka, self._topic)
            self._partitions = [TopicPartition(self._topic, number) for number in numbers]
            self._consumer = reader(self._kafka.access, group_id=self._kafka.batch_group)
            await self._consumer.start()  # and never assigned anything: it would fetch what nobody reads
        ends = await self._consumer.end_offsets(self._partitions)
        taken = {tp: await self._consumer.committed(tp) or 0 for tp in self._partitions}
        return sum(max(0, ends[tp] - taken[tp]) for tp in self._partitions)


async def batch_backlog(settings: Settings) -> int | None:
    """See `BatchBacklog.look`, once."""
    backlog = BatchBacklog(settings)
    try:
        return await backlog.look()
    finally:
        await backlog.close()
