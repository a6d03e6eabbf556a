"""The stream worker when the world is against it: each trouble ends as docs/guarantees.md says, with its message."""

import shutil
import subprocess
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from pipeline_world import PipelineWorld, WorkerProcess, order_lines, until

from sandbox.kafka import FAST_START_JVM, EmbeddedKafka
from schemas.sources import Source

#: Where a test has to wait until the group has forgotten a worker.
SHORT_SESSION = {"VELOCITY_KAFKA__SESSION_TIMEOUT": "PT2S"}


def admin(world: PipelineWorld) -> AdminClient:
    """An admin client of the world's broker."""
    return AdminClient({"bootstrap.servers": world.bootstrap})


def taken(world: PipelineWorld) -> int:
    """How many offsets have been taken, over all partitions."""
    return sum(frontier.position for frontier in world.frontiers().values())


def settle(world: PipelineWorld, worker: WorkerProcess, count: int) -> None:
    """Wait until `count` offsets have been checkpointed."""
    assert until(lambda: taken(world) >= count, 40), worker.text


def drain(world: PipelineWorld) -> None:
    """Close everything and end the workers."""
    world.drain("--no-batch-wait", stop=True)


def alter(world: PipelineWorld, topic: str, name: str, value: str) -> None:
    """Set one setting of a topic."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = admin(world)
    for future in client.incremental_alter_configs([resource]).values():
        future.result()


def readiness(worker: WorkerProcess) -> str:
    """What `/readyz` says; the port stands in the log."""
    port = worker.text.partition("http_port=")[2].split()[0]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_retention_that_passes_the_commit_is_a_gap_and_said_so(world: PipelineWorld) -> None:
    """Records that retention removed while nobody read are counted as a gap; the rest goes on."""
    world.produce(Source.ORDERS, order_lines(1000), partition=0)
    worker = world.start("stream", "w1")
    settle(world, worker, 1000)
    worker.terminate()
    world.produce(Source.ORDERS, order_lines(1000, start_ms=1_700_001_000_000, site="B"), partition=0)
    client = admin(world)
    topic = world.source_topic(Source.ORDERS)
    for future in client.delete_records([TopicPartition(topic, 0, 1500)]).values():
        future.result()
    heir = world.start("stream", "w1")
    drain(world)
    frontier = world.frontiers()[f"{topic}/0"]
    counts = frontier.counts
    assert [(gap.first_offset, gap.end_offset) for gap in frontier.gaps][-1][1] == 1500
    assert counts.delivered == counts.batched + counts.corrected + counts.dead
    assert counts.delivered + counts.gap == 2000
    assert "records are lost" in heir.text


def test_a_recreated_source_topic_refuses_with_exit_3(world: PipelineWorld) -> None:
    """The topic of the same name with another id is not the one that was read."""
    world.produce(Source.ORDERS, order_lines(100), partition=0)
    worker = world.start("stream", "w1")
    settle(world, worker, 100)
    worker.terminate()
    client, topic = admin(world), world.source_topic(Source.ORDERS)
    for future in client.delete_topics([topic]).values():
        future.result()
    time.sleep(1)
    for future in client.create_topics([NewTopic(topic, 2, 1)]).values():
        future.result()
    world.apply_topics()
    heir = world.start("stream", "w1")
    assert until(lambda: not heir.running, 30), heir.text
    assert heir.process.returncode == 3
    assert "recreated" in heir.text


def test_settings_that_cut_windows_take_effect_only_after_a_drain(world: PipelineWorld) -> None:
    """Another window size with windows open is refused with exit 3; after `drain --stop` it is taken.

    Also where other partitions have nothing open: if one of them went on under the new settings, its windows would be
    refused by the old ones, and no settings would start.
    """
    world.produce(Source.ORDERS, order_lines(500), partition=0)
    worker = world.start("stream", "w1")
    settle(world, worker, 500)
    worker.terminate()
    world.produce(Source.ORDERS, order_lines(500, site="B"), partition=1)
    refused = world.start("stream", "w1", VELOCITY_WINDOW__SPEC="PT2H")
    assert until(lambda: not refused.running, 30), refused.text
    assert refused.process.returncode == 3
    assert "velocity drain --stop" in refused.text
    assert "partitions assigned" not in refused.text
    world.start("stream", "w1")
    drain(world)
    world.extra["VELOCITY_WINDOW__SPEC"] = "PT2H"
    world.produce(Source.ORDERS, order_lines(500, start_ms=1_700_020_000_000), partition=0)
    accepted = world.start("stream", "w1")
    settle(world, accepted, 1500)
    drain(world)
    assert world.assert_each_offset_once() == 1500


def test_expired_commits_are_recovered_from_the_frontier_topic(world: PipelineWorld) -> None:
    """Without the group's offsets the newest frontier record decides, and nothing is read into a batch twice."""
    world.extra |= SHORT_SESSION
    world.produce(Source.ORDERS, order_lines(3000))
    worker = world.start("stream", "w1")
    settle(world, worker, 3000)
    worker.terminate()
    client, group = admin(world), f"{world.name}-stream"

    def deleted() -> bool:
        try:
            return client.delete_consumer_groups([group])[group].result() is None
        except Exception:
            return False

    assert until(deleted, 30)
    world.start("stream", "w1")
    drain(world)
    assert world.assert_each_offset_once() == 3000


