"""The stream worker as a process on a real broker: every record ends in exactly one place."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer
from pipeline_world import PipelineWorld, WorkerProcess, order_lines, until

from schemas.records import BatchKind
from schemas.sources import BATCH_SCHEMAS, Source

CRASH_POINTS = ["stream.after_file", "stream.after_rename", "stream.in_transaction", "stream.after_commit"]


def positions(world: PipelineWorld) -> int:
    """How many offsets have been taken, over all partitions."""
    return sum(frontier.position for frontier in world.frontiers().values())


def drained(world: PipelineWorld, *, stop: bool = True) -> None:
    """Close everything and, with `stop`, end the workers."""
    world.drain("--no-batch-wait", stop=stop)


def assert_conserved(world: PipelineWorld) -> int:
    """The frontiers' counts agree with what was announced; each offset is in exactly one place."""
    total = world.assert_each_offset_once()
    counts = [frontier.counts for frontier in world.frontiers().values()]
    assert sum(c.delivered for c in counts) == total
    assert all(c.delivered == c.batched + c.corrected + c.dead for c in counts)
    return total


@pytest.mark.parametrize("lean", ["true", "false"])
def test_every_record_ends_in_exactly_one_batch_or_dead_letter(world: PipelineWorld, lean: str) -> None:
    """A bad line among them; after a drain nothing is open and nothing is missing. With aiokafka's records or not."""
    lines = order_lines(3000)
    lines[7:7] = [b"not json", b'{"event_id": 3}']
    world.produce(Source.ORDERS, lines)
    worker = world.start("stream", "w1", VELOCITY_STREAM__LEAN_RECORDS=lean)
    drained(world)
    assert worker.process.wait(10) == 0
    assert assert_conserved(world) == 3002
    letters = {letter.value: letter for letter in world.dead_letters()}
    assert set(letters) == {b"not json", b'{"event_id": 3}'}
    assert (letters[b"not json"].error_class, letters[b"not json"].path) == ("not_json", "$")
    assert (letters[b'{"event_id": 3}'].error_class, letters[b'{"event_id": 3}'].path) == ("wrong_type", "$.event_id")


def test_each_window_of_a_site_is_one_on_time_file_per_partition(world: PipelineWorld) -> None:
    """In-order events give no correction; each (partition, site, window) is one file, whole under its schema."""
    for partition in range(2):
        world.produce(Source.ORDERS, order_lines(4000, site=f"S{partition}"), partition=partition)
    world.start("stream", "w1")
    drained(world)
    manifests = world.manifests()
    assert {manifest.kind for manifest in manifests} == {BatchKind.ON_TIME}
    keys = [(m.source_partition, m.site_id, m.windows[0].start) for m in manifests]
    assert len(keys) == len(set(keys))
    for manifest in manifests:
        rows = world.rows(manifest)
        assert len(rows) == manifest.record_count
        window = manifest.windows[0]
        for row in rows:
            assert isinstance(row["event_time"], datetime)
            assert window.start <= row["event_time"].timestamp() * 1000 < window.end
            assert row["window_start"] == datetime.fromtimestamp(window.start / 1000, UTC)
    assert BATCH_SCHEMAS[Source.ORDERS] == "order_batch"


def test_sigterm_checkpoints_and_exits_0(world: PipelineWorld) -> None:
    """What was taken is committed before the end, so the next worker reads no more than its open windows again."""
    world.produce(Source.ORDERS, order_lines(2000))
    worker = world.start("stream", "w1", VELOCITY_STREAM__CHECKPOINT_INTERVAL="PT60S")
    assert until(lambda: "partition is new" in worker.text, 20)
    time.sleep(2)
    assert worker.terminate(within_s=10) == 0
    assert positions(world) == 2000


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_kill_at_any_step_of_a_checkpoint_loses_and_doubles_nothing(world: PipelineWorld, point: str) -> None:
    """The worker kills itself at the named step, at the third passing; the next one carries on."""
    world.produce(Source.ORDERS, [*order_lines(3000), b"bad"])
    crashed = world.start("stream", "w1", VELOCITY_CRASH_AT=f"{point}:3", VELOCITY_STREAM__CHECKPOINT_INTERVAL="PT0.1S")
    world.produce(Source.ORDERS, order_lines(3000, start_ms=1_700_010_000_000, site="B"))
    assert until(lambda: not crashed.running, 30), crashed.text
    assert crashed.process.returncode == -9
    world.start("stream", "w1")
    drained(world)
    assert assert_conserved(world) == 6001


