"""The stream worker, `velocity stream`, as it runs in production: checks, windows, spill, files, transactions.

From the first record that it takes until the frontiers that it has committed cover the topic. When it has taken the
last record it is told to stop, as a deployment would, so that the rest of a checkpoint interval is not measured too.

Several workers share the partitions as members of one group. Time, CPU and memory are those of all of them.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from msgspec import structs

from benchmarks.avro_lines import write_schema_dir
from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.verify import WrongOutput, check_files
from benchmarks.world import environment, pipeline_topics
from runtime.settings import Settings
from sandbox.kafka.probe import free_port
from schemas.codecs import decode
from schemas.records import Frontier, Manifest
from schemas.topics import TopicRole

COMMAND = [sys.executable, "-m", "console.main", "stream"]
STOP_TIMEOUT_S = 30.0
STALL_S = 60.0
_TAKEN = re.compile(rb'^velocity_stream_records_total\{source="orders"\} ([0-9.e+]+)$', re.MULTILINE)


class WorkerStalled(RuntimeError):
    """The worker ended, or makes no progress."""


def run(job: Job) -> Measurement:
    """Run the worker over the whole topic and check what it wrote."""
    more: dict[str, str] = {}
    if job.feed.flavour == "avro":
        more["VELOCITY_INTAKE__SCHEMA_DIR"] = str(write_schema_dir(job.scratch / "schemas"))
    os.environ.update(environment(job, **more))
    settings = Settings()
    with ExitStack() as stack:
        stack.enter_context(pipeline_topics(settings))
        taken = _Followed(settings, [stack.enter_context(_member(job, n)) for n in range(job.workers)], job)
        measured = taken.to_the_end()
        if code := taken.exit_code():
            raise WorkerStalled(f"a worker ended with exit code {code}")
        manifests = [decode(value, Manifest) for value in _values(settings, TopicRole.BATCHES)]
        _check(job, settings, manifests, taken.frontiers)
        return structs.replace(measured, details={**measured.details, "files": len(manifests)})


@contextmanager
def stream_worker(**more: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The process under test, with further environment. Its log goes where this process's errors go."""
    process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=sys.stderr, env={**os.environ, **more})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@dataclass(slots=True)
class _Member:
    """A worker of the group, and how many records it has taken."""

    process: "subprocess.Popen[bytes]"
    metrics: str
    taken: int = 0


@contextmanager
def _member(job: Job, number: int) -> Iterator[_Member]:
    port, state = free_port(), job.scratch / f"state-{number}"
    more = {"VELOCITY_WORKER_ID": f"bench-{number}", "VELOCITY_STATE_DIR": str(state)}
    with stream_worker(VELOCITY_STREAM__HTTP_PORT=str(port), **more) as process:
        yield _Member(process, f"http://127.0.0.1:{port}/metrics")