def test_offsets_committed_by_hand_are_refused(world: PipelineWorld) -> None:
    """A commit that no checkpoint made contradicts the frontier record: exit 3, and what to do."""
    world.extra |= SHORT_SESSION
    world.produce(Source.ORDERS, order_lines(100), partition=0)
    worker = world.start("stream", "w1")
    settle(world, worker, 100)
    worker.terminate()
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": world.bootstrap, "group.id": f"{world.name}-stream"})
    topic = world.source_topic(Source.ORDERS)
    until(lambda: _committed(consumer, topic), 20)
    consumer.close()
    heir = world.start("stream", "w1")
    assert until(lambda: not heir.running, 30), heir.text
    assert heir.process.returncode == 3
    assert "committed by something else" in heir.text


def _committed(consumer: object, topic: str) -> bool:
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 50)], asynchronous=False)  # type: ignore[attr-defined]
    except Exception:
        return False
    return True


def test_a_store_that_cannot_be_written_pauses_and_heals(world: PipelineWorld, tmp_path: Path) -> None:
    """Readiness says why, nothing crashes, and all is there once the store is back."""
    world.produce(Source.ORDERS, order_lines(3000))
    store = tmp_path / "store"
    store.write_text("a file where the directory should be")
    worker = world.start("stream", "w1")
    assert until(lambda: "http_port" in worker.text and "store" in readiness(worker), 20), worker.text
    time.sleep(2)
    assert worker.running
    store.unlink()
    settle(world, worker, 3000)
    drain(world)
    assert world.assert_each_offset_once() == 3000


def test_a_volume_that_is_not_mounted_is_waited_for(world: PipelineWorld, tmp_path: Path) -> None:
    """What stands in its place has no claim and none of the batches: a worker would hide new ones there."""
    store, volume = tmp_path / "store", tmp_path / "volume"
    world.produce(Source.ORDERS, order_lines(3000))
    world.start("stream", "w1")
    drain(world)
    store.rename(volume)
    store.mkdir()
    world.produce(Source.ORDERS, order_lines(100, start_ms=1_700_001_000_000))
    worker = world.start("stream", "w1")
    assert until(lambda: "lacks the newest batches" in worker.text, 40), worker.text
    assert "is its volume mounted?" in readiness(worker)
    time.sleep(3)
    assert (list(store.iterdir()), taken(world)) == ([], 3000)
    store.rmdir()
    volume.rename(store)
    settle(world, worker, 3100)
    drain(world)
    assert world.assert_each_offset_once() == 3100


