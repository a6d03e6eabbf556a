"""The stream worker, `velocity stream`, as it runs in production: checks, windows, spill, files, transactions.

From the first record that it takes until the frontiers that it has committed cover the topic. When it has taken the
last record it is told to stop, as a deployment would, so that the rest of a checkpoint interval is not measured too.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

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
    port = free_port()
    more = {"VELOCITY_STREAM__HTTP_PORT": str(port)}
    if job.feed.flavour == "avro":
        more["VELOCITY_INTAKE__SCHEMA_DIR"] = str(write_schema_dir(job.scratch / "schemas"))
    os.environ.update(environment(job, **more))
    settings = Settings()
    with pipeline_topics(settings), stream_worker() as worker:
        taken = _Followed(settings, worker, port, job)
        measured = taken.to_the_end()
        if code := worker.wait(STOP_TIMEOUT_S):
            raise WorkerStalled(f"the worker ended with exit code {code}")
        manifests = [decode(value, Manifest) for value in _values(settings, TopicRole.BATCHES)]
        _check(job, settings, manifests, taken.frontiers)
        return measured


@contextmanager
def stream_worker() -> Iterator["subprocess.Popen[bytes]"]:
    """The process under test. Its log goes where this process's errors go."""
    process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


class _Followed:
    """Follows a worker from its first record to the commit of its last."""

    def __init__(self, settings: Settings, worker: "subprocess.Popen[bytes]", port: int, job: Job) -> None:
        self.frontiers: dict[str, Frontier] = {}
        self._worker, self._job = worker, job
        self._metrics = f"http://127.0.0.1:{port}/metrics"
        self._watch = Stopwatch(worker.pid, job.broker_pid)
        self._consumer = consumer_of(settings)
        self._taken, self._progress_at = 0, time.monotonic()

    def to_the_end(self) -> Measurement:
        """Waits for the worker to commit the whole topic.

        Raises:
            WorkerStalled: it ends before, or takes nothing for a minute.
        """
        commits = 0
        while not self._watch.running:
            self._look(0.02)
        while self._committed() < self._job.feed.events:
            self._look(0.1 if self._taken < self._job.feed.events else 0.01)
            commits += self._read_frontiers()
        self._consumer.close()
        return self._watch.stop(self._job.feed.events, commits=commits)

    def _look(self, pause_s: float) -> None:
        time.sleep(pause_s)
        before, self._taken = self._taken, max(self._taken, _taken(self._metrics))
        if self._taken and not self._watch.running:
            self._watch.start()
        if self._taken > before:
            self._progress_at = time.monotonic()
            if self._taken == self._job.feed.events:
                self._worker.send_signal(signal.SIGTERM)
        self._watch.note_memory()
        ended = self._worker.poll() is not None and self._taken < self._job.feed.events
        if ended or time.monotonic() - self._progress_at > STALL_S:
            raise WorkerStalled(f"after {self._taken} records; exit code {self._worker.poll()}")

    def _committed(self) -> int:
        return sum(frontier.position for frontier in self.frontiers.values())

    def _read_frontiers(self) -> int:
        """Take the frontiers announced since; how many."""
        records = read_frontiers(self._consumer, self._job.topic)
        self.frontiers |= {record.key: record for record in records}
        return len(records)


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
