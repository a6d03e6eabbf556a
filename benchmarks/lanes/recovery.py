"""Recovery at its largest: a worker is killed while a window of 24 hours holds the whole feed, and another follows it.

From the moment that the new worker begins to replay until all its partitions have replayed their open windows, which
are then checked against the counts and hashes of the checkpoint: a partition whose replay does not add up stops, and
the lane fails.
"""

import os
import re
import time
import urllib.request

from benchmarks.job import Job
from benchmarks.lanes.stream import STALL_S, WorkerStalled, consumer_of, read_frontiers, stream_worker
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.world import environment, pipeline_topics
from runtime.settings import Settings
from sandbox.kafka.probe import free_port
from schemas.records import Frontier

POLL_S = 0.02
_GAUGE = re.compile(r"^velocity_(owned|replaying)_partitions ([0-9.e+]+)$", re.MULTILINE)


def run(job: Job) -> Measurement:
    """Fill the window, kill the worker, and measure the next one."""
    port = free_port()
    os.environ.update(environment(job, VELOCITY_STREAM__HTTP_PORT=str(port)))
    settings = Settings()
    with pipeline_topics(settings):
        with stream_worker() as worker:
            _until_committed(settings, job)
            worker.kill()
        with stream_worker() as worker:
            return _until_replayed(job, port, Stopwatch([worker.pid], job.broker_pid))


def _until_committed(settings: Settings, job: Job) -> None:
    """Wait until the frontiers cover the topic, with every event in an open window.

    Raises:
        WorkerStalled: nothing moves for a minute.
    """
    frontiers: dict[str, Frontier] = {}
    consumer, covered, moved_at = consumer_of(settings), 0, time.monotonic()
    while covered < job.feed.events:
        frontiers |= {one.key: one for one in read_frontiers(consumer, job.topic)}
        before, covered = covered, sum(frontier.position for frontier in frontiers.values())
        moved_at = time.monotonic() if covered > before else moved_at
        if time.monotonic() - moved_at > STALL_S:
            raise WorkerStalled(f"committed up to {covered} of {job.feed.events} events")
        time.sleep(POLL_S)
    consumer.close()
    still_open = sum(window.count for frontier in frontiers.values() for window in frontier.open_windows)
    if still_open != job.feed.events:
        raise WorkerStalled(f"{still_open} of {job.feed.events} events are in open windows; all should be")


def _until_replayed(job: Job, port: int, watch: Stopwatch) -> Measurement:
    partitions, deadline = job.feed.partitions + 2, time.monotonic() + 10 * STALL_S  # and one of each other source
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        gauges = _gauges(port)
        if gauges.get("replaying") and not watch.running:
            watch.start()
        watch.note_memory()
        if watch.running and gauges == {"owned": partitions, "replaying": 0}:
            return watch.stop(job.feed.events)
    raise WorkerStalled(f"not recovered: {_gauges(port)}")


def _gauges(port: int) -> dict[str, int]:
    """Partitions that are owned and that are replaying; nothing while the worker does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return {name: int(float(value)) for name, value in _GAUGE.findall(answer.read().decode())}
    except OSError:
        return {}
