"""Which offsets a source partition delivers: read_committed, so neither control records nor aborted ones."""

import time
from collections.abc import Iterator

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from console.evidence import Offsets
from runtime.connections import REQUEST_TIMEOUT_S, confluent_options
from runtime.settings import KafkaSettings

AT_ONCE = 10_000
POLL_S = 0.05  # a poll ends when it has `AT_ONCE` records or after this long, not at the partition's end


def delivered_offsets(kafka: KafkaSettings, topic: str, partition: int, start: int, end: int) -> Iterator[Offsets]:
    """Offsets of `[start, end)` in ascending portions. `end` must not be beyond the read_committed end. Blocks.

    Raises:
        KafkaException: the brokers do not answer, or do not let us read.
        TimeoutError: nothing came for 15 s.
    """
    if start >= end:
        return
    consumer = Consumer(_options(kafka))
    try:
        consumer.assign([TopicPartition(topic, partition, start)])
        last_heard = time.monotonic()
        while time.monotonic() - last_heard < REQUEST_TIMEOUT_S:
            found, at_end = _poll(consumer)
            yield found[found < end]
            if at_end or (len(found) and found[-1] >= end - 1):
                return
            if len(found):
                last_heard = time.monotonic()
        raise TimeoutError(f"{topic}/{partition}: nothing came for {REQUEST_TIMEOUT_S:.0f} s")
    finally:
        consumer.close()


def _poll(consumer: Consumer) -> tuple[Offsets, bool]:
    """Offsets that came, and whether the partition's end was met."""
    offsets: list[int] = []
    at_end = False
    for message in consumer.consume(AT_ONCE, timeout=POLL_S):
        error = message.error()
        if error is None:
            offsets.append(message.offset() or 0)
        elif error.code() == KafkaError._PARTITION_EOF:
            at_end = True
        else:
            raise KafkaException(error)
    return np.array(offsets, np.int64), at_end


def _options(kafka: KafkaSettings) -> dict[str, object]:
    return {
        **confluent_options(kafka),
        "group.id": "velocity-audit",  # never joined, never committed; the client wants a name
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 2,
        "fetch.wait.max.ms": 50,
    }