def test_a_paused_worker_is_fenced_and_doubles_nothing(world: PipelineWorld) -> None:
    """SIGSTOP past the session, another takes over, SIGCONT: the zombie's transactions are refused."""
    world.extra["VELOCITY_KAFKA__SESSION_TIMEOUT"] = "PT3S"
    world.produce(Source.ORDERS, order_lines(2000))
    zombie = world.start("stream", "zombie")
    assert until(lambda: positions(world) == 2000, 30), zombie.text
    zombie.pause()
    world.produce(Source.ORDERS, order_lines(2000, site="B", start_ms=1_700_004_000_000))
    heir = world.start("stream", "heir")
    assert until(lambda: positions(world) == 4000, 40), heir.text
    zombie.resume()
    world.produce(Source.ORDERS, order_lines(2000, site="C", start_ms=1_700_008_000_000))
    assert until(lambda: positions(world) == 6000, 40), zombie.text
    drained(world)
    assert assert_conserved(world) == 6000


def test_workers_join_and_leave_while_events_flow(world: PipelineWorld) -> None:
    """Three workers come and go, by SIGTERM and SIGKILL, over twelve partitions of each source."""
    world.partitions = 12
    world.extra["VELOCITY_KAFKA__SESSION_TIMEOUT"] = "PT2S"
    world.apply_topics()
    workers = [world.start("stream", "w0")]
    for wave in range(6):
        for source in (Source.ORDERS,):
            world.produce(source, order_lines(600, site=f"W{wave}", start_ms=1_700_000_000_000 + wave * 600_000))
        _come_and_go(world, workers, wave)
    workers.append(world.start("stream", "last"))
    drained(world)
    assert assert_conserved(world) == 3600


def _come_and_go(world: PipelineWorld, workers: list[WorkerProcess], wave: int) -> None:
    if wave in (0, 1, 3):
        workers.append(world.start("stream", f"w{wave + 1}"))
        time.sleep(2.0)
    if wave == 2:
        workers[0].terminate()
    if wave == 4:
        workers[1].kill()


def test_aborted_transactions_of_producers_are_not_read(world: PipelineWorld) -> None:
    """Sources are read read_committed: what a producer took back never counts, and its markers stop nothing."""
    producer = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": f"{world.name}-wms"})
    producer.init_transactions()
    for number, line in enumerate(order_lines(40)):
        producer.begin_transaction()
        producer.produce(world.source_topic(Source.ORDERS), line, partition=0)
        producer.flush()
        (producer.abort_transaction if number % 2 else producer.commit_transaction)()
    world.start("stream", "w1")
    drained(world)
    assert assert_conserved(world) == 20


def test_a_replayed_chain_keeps_its_root_and_counts_its_attempts(world: PipelineWorld) -> None:
    """A record that carries the headers of an earlier failure continues that chain."""
    producer = Producer({"bootstrap.servers": world.bootstrap})
    headers: list[Any] = [("dlq.attempts", b"2"), ("dlq.root", b"t/0/7"), ("dlq.first-failed-at", b"5"), ("x", b"y")]
    producer.produce(world.source_topic(Source.ORDERS), b"still bad", key=b"k", headers=headers, partition=1)
    producer.flush()
    world.start("stream", "w1")
    drained(world)
    (letter,) = world.dead_letters()
    assert (letter.attempts, letter.root, letter.first_failed_at) == (3, "t/0/7", 5)
    assert (letter.key, letter.headers, letter.partition) == (b"k", (("x", b"y"),), 1)


def test_a_malformed_record_of_almost_a_mebibyte_is_a_dead_letter(world: PipelineWorld) -> None:
    """1 MiB - 1 byte of garbage, byte for byte."""
    value = json.dumps({"junk": "x" * (1 << 20)}).encode()[: (1 << 20) - 1]
    producer = Producer({"bootstrap.servers": world.bootstrap, "message.max.bytes": 2 << 20})
    producer.produce(world.source_topic(Source.ORDERS), value)
    assert producer.flush(10) == 0
    world.start("stream", "w1")
    drained(world)
    (letter,) = world.dead_letters()
    assert letter.value == value
    assert letter.error_class == "not_json"
