"""A producer whose batches the broker does not take is closed all the same: nothing of it is left running."""

import asyncio
import time
from typing import Any

from aiokafka.structs import TopicPartition

from runtime.connections import close_producer, transactional_producer
from runtime.settings import KafkaSettings


async def test_what_cannot_be_flushed_is_given_up() -> None:
    """In time, with its sender ended and its connections closed."""
    producer: Any = transactional_producer(KafkaSettings(), "a/b/0")
    producer._txn_manager.set_pid_and_epoch(1, 0)
    producer._txn_manager.begin_transaction()
    await producer._message_accumulator.add_message(TopicPartition("d", 0), b"k", b"v", 40)
    producer._sender._sender_task = asyncio.create_task(asyncio.sleep(60))
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    producer.client.close = close
    started = time.monotonic()
    await close_producer(producer, 0.2)
    assert time.monotonic() - started < 2
    assert producer._sender.sender_task.done()
    assert closed == [True]