def test_a_full_store_pauses_and_heals(world: PipelineWorld, tmp_path: Path) -> None:
    """A disk of 256 KiB: fetching pauses with the reason, and goes on when there is room."""
    store = tmp_path / "store"
    store.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(store)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk (root); the read-only case above runs everywhere")
    try:
        world.produce(Source.ORDERS, order_lines(30_000))
        worker = world.start("stream", "w1", VELOCITY_STREAM__MIN_FREE_BYTES="0", VELOCITY_STREAM__CODEC="null")
        assert until(lambda: "cannot" in worker.text and "Free space" in worker.text, 30), worker.text
        assert worker.running
        subprocess.run(["mount", "-o", "remount,size=64m", str(store)], check=True)
        settle(world, worker, 30_000)
        drain(world)
        assert world.assert_each_offset_once() == 30_000
    finally:
        world.close()
        subprocess.run(["umount", "-l", str(store)], check=True)
        shutil.rmtree(store, ignore_errors=True)


def test_a_dead_letter_topic_that_refuses_pauses_and_heals(world: PipelineWorld) -> None:
    """A dead letter larger than its topic takes: the checkpoint is refused and tried again, nothing is lost."""
    topic = world.topic("velocity.dead-letters.v1")
    worker = world.start("stream", "w1")
    assert until(lambda: len(world.frontiers()) == 6, 30), worker.text
    alter(world, topic, "max.message.bytes", "300")
    world.produce(Source.ORDERS, [b"garbage " * 400])
    assert until(lambda: "refused a checkpoint" in readiness(worker), 30), worker.text
    assert worker.running
    alter(world, topic, "max.message.bytes", "1200000")
    world.produce(Source.ORDERS, order_lines(100))
    settle(world, worker, 101)
    drain(world)
    assert world.assert_each_offset_once() == 101


def test_batch_workers_that_are_behind_pause_fetching_until_they_are_not(world: PipelineWorld) -> None:
    """What is announced already is finished; what comes meanwhile is taken afterwards."""
    for site in "ABCDEFGH":
        world.produce(Source.ORDERS, order_lines(300, site=site))
    worker = world.start("stream", "w1", VELOCITY_STREAM__MAX_BATCH_BACKLOG="10")
    world.drain("--no-batch-wait")
    assert until(lambda: "manifests wait for the batch workers" in readiness(worker), 20), worker.text
    before = taken(world)
    world.produce(Source.ORDERS, order_lines(100, start_ms=1_700_001_000_000))
    time.sleep(3)
    assert taken(world) == before
    assert worker.text.count("manifests wait for the batch workers") == 1
    topic = world.topic("velocity.batches.v1")
    batches = Consumer({"bootstrap.servers": world.bootstrap, "group.id": f"{world.name}-batch"})
    partitions = [TopicPartition(topic, number) for number in batches.list_topics(topic, 10).topics[topic].partitions]
    ends = [TopicPartition(topic, tp.partition, batches.get_watermark_offsets(tp, 10)[1]) for tp in partitions]
    batches.commit(offsets=ends, asynchronous=False)
    batches.close()
    settle(world, worker, before + 100)


def test_a_group_that_does_not_take_a_worker_in_is_asked_again(world: PipelineWorld) -> None:
    """A member with another protocol, as one of an older version is, and for a session after its end: readiness has the
    broker's words, and nothing has to be restarted."""
    group = {"group.id": f"{world.name}-stream", "group.instance.id": "old", "session.timeout.ms": 6000}
    old = Consumer({"bootstrap.servers": world.bootstrap, "partition.assignment.strategy": "range", **group})
    old.subscribe([world.source_topic(Source.ORDERS)])
    assert until(lambda: old.poll(0.1) is not None or bool(old.assignment()), 30)
    worker = world.start("stream", "w1")
    assert until(lambda: old.poll(0.01) or "InconsistentGroupProtocol" in worker.text, 30), worker.text
    assert "does not take this worker in" in readiness(worker)
    old.close()
    world.produce(Source.ORDERS, order_lines(100))
    settle(world, worker, 100)
    assert until(lambda: "does not take this worker in" not in readiness(worker), 20)


def test_a_missing_topic_refuses_with_exit_3(world: PipelineWorld) -> None:
    """Faust would silently never consume it."""
    client = admin(world)
    for future in client.delete_topics([world.source_topic(Source.RETURNS)]).values():
        future.result()
    time.sleep(1)
    worker = world.start("stream", "w1")
    assert until(lambda: not worker.running, 30)
    assert worker.process.returncode == 3
    assert "velocity topics apply" in worker.text


