"""Reading a topic from one offset to another, once."""

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from runtime.connections import aiokafka_options, reader
from runtime.settings import KafkaSettings

POLL_MS = 500


async def end_offsets(kafka: KafkaSettings, topic: str, *, isolation: str = "read_committed") -> dict[int, int]:
    """End offset of each partition: the last stable one when `read_committed`, else the high watermark.

    Raises:
        KeyError: the topic does not exist.
    """
    consumer = AIOKafkaConsumer(**aiokafka_options(kafka), isolation_level=isolation)
    await consumer.start()
    try:
        partitions = await topic_partitions(consumer, topic)
        ends = await consumer.end_offsets(partitions)
        return {tp.partition: end for tp, end in ends.items()}
    finally:
        await consumer.stop()


async def topic_partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Every partition of a topic.

    Raises:
        KeyError: the topic does not exist.
    """
    await consumer.topics()  # refreshes the metadata of all topics
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise KeyError(topic)
    return [TopicPartition(topic, number) for number in sorted(numbers)]


async def read_topic(
    kafka: KafkaSettings, topic: str, *, starts: dict[int, int] | None = None, ends: dict[int, int] | None = None
) -> AsyncIterator[list[ConsumerRecord]]:
    """Committed records of a whole topic in batches, each of one partition in offset order.

    Reads partition p over `[starts[p], ends[p])`: from the log's start where not given, up to the *uncommitted* end
    captured at the call where not given. So it waits for transactions open by then instead of missing what they
    hold once committed.
    """
    if ends is None:
        ends = await end_offsets(kafka, topic, isolation="read_uncommitted")
    wanted = {TopicPartition(topic, partition): end for partition, end in ends.items()}
    consumer = reader(kafka)
    await consumer.start()
    try:
        consumer.assign(list(wanted))
        await consumer.seek_to_beginning()
        for tp in wanted:
            if starts and starts.get(tp.partition):
                consumer.seek(tp, starts[tp.partition])
        while wanted:
            for tp, records in (await consumer.getmany(*wanted, timeout_ms=POLL_MS)).items():
                kept = [record for record in records if record.offset < wanted[tp]]
                if kept:
                    yield kept
            for tp in list(wanted):
                if await consumer.position(tp) >= wanted[tp]:
                    del wanted[tp]
    finally:
        await consumer.stop()