class _Followed:
    """Follows workers from their first record to the commit of their last."""

    def __init__(self, settings: Settings, workers: Sequence[_Member], job: Job) -> None:
        self.frontiers: dict[str, Frontier] = {}
        self._workers, self._job = workers, job
        self._watch = Stopwatch([worker.process.pid for worker in workers], job.broker_pid)
        self._consumer = consumer_of(settings)
        self._progress_at = time.monotonic()

    def exit_code(self) -> int:
        """The first that is not 0, once all have ended."""
        return next(filter(None, [worker.process.wait(STOP_TIMEOUT_S) for worker in self._workers]), 0)

    @property
    def _taken(self) -> int:
        return sum(worker.taken for worker in self._workers)

    def to_the_end(self) -> Measurement:
        """Waits for the workers to commit the whole topic.

        Raises:
            WorkerStalled: one ends before, or they take nothing for a minute.
        """
        commits = 0
        while not self._watch.running:
            self._look(0.02)
        began = time.monotonic()
        while self._committed() < self._job.feed.events:
            self._look(_pause_s(self._taken, self._job.feed.events, time.monotonic() - began))
            commits += self._read_frontiers()
        self._consumer.close()
        shares = {f"taken_{number}": worker.taken for number, worker in enumerate(self._workers)}
        return self._watch.stop(self._job.feed.events, commits=commits, **(shares if len(shares) > 1 else {}))

    def _look(self, pause_s: float) -> None:
        time.sleep(pause_s)
        before = self._taken
        for worker in self._workers:
            worker.taken = max(worker.taken, _taken(worker.metrics))
        if self._taken and not self._watch.running:
            self._watch.start()
        if self._taken > before:
            self._progress_at = time.monotonic()
            if self._taken >= self._job.feed.events:
                for worker in self._workers:
                    worker.process.send_signal(signal.SIGTERM)
        self._watch.note_memory()
        codes = [worker.process.poll() for worker in self._workers]
        ended = codes.count(None) < len(codes) and self._taken < self._job.feed.events
        if ended or time.monotonic() - self._progress_at > STALL_S:
            raise WorkerStalled(f"after {self._taken} records; exit codes {codes}")

    def _committed(self) -> int:
        return sum(frontier.position for frontier in self.frontiers.values())

    def _read_frontiers(self) -> int:
        """Take the frontiers announced since; how many."""
        records = read_frontiers(self._consumer, self._job.topic)
        self.frontiers |= {record.key: record for record in records}
        return len(records)


def _pause_s(taken: int, events: int, elapsed_s: float) -> float:
    """Until the next look: a part of the time that is left. Each look costs the worker a page of metrics, 10 ms."""
    left_s = elapsed_s * (events - taken) / max(taken, 1)
    return min(1.0, max(0.02, left_s / 4))


def consumer_of(settings: Settings) -> Consumer:
    """A consumer of the frontier records from the first one on."""
    consumer = _consumer(settings)
    consumer.assign([TopicPartition(settings.topics.name(TopicRole.FRONTIERS), 0, OFFSET_BEGINNING)])
    return consumer


def read_frontiers(consumer: Consumer, topic: str) -> list[Frontier]:
    """Those of a source topic announced since."""
    values = [m.value() for m in consumer.consume(1000, timeout=0.0) if m.error() is None and m.value()]
    return [record for record in (decode(value, Frontier) for value in values) if record.source_topic == topic]


def _taken(metrics: str) -> int:
    """Order records that the worker says it has taken; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(metrics, timeout=5) as answer:
            found = _TAKEN.search(answer.read())
    except OSError:
        return 0
    return int(float(found[1])) if found else 0


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": "bench-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )


def _values(settings: Settings, role: TopicRole) -> list[bytes]:
    """The values of a topic's committed records."""
    consumer, values = _consumer(settings), []
    topic = settings.topics.name(role)
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    ended: set[int] = set()
    while len(ended) < len(partitions):
        for message in consumer.consume(1000, timeout=1.0):
            if message.error() is None:
                values.append(message.value())
            else:
                ended.add(message.partition())
    consumer.close()
    return values


def _check(job: Job, settings: Settings, manifests: list[Manifest], frontiers: dict[str, Frontier]) -> None:
    """Everything is in exactly one file or open window, with the quantity it came with.

    Raises:
        WrongOutput
    """
    files = {Path(settings.store.url) / manifest.path: manifest.site_id for manifest in manifests}
    rows = check_files(files, job.feed, whole=False)
    announced = sum(manifest.record_count for manifest in manifests)
    still_open = sum(window.count for frontier in frontiers.values() for window in frontier.open_windows)
    dead, refused = sum(frontier.counts.dead for frontier in frontiers.values()), job.feed.refused()
    if dead != refused or not rows == announced == job.feed.events - still_open - refused:
        raise WrongOutput(
            f"{rows} rows in files, {announced} announced, {still_open} open, {dead} dead letters "
            f"(should be {refused}), of {job.feed.events}"
        )
