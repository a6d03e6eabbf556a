"""Consumers without a group.

Nothing here loads the settings or the logs: a process that only reads starts in a third of the time without them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from runtime.kafka_access import KafkaAccess
from runtime.source_record import SourceRecord, spare_records

POLL_MS = 500


def reader(access: KafkaAccess, **options: Any) -> AIOKafkaConsumer:
    """A consumer without a group that reads committed records, from wherever it is told to seek to."""
    defaults: dict[str, Any] = {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "max_partition_fetch_bytes": 4 << 20,
    }
    return AIOKafkaConsumer(**access.options(), **{**defaults, **options})


@asynccontextmanager
async def reading(access: KafkaAccess, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A started `reader` that is stopped at the end."""
    consumer = reader(access, **options)
    try:
        await consumer.start()
        yield consumer
    finally:
        await stop_consumer(consumer)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer. aiokafka lets the cancellation of its own task out if that had not begun; ours still counts."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise


async def read_partitions(
    access: KafkaAccess,
    topic: str,
    *,
    starts: Mapping[int, int],
    ends: Mapping[int, int],
    isolation: str = "read_committed",
    at_most: int | None = None,
    lean: bool = False,
) -> AsyncGenerator[tuple[int, Sequence[SourceRecord]], None]:
    """Numbers of partitions with some of their records in offset order, until all of `[starts[p], ends[p])` was read.

    From the log's start where `starts` has no number. `at_most` so many records are decoded at a time: where each is
    large or has many headers, fewer are quicker, for the garbage collector looks through all that are there. `lean`:
    without aiokafka's record objects, where that goes.
    """
    wanted = {TopicPartition(topic, number): end for number, end in ends.items() if end > starts.get(number, 0)}
    if not wanted:
        return
    async with reading(access, isolation_level=isolation) as consumer:
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
                end = wanted[tp]
                kept = records if records[-1].offset < end else [one for one in records if one.offset < end]
                if kept:
                    yield tp.partition, kept
