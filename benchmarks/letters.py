"""Dead letters for the desk's lane: a topic filled with letters of several kinds, as a stream worker writes them.

The kinds are those of `sandbox.malformed` that people make every day; each line has a number in it, so that no two are
equal, and one of four producers.
"""

import time
from collections.abc import Callable, Iterator

from confluent_kafka import Producer

from runtime.settings import Settings
from sandbox.malformed import MALFORMED_KINDS, MalformedKind
from schemas.dead_letters import DeadLetter
from schemas.topics import TopicRole

KINDS = 12
PRODUCERS = 4
PARTITIONS = 6  # of the source topic that they say they are from
SPAN_MS = 30 * 86_400_000  # within which they arrived


def kinds() -> tuple[MalformedKind, ...]:
    """One kind for each class and path, those with one faulty field first, as many as the lane has."""
    found = {(one.error_class, one.path): one for one in reversed(MALFORMED_KINDS) if one.name != "one_byte_over_1_mib"}
    return tuple(found.values())[:KINDS]


def letters(settings: Settings, count: int) -> Iterator[DeadLetter]:
    """So many letters, of all kinds in turn; offsets rise in each partition, times with them."""
    now = time.time_ns() // 1_000_000
    made = [(kind, kind.line, settings.topics.source_topic(kind.source)) for kind in kinds()]
    for number in range(count):
        kind, line, topic = made[number % len(made)]
        partition, offset = number % PARTITIONS, number // PARTITIONS
        at = now - SPAN_MS + number * SPAN_MS // count
        yield DeadLetter(
            value=line.replace(b"malformed-", b"%d-" % number),
            headers=(("producer", b"scanner-%d" % (number % PRODUCERS)),),
            topic=topic,
            partition=partition,
            offset=offset,
            timestamp=at,
            key=b"85123A",
            error_class=kind.error_class,
            stage="validate",
            path=kind.path,
            message=f"refused: {kind.name.replace('_', ' ')}",
            attempts=1,
            root=f"{topic}/{partition}/{offset}",
            first_failed_at=at,
            pipeline_version="bench",
        )


def fill(count: int) -> None:
    """Post so many letters to the pipeline of this process's environment."""
    post(Settings(), count)


def post(settings: Settings, count: int, on_progress: Callable[[int], None] = lambda more: None) -> None:
    """Fill the dead-letter topic. Blocks.

    Raises:
        RuntimeError: the broker did not take them all.
    """
    topic = settings.topics.name(TopicRole.DEAD_LETTERS)
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "linger.ms": 50,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 200_000,
        }
    )
    for number, one in enumerate(letters(settings, count), 1):
        while True:
            try:
                producer.produce(topic, one.value, one.id.encode(), headers=one.to_headers(), timestamp=one.timestamp)
                break
            except BufferError:
                producer.poll(0.05)
        if number % 10_000 == 0:
            producer.poll(0)
            on_progress(10_000)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} dead letters were not acknowledged")
