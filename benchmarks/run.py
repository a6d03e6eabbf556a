"""Runs the lanes one after another, several times over, and prints how they compare: `python -m benchmarks.run`."""

import argparse
import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import chart
from benchmarks.feed import DEFAULT_EVENTS, BenchFeed
from benchmarks.job import Job, LaneFailed, run_apart
from benchmarks.measure import Measurement
from benchmarks.plan import FACTS_PER_DAY, LANES, Lane, lanes_named
from benchmarks.results import Run, columns, table, to_json
from benchmarks.rivals.jvm import NoJdk, jdk
from benchmarks.topic import FeedNotStored, store, stored, topic_name
from console import screen
from console.progress import Meter
from sandbox.kafka import FULL_JVM, EmbeddedKafka

#: Kafka's own default, which the embedded one shortens: a group's first members wait for each other.
BROKER = {"group.initial.rebalance.delay.ms": "3000"}


@dataclass(frozen=True, slots=True)
class Options:
    """What to run, and where the broker's data and other things worth keeping are."""

    feed: BenchFeed
    runs: int
    lanes: tuple[Lane, ...]
    directory: Path
    facts_per_day: int = FACTS_PER_DAY  # of the lanes with history


def main(argv: Sequence[str] | None = None) -> int:
    """Run as the arguments say; returns the exit code: 0 ok, 1 a lane failed, 2 usage."""
    arguments = _parser().parse_args(argv)
    try:
        lanes, feed = lanes_named(arguments.lanes), BenchFeed(arguments.events)
    except ValueError as error:
        screen.remark(f"usage: {error}", style="red")
        return 2
    try:
        if any(lane.rival for lane in lanes):
            jdk()  # its absence is better said before the other lanes run than after
        options = Options(feed, arguments.runs, lanes, arguments.directory.absolute(), arguments.facts_per_day)
        runs = measure(options)
    except (LaneFailed, FeedNotStored, NoJdk) as error:
        screen.remark(f"failed: {error}", style="red")
        return 1
    results = to_json(feed, runs)
    if arguments.chart:
        chart.write(results, arguments.chart)
    if arguments.json == "-":
        screen.say_json(results)
        return 0
    if arguments.json:
        Path(arguments.json).write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    screen.say_table(columns(runs), table(runs), title=_title(feed, len(runs)))
    return 0


def measure(options: Options) -> list[Run]:
    """All runs; the lanes of each one after another, so that they meet the same weather.

    Raises:
        LaneFailed, FeedNotStored, KafkaStartError
    """
    with ExitStack() as stack:
        kafka = None
        if any(lane.reads_topic or lane.own_topics for lane in options.lanes):
            folder = options.directory / "kafka"
            kafka = stack.enter_context(EmbeddedKafka(folder, jvm=FULL_JVM, properties=BROKER))
            for feed in dict.fromkeys(lane.feed_from(options.feed) for lane in options.lanes if lane.reads_topic):
                _fill_topic(kafka, feed)
        return [_one_run(options, number, kafka) for number in range(options.runs)]


def _fill_topic(kafka: EmbeddedKafka, feed: BenchFeed) -> None:
    if not stored(kafka.bootstrap_servers, feed):
        with Meter(_called(feed), total=feed.events, unit="events") as meter:
            store(kafka.bootstrap_servers, feed, meter.advance)


def _called(feed: BenchFeed) -> str:
    return f"feed ({feed.flavour}, {feed.sites} sites, {feed.skus:,} SKUs, {feed.late_percent} % late)"


def _one_run(options: Options, number: int, kafka: EmbeddedKafka | None) -> Run:
    run: Run = {}
    for lane in options.lanes:
        if number and not lane.every_run:
            continue
        run[lane.name] = measured = _one_lane(options, lane, kafka)
        screen.remark(f"run {number + 1} of {options.runs}, {lane.name}: {_summary(lane, measured)}")
    return run


def _one_lane(options: Options, lane: Lane, kafka: EmbeddedKafka | None) -> Measurement:
    """A lane in a process and a directory of its own; the directory stays when the lane fails."""
    feed = lane.feed_from(options.feed)
    job = Job(
        lane=lane.module,
        feed=feed,
        scratch=options.directory / "runs" / f"{lane.name}-{uuid.uuid4().hex[:8]}",
        cache=options.directory / "cache",
        bootstrap=kafka.bootstrap_servers if kafka else "",
        topic=topic_name(feed) if lane.reads_topic else "",
        broker_pid=kafka.pid if kafka else None,
        window=lane.window,
        workers=lane.workers,
        days=lane.days,
        facts_per_day=options.facts_per_day,
    )
    measured = run_apart(job)
    shutil.rmtree(job.scratch, ignore_errors=True)
    return measured


def _summary(lane: Lane, measured: Measurement) -> str:
    return (
        f"{measured.rate:,.0f} {lane.unit}/s ({measured.seconds:.1f} s wall, {measured.cpu_s:.1f} s CPU, "
        f"{measured.rss_mb:.0f} MB)"
    )


def _title(feed: BenchFeed, runs: int) -> str:
    return (
        f"{feed.events:,} orders of {feed.mean_bytes:.0f} B, {feed.partitions} partitions, {feed.skus:,} SKUs; "
        f"{os.cpu_count()} cores with the broker on them; {runs} run{'s' * (runs > 1)}, ratios within a run"
    )


def default_directory() -> Path:
    """`velocity/bench` below `XDG_CACHE_HOME` (`~/.cache`): what is there can be deleted at any time."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "velocity" / "bench"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("velocity bench", description="Run the benchmark lanes and compare them.")
    parser.add_argument("--events", type=int, default=DEFAULT_EVENTS, help="orders in the feed (default: %(default)s)")
    parser.add_argument(
        "--facts-per-day",
        type=int,
        default=FACTS_PER_DAY,
        help="of lanes with history; fewer are filled in sooner (default: %(default)s)",
    )
    parser.add_argument("--runs", type=int, default=3, help="times that each lane runs (default: %(default)s)")
    default, more = (", ".join(lane.name for lane in LANES if lane.by_default is it) for it in (True, False))
    wanted = f"of {default} (default: these), {more}"
    parser.add_argument("--lanes", nargs="+", default=[], metavar="LANE", help=wanted)
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write JSON to a file; without one, print it, not the table",
    )
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the lanes that read events, as SVG")
    parser.add_argument(
        "--directory", type=Path, default=default_directory(), help="broker data and caches (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
