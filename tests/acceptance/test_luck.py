"""The result does not depend on luck: same events, any order, any crash, any number of workers → the same coefficients.

One world takes the feed in order and undisturbed. Others take it disordered, or with workers that are killed, paused,
joined and left. Coefficients, `run_id` included, must be equal to the byte.
"""

import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pipeline_world import PipelineWorld, WorkerProcess, until

from sandbox.disorder import Disorder, disordered
from sandbox.feed import write_feed
from sandbox.generated_feed import GeneratedFeed, generated_feed
from sandbox.kafka import FAST_START_JVM, EmbeddedKafka
from sandbox.malformed import MALFORMED_KINDS
from schemas.sources import Source

EVENTS = 6_000
DISORDER = Disorder(max_out_of_orderness_ms=600_000, late_fraction=0.01, duplicate_fraction=0.01)
ENVIRONMENT = {"VELOCITY_WINDOW__SPEC": "local-day", "VELOCITY_WINDOW__IDLE_POLICY": "hold"}
STREAM_POINTS = ("stream.after_file", "stream.after_rename", "stream.in_transaction", "stream.after_commit")
BATCH_POINTS = ("batch.before_commit", "batch.after_commit", "batch.before_publish", "batch.after_publish")


@pytest.fixture(scope="module")
def feed() -> GeneratedFeed:
    """Two sites in two zones, several units, returns and counts."""
    return generated_feed(events=EVENTS, seed=7)


def prepared(make_world: Any, name: str, feed: GeneratedFeed, **environment: str) -> PipelineWorld:
    """A world that knows the feed's sites and units, with no worker yet."""
    world: PipelineWorld = make_world(name, **ENVIRONMENT, **environment)
    (world.directory / "sites.csv").write_text(feed.sites_csv)
    world.extra["VELOCITY_SITES_FILE"] = str(world.directory / "sites.csv")
    (world.directory / "items.csv").write_text(feed.items_csv)
    world.run("reference", "load", "--items", str(world.directory / "items.csv"))
    return world


def lines_of(feed: GeneratedFeed, *, shuffled: bool) -> dict[Source, list[bytes]]:
    """What each source is sent: in order, or out of order with late, doubled and malformed lines."""
    if not shuffled:
        return {source: [line for _, line in lines] for source, lines in feed.lines.items()}
    found: dict[Source, list[bytes]] = {}
    for source, lines in feed.lines.items():
        malformed = [kind.line for kind in MALFORMED_KINDS if kind.source is source]
        found[source] = list(disordered(lines, DISORDER, seed=3, malformed=malformed).lines)
    return found


def coefficients(world: PipelineWorld, feed: GeneratedFeed) -> str:
    """Drain, recalculate both sites at the end of the feed, and print all rows."""
    world.drain(within_s=120)
    last_ms = max(event.event_time_ms for lines in feed.lines.values() for event in lines)
    as_of = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(last_ms / 1000))
    world.run("recalc", "--as-of", as_of, "--partial")
    return world.run("coefficients", "--as-of", as_of, "--format", "csv").stdout


@pytest.fixture(scope="module")
def undisturbed(make_world: Any, feed: GeneratedFeed) -> str:
    """The coefficients of the feed in order, with nothing in the way."""
    world = prepared(make_world, "undisturbed", feed)
    world.start("stream", "s1")
    world.start("batch", "b1")
    for source, lines in lines_of(feed, shuffled=False).items():
        world.produce(source, lines)
    text = coefficients(world, feed)
    assert text.count("\n") > 100
    assert world.json("audit", "--deep")["complete"] is True
    world.close()
    return text


def test_disorder_late_doubled_and_malformed_lines_change_nothing(
    make_world: Any, feed: GeneratedFeed, undisturbed: str
) -> None:
    """Shuffled within the bound, 1 % days late, 1 % twice, 77 kinds of malformed lines mixed in."""
    world = prepared(make_world, "disordered", feed)
    world.start("stream", "s1")
    world.start("batch", "b1")
    for source, lines in lines_of(feed, shuffled=True).items():
        world.produce(source, lines)
    assert coefficients(world, feed) == undisturbed
    audit = world.json("audit", "--deep")
    assert audit["complete"] is True, audit
    assert audit["in_corrections"] > 0
    letters = Counter((letter.value, letter.error_class, letter.path) for letter in world.dead_letters())
    assert letters == Counter((kind.line, kind.error_class, kind.path) for kind in MALFORMED_KINDS)
    world.close()


def taken(world: PipelineWorld) -> int:
    """How many offsets of the sources have been checkpointed."""
    return sum(frontier.position for frontier in world.frontiers().values())


@dataclass
class Hazard:
    """Kills, pauses and replaces workers of one kind while the feed flows."""

    world: PipelineWorld
    rng: random.Random
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    crashes: int = 0

    def start(self, command: str, name: str, **environment: str) -> None:
        """Start a worker, or start it again."""
        self.workers[name] = self.world.start(command, name, **environment)

    def strike(self, name: str | None = None) -> None:
        """Kill a worker, any if none is named, and start it again, after a pause or at once."""
        name = name or self.rng.choice(sorted(self.workers))
        self.workers[name].kill()
        self.crashes += 1
        time.sleep(self.rng.uniform(0, 1))
        self.start(*self.command_of(name))

    def revive(self) -> None:
        """Start again those that a crash point has ended."""
        for name, worker in list(self.workers.items()):
            if not worker.running:
                assert worker.process.returncode == -9, worker.text
                self.crashes += 1
                self.start(*self.command_of(name))

    def struck_or_done(self, sent: int) -> bool:
        """Whether crash points have ended both; the stream worker passes no more once all that was sent is taken."""
        if self.workers["b1"].running:
            return False
        return not self.workers["s1"].running or taken(self.world) >= sent

    @staticmethod
    def command_of(name: str) -> tuple[str, str]:
        """How the worker of this name is started."""
        return ("stream" if name.startswith("s") else "batch"), name


