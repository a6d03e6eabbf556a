"""Which lanes there are. A lane compares with the others of its run, for the machine is not the same a minute later."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from benchmarks.feed import BenchFeed


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane: the module of `benchmarks.lanes` that runs it, and how its figure is called in the results."""

    name: str
    module: str
    title: str
    unit: Literal["events", "facts", "SKUs", "letters"]
    headline: str  # its key in the JSON that scripts read
    headline_is_seconds: bool = False
    reads_topic: bool = True
    own_topics: bool = False  # it needs the broker, but not the feed: it fills topics of its own
    feed: Mapping[str, Any] = field(default_factory=dict[str, Any])  # what of its feed is another than in the run's
    window: str = "PT5M"
    workers: int = 1
    days: int = 0  # of history that it finds
    beside: str = ""  # the lane that it is compared with, one thing being different
    by_default: bool = True  # else only where it is asked for by name
    rival: bool = False  # another engine: it needs a JDK
    every_run: bool = True  # else in the first run alone: it repeats by itself

    def feed_from(self, feed: BenchFeed) -> BenchFeed:
        """What the lane reads where the run's feed is this."""
        return replace(feed, **self.feed)


def _stream(name: str, title: str, *, window: str = "PT5M", workers: int = 1, **feed: Any) -> Lane:
    """The stream worker where something is not as in the lane `stream`."""
    return Lane(
        name,
        "stream",
        title,
        "events",
        f"{name.replace('-', '_')}_eps",
        feed=feed,
        window=window,
        workers=workers,
        beside="stream",
        by_default=False,
    )


HISTORIES = (1, 30, 90)  # days
HISTORY_SKUS = 50_000
FACTS_PER_DAY = 1_000_000  # unless it is said otherwise
_HISTORY_TITLES = {"batch": "Avro files to deduplicated facts", "recalc": "recalculation"}


def _history(stage: Literal["batch", "recalc"], days: int) -> Lane:
    """A stage's lane with history before it, beside the one with the least."""
    return Lane(
        f"{stage}-{days}d",
        f"{stage}_history",
        f"{_HISTORY_TITLES[stage]}, {days} d of history",
        "facts",
        f"batch_{days}d_facts_per_s" if stage == "batch" else f"recalc_{days}d_s",
        headline_is_seconds=stage == "recalc",
        reads_topic=False,
        feed={"skus": HISTORY_SKUS},
        days=days,
        beside="" if days == HISTORIES[0] else f"{stage}-{HISTORIES[0]}d",
        by_default=False,
    )


LANES: tuple[Lane, ...] = (
    Lane("raw", "raw", "aiokafka getmany only", "events", "raw_eps"),
    Lane("faust", "faust_agent", "Faust agent, Record type, async for", "events", "faust_eps"),
    Lane("plain", "plain", "aiokafka, msgspec, fastavro loop", "events", "plain_eps"),
    Lane("stream", "stream", "velocity stream, everything on", "events", "stream_eps"),
    _stream("stream-dirty", "velocity stream, 1 % malformed, 1 % late", flavour="dirty"),
    _stream("stream-avro", "velocity stream, Avro input", flavour="avro"),
    _stream("stream-late-1", "velocity stream, 1 % late", late_percent=1),
    _stream("stream-late-20", "velocity stream, 20 % late", late_percent=20),
    _stream("stream-2m-skus", "velocity stream, 2,000,000 SKUs", skus=2_000_000),
    _stream("stream-24h", "velocity stream, windows of 24 hours", window="PT24H"),
    _stream("stream-200-sites", "velocity stream, 200 sites", sites=200),
    _stream("stream-200-sites-24h", "velocity stream, 200 sites, windows of 24 hours", sites=200, window="PT24H"),
    _stream("two-workers", "velocity stream, two workers of one group", workers=2),
    Lane(
        "recovery",
        "recovery",
        "velocity stream, replay of a 24 h window after a kill",
        "events",
        "recovery_eps",
        window="PT24H",
        by_default=False,
    ),
    Lane("batch", "batch", "Avro files to deduplicated facts", "facts", "batch_facts_per_s", reads_topic=False),
    Lane(
        "recalc",
        "recalc",
        "recalculation over 10 M facts",
        "facts",
        "recalc_s",
        headline_is_seconds=True,
        reads_topic=False,
        every_run=False,
    ),
    Lane(
        "compute-plain",
        "compute_plain",
        "compute API, plain aiohttp loop",
        "SKUs",
        "compute_plain_skus_per_s",
        reads_topic=False,
    ),
    Lane(
        "compute",
        "compute",
        "compute API, VelocityBatchProcessor",
        "SKUs",
        "compute_skus_per_s",
        reads_topic=False,
        beside="compute-plain",
    ),
    *(_history(stage, days) for stage in ("batch", "recalc") for days in HISTORIES),
    Lane(
        "delivery-plain",
        "delivery_plain",
        "200,000 coefficients to a WMS, plain aiohttp loop",
        "SKUs",
        "delivery_plain_skus_per_s",
        reads_topic=False,
    ),
    Lane(
        "delivery",
        "delivery",
        "200,000 coefficients to a WMS, everything on",
        "SKUs",
        "delivery_skus_per_s",
        reads_topic=False,
        beside="delivery-plain",
    ),
    Lane(
        "desk",
        "desk",
        "index of 1,000,000 dead letters, topic read included",
        "letters",
        "desk_letters_per_s",
        reads_topic=False,
        own_topics=True,
        by_default=False,
    ),
    Lane(
        "replay",
        "replay",
        "replay of 100,000 dead letters, audit log included",
        "letters",
        "replay_letters_per_s",
        reads_topic=False,
        own_topics=True,
        by_default=False,
    ),
    Lane("flink", "flink", "Apache Flink, windows by SKU", "events", "flink_eps", by_default=False, rival=True),
    Lane(
        "kafka-streams",
        "kafka_streams",
        "Kafka Streams, windows by SKU",
        "events",
        "kafka_streams_eps",
        by_default=False,
        rival=True,
    ),
)

#: What the others are compared with.
YARDSTICKS = ("raw", "plain", "faust")

#: What they are compared with by CPU seconds, where it ran.
CPU_YARDSTICK = "flink"


def lanes_named(names: list[str]) -> tuple[Lane, ...]:
    """The lanes of these names in the order of the table; for none those that run by default.

    Raises:
        ValueError: there is no such lane.
    """
    known = {lane.name for lane in LANES}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no such lane: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return tuple(lane for lane in LANES if (lane.name in names if names else lane.by_default))