def test_kafka_away_at_start_and_restarted_later(tmp_path: Path) -> None:
    """The worker says that Kafka is away, starts when it comes, and survives its restart without a loss."""
    with EmbeddedKafka(tmp_path / "kafka", jvm=FAST_START_JVM) as kafka:
        world = PipelineWorld(kafka.bootstrap_servers, "away", tmp_path)
        try:
            world.run("topics", "apply")
            world.produce(Source.ORDERS, order_lines(2000))
            kafka.stop()
            worker = world.start("stream", "w1")
            assert until(lambda: "kafka away" in worker.text, 40), worker.text
            kafka.start()
            settle(world, worker, 2000)
            kafka.restart()
            world.produce(Source.ORDERS, order_lines(2000, site="B", start_ms=1_700_004_000_000))
            settle(world, worker, 4000)
            assert worker.running
            drain(world)
            assert world.assert_each_offset_once() == 4000
        finally:
            world.close()


# -- idleness ----------------------------------------------------------------------------------------------------------

IDLE = {
    "VELOCITY_WINDOW__SPEC": "PT5S",
    "VELOCITY_WINDOW__MAX_OUT_OF_ORDERNESS": "PT1S",
    "VELOCITY_WINDOW__IDLE_TIMEOUT": "PT2S",
    "VELOCITY_WINDOW__IDLE_POLICY": "advance",
}


def now_ms() -> int:
    """The wall clock."""
    return int(datetime.now(UTC).timestamp() * 1000)


def test_quiet_partitions_do_not_hold_windows_open(world: PipelineWorld) -> None:
    """One partition never gets an event, one falls silent, one gets only malformed records: all windows close."""
    world.extra |= IDLE
    worker = world.start("stream", "w1")
    assert until(lambda: len(world.frontiers()) == 6, 30), worker.text
    begun = now_ms()
    world.produce(Source.ORDERS, order_lines(50, start_ms=begun - 5_000, step_ms=100), partition=0)
    world.produce(Source.RETURNS, [b"bad"] * 20, partition=0)

    def all_closed() -> bool:
        world.produce(Source.RETURNS, [b"bad"], partition=0)  # keeps coming, and keeps nothing awake
        frontiers = world.frontiers().values()
        return all((f.frontier or 0) > begun and not f.open_windows for f in frontiers)

    assert until(all_closed, 40, 0.5), world.frontiers()
    late = order_lines(10, site="LATE", start_ms=begun - 4_000, step_ms=10)
    world.produce(Source.ORDERS, late, partition=0)
    drain(world)
    world.assert_each_offset_once()
    assert sum(m.record_count for m in world.manifests() if m.site_id == "LATE") == 10


def test_a_consumer_that_is_merely_slow_is_not_idle(world: PipelineWorld) -> None:
    """Paused for longer than the idle timeout with events waiting, its windows stay open: no corrections."""
    world.extra |= IDLE
    worker = world.start("stream", "w1")
    begun = now_ms()
    world.produce(Source.ORDERS, order_lines(100, start_ms=begun - 8_000, step_ms=10), partition=0)
    assert until(lambda: taken(world) >= 100, 30), worker.text
    worker.pause()
    world.produce(Source.ORDERS, order_lines(4000, site="B", start_ms=begun - 7_000, step_ms=2), partition=0)
    time.sleep(4)
    worker.resume()
    drain(world)
    assert world.assert_each_offset_once() == 4100
    assert sum(m.record_count for m in world.manifests() if m.kind == "correction") == 0


def test_a_record_from_the_future_moves_nothing(world: PipelineWorld) -> None:
    """It is a dead letter, and the frontier stays where the other events put it."""
    world.produce(Source.ORDERS, order_lines(10), partition=0)
    world.produce(Source.ORDERS, order_lines(1, start_ms=now_ms() + 86_400_000), partition=0)
    worker = world.start("stream", "w1")
    settle(world, worker, 11)
    frontier = world.frontiers()[f"{world.source_topic(Source.ORDERS)}/0"]
    assert frontier.max_event_time == 1_700_000_009_000
    (letter,) = world.dead_letters()
    assert (letter.error_class, letter.path) == ("future_event_time", "$.event_time")
