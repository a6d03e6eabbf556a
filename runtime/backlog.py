"""How far the batch workers are behind: manifests announced that their group has not taken."""

import asyncio

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from runtime.consumers import reading
from runtime.settings import Settings
from runtime.topic_reader import partitions_of
from schemas.topics import TopicRole

TIMEOUT_S = 10.0


async def batch_backlog(settings: Settings) -> int | None:
    """Manifests that wait, over all partitions; None while the brokers do not answer.

    A partition of which the group has committed nothing counts from its start. aiokafka rather than the admin client
    of confluent-kafka: the futures of that one crash the process now and then when a broker goes away.
    """
    topic, kafka = settings.topics.name(TopicRole.BATCHES), settings.kafka
    try:
        async with asyncio.timeout(TIMEOUT_S):
            numbers = await asyncio.to_thread(partitions_of, kafka, topic)
            async with reading(kafka.access, group_id=kafka.batch_group) as consumer:
                partitions = [TopicPartition(topic, number) for number in numbers]
                consumer.assign(partitions)
                ends = await consumer.end_offsets(partitions)
                taken = {tp: await consumer.committed(tp) or 0 for tp in partitions}
        return sum(max(0, ends[tp] - taken[tp]) for tp in partitions)
    except (KafkaError, KafkaException, KeyError, OSError, TimeoutError):
        return None
