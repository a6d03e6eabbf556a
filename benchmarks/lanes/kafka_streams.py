"""Kafka Streams: windows by SKU and partition, count and sum in memory with a changelog, suppressed until they close.

It has no end of the input: a window stays open until a later event closes it. Measured until the last event is added
and the application is closed, which commits. Exactly the windows that the feed closes must have come out, with all that
belongs to them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from confluent_kafka.admin import AdminClient

from benchmarks.feed import DISORDER_MS, BenchFeed
from benchmarks.job import Job
from benchmarks.measure import Measurement
from benchmarks.rivals.jvm import Rival, measure
from benchmarks.verify import WrongOutput

WINDOW_MS = 300_000

KAFKA_STREAMS = Rival(
    "KafkaStreamsLane",
    ("KafkaStreamsLane.java", "SkuAsKey.java", "Order.java", "Progress.java"),
    "kafka-streams.txt",
)


def run(job: Job) -> Measurement:
    """Aggregate the whole topic."""
    application = f"bench.{job.scratch.name}"
    arguments = [job.bootstrap, job.topic, application, str(job.scratch / "streams"), str(job.feed.events)]
    with _topics_removed(job.bootstrap, application):
        measured, totals = measure(KAFKA_STREAMS, job, arguments)
    events, quantity = closed(job.feed)
    if (totals.events, totals.quantity) != (events, quantity):
        raise WrongOutput(f"{totals}, but closed windows have {events} events and {quantity} thousandths")
    return measured


def closed(feed: BenchFeed) -> tuple[int, int]:
    """Events and thousandths in windows that end, in their partition, 30 s or more before its latest event."""
    chunks = list(feed.chunks())
    partitions, times, quantities = (
        np.concatenate([getattr(chunk, name) for chunk in chunks])
        for name in ("partitions", "event_times", "quantities")
    )
    latest = np.array([times[partitions == number].max() for number in range(feed.partitions)])
    ends = times - times % WINDOW_MS + WINDOW_MS
    final = ends + DISORDER_MS <= latest[partitions]
    return int(final.sum()), int(quantities[final].sum())


@contextmanager
def _topics_removed(bootstrap: str, application: str) -> Iterator[None]:
    """Delete afterwards the changelogs that the application has created."""
    try:
        yield
    finally:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        ours = [name for name in admin.list_topics(timeout=30).topics if name.startswith(f"{application}-")]
        for deleted in (admin.delete_topics(ours, operation_timeout=30) if ours else {}).values():
            deleted.result()
