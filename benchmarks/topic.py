"""The feed on a real broker: sent once, found again by its fingerprint."""

from collections.abc import Callable
from concurrent.futures import Future

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from benchmarks.feed import BenchFeed, Chunk
from schemas.topics import TOPICS, TopicRole

TIMEOUT_S = 30.0
BATCH = 10_000

#: A source topic as it should be, LogAppendTime included, so no event lies in the future; and kept from run to run.
_SPEC = next(spec for spec in TOPICS if spec.role is TopicRole.ORDERS)
_CONFIG = {**_SPEC.required, **_SPEC.advised, "retention.ms": "-1", "retention.bytes": "-1"}

Progress = Callable[[int], None]


class FeedNotStored(RuntimeError):
    """The broker did not take the whole feed."""


def topic_name(feed: BenchFeed) -> str:
    """The topic that holds this feed and no other."""
    return f"bench.orders.{feed.events}-{feed.fingerprint}"


def stored(bootstrap: str, feed: BenchFeed) -> bool:
    """Whether the broker holds the whole feed. Blocks.

    Raises:
        KafkaException: it does not answer.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    known = admin.list_topics(timeout=TIMEOUT_S).topics
    return topic_name(feed) in known and _end_offsets(admin, feed) == feed.end_offsets()


def store(bootstrap: str, feed: BenchFeed, on_progress: Progress) -> None:
    """Create the feed's topic anew and fill it. Blocks.

    Raises:
        FeedNotStored, KafkaException
    """
    name, admin = topic_name(feed), AdminClient({"bootstrap.servers": bootstrap})
    if name in admin.list_topics(timeout=TIMEOUT_S).topics:  # an earlier attempt was interrupted
        _settle(admin.delete_topics([name], operation_timeout=TIMEOUT_S))
    _settle(admin.create_topics([NewTopic(name, feed.partitions, 1, config=_CONFIG)], operation_timeout=TIMEOUT_S))
    _send(bootstrap, name, feed, on_progress)
    if (found := _end_offsets(admin, feed)) != feed.end_offsets():
        raise FeedNotStored(f"{name} ends at {found}, not at {feed.end_offsets()}")


def _settle(answers: dict[str, Future[None]]) -> None:
    for answer in answers.values():
        answer.result()


def _end_offsets(admin: AdminClient, feed: BenchFeed) -> dict[int, int]:
    partitions = [TopicPartition(topic_name(feed), partition) for partition in range(feed.partitions)]
    answers = admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.latest()), request_timeout=TIMEOUT_S)
    return {tp.partition: answer.result().offset for tp, answer in answers.items()}


def _send(bootstrap: str, topic: str, feed: BenchFeed, on_progress: Progress) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # keeps the order, which ties offsets to lines
            "linger.ms": 50,
            "log_level": 3,  # a broker that has just started is not ready at once; the client waits for it
            "queue.buffering.max.messages": 2 * BATCH * feed.partitions,
        }
    )
    for chunk in feed.chunks():
        _send_chunk(producer, topic, chunk)
        on_progress(len(chunk.lines))
    if left := producer.flush(TIMEOUT_S):
        raise FeedNotStored(f"{left} records of {topic} were not acknowledged within {TIMEOUT_S:.0f} s")


def _send_chunk(producer: Producer, topic: str, chunk: Chunk) -> None:
    lines = zip(chunk.lines.to_pylist(), chunk.partitions.tolist(), strict=True)
    for line, partition in lines:
        while True:
            try:
                producer.produce(topic, line, partition=partition)
                break
            except BufferError:
                producer.poll(0.05)
    producer.poll(0)