def test_workers_killed_at_every_named_point_and_at_random_change_nothing(
    make_world: Any, feed: GeneratedFeed, undisturbed: str
) -> None:
    """Named steps of a checkpoint and of a load, then random SIGKILLs, over three workers."""
    world = prepared(make_world, "crashed", feed)
    hazard = Hazard(world, random.Random(11))
    points = itertools.zip_longest(STREAM_POINTS, BATCH_POINTS)
    feeds = {source: chunks(lines, 8) for source, lines in lines_of(feed, shuffled=True).items()}
    hazard.start("stream", "s2")
    sent = 0
    for step in range(8):
        for source, parts in feeds.items():
            world.produce(source, parts[step])
        stream_point, batch_point = next(points, (None, None))
        if stream_point:
            _replace(hazard, "s1", "stream", VELOCITY_CRASH_AT=stream_point)
            _replace(hazard, "b1", "batch", VELOCITY_CRASH_AT=str(batch_point))
            sent += sum(len(parts[step]) for parts in feeds.values())
            until(partial(hazard.struck_or_done, sent), 15)
            hazard.revive()
        else:
            time.sleep(hazard.rng.uniform(1, 3))
            hazard.strike()
            hazard.revive()
    assert coefficients(world, feed) == undisturbed
    assert hazard.crashes >= 4  # the strikes; named points that were reached come on top, and each is forced elsewhere
    assert_clean(world)
    world.close()


def _replace(hazard: Hazard, name: str, command: str, **environment: str) -> None:
    if name in hazard.workers:
        hazard.workers[name].kill()
    hazard.start(command, name, **environment)


def chunks(lines: list[bytes], count: int) -> list[list[bytes]]:
    """The lines in `count` parts, in order."""
    size = -(-len(lines) // count)
    return [lines[start : start + size] for start in range(0, size * count, size)]


def assert_clean(world: PipelineWorld) -> None:
    """The deep audit is complete, and after `gc` the store holds exactly what the manifests name."""
    audit = world.json("audit", "--deep")
    assert audit["complete"] is True, audit
    world.run("gc")
    store: Path = world.directory / "store"
    files = {str(file.relative_to(store)) for file in store.rglob("*.avro") if ".tmp" not in file.parts}
    assert files == {manifest.path for manifest in world.manifests()}


def test_any_number_of_workers_gives_the_same(make_world: Any, feed: GeneratedFeed, undisturbed: str) -> None:
    """Three stream workers and two batch workers, joining and leaving mid-stream."""
    world = prepared(make_world, "many", feed)
    second = world.extra["VELOCITY_API__URL"].rpartition(":")[0] + ":0"
    feeds = {source: chunks(lines, 4) for source, lines in lines_of(feed, shuffled=True).items()}
    b1, s1 = world.start("batch", "b1"), world.start("stream", "s1")
    joined = [s1, b1]
    for step in range(4):
        for source, parts in feeds.items():
            world.produce(source, parts[step])
        if step == 0:
            s2, b2 = world.start("stream", "s2"), world.start("batch", "b2", VELOCITY_API__URL=second)
            joined += [s2, b2]
        elif step == 1:
            joined.append(world.start("stream", "s3"))
        elif step == 2:
            for worker in (s1, b2):
                assert worker.terminate(within_s=20) == 0
                joined.remove(worker)
        for worker in joined:
            assert until(lambda w=worker: "partitions assigned" in w.text, 60), worker.text
    assert coefficients(world, feed) == undisturbed
    assert_clean(world)
    world.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_forty_kills_of_workers_and_one_of_the_broker_change_nothing(
    seed: int, feed: GeneratedFeed, undisturbed: str, tmp_path: Path
) -> None:
    """Twenty SIGKILLs of the stream worker and twenty of the batch worker at random moments, the broker's half-way."""
    with EmbeddedKafka(tmp_path / "kafka", jvm=FAST_START_JVM) as kafka:

        def make(name: str, **environment: str) -> PipelineWorld:
            (tmp_path / name).mkdir()
            return PipelineWorld.whole(kafka.bootstrap_servers, tmp_path / name, 2, environment)

        world = prepared(make, f"struck-{seed}", feed)
        try:
            hazard = Hazard(world, random.Random(seed))
            parts = {source: chunks(lines, 20) for source, lines in lines_of(feed, shuffled=True).items()}
            for name in ("s1", "b1"):
                hazard.start(*hazard.command_of(name))
            for step in range(20):
                for source, lines in parts.items():
                    world.produce(source, lines[step])
                if step == 10:
                    kafka.kill()
                    kafka.start()
                for name in ("s1", "b1"):
                    time.sleep(hazard.rng.uniform(0, 4))
                    hazard.strike(name)
            assert hazard.crashes == 40
            assert coefficients(world, feed) == undisturbed
            assert_clean(world)
        finally:
            world.close()


def test_the_feed_reaches_files_as_it_was_generated(feed: GeneratedFeed, tmp_path: Path) -> None:
    """What the worlds above were sent is the generated feed, whole."""
    assert sum(write_feed(feed.lines, tmp_path).values()) == EVENTS
