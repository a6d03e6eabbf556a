"""The index of dead letters on a real broker: brought up to date whatever happens, and what commands say of it."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import aclosing
from subprocess import PIPE
from typing import Any

import command_line
import psutil
import pytest
from aiokafka.errors import KafkaConnectionError
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from desk_world import letter
from pipeline_world import RUN, PipelineWorld, until

from console.desk import letter_reading
from console.desk.following import follow
from console.desk.index import DeskIndex
from console.desk.indexed import IndexedLetter
from console.desk.letter_process import Order, framed
from console.desk.letter_rows import Stretch
from console.errors import CommandFailed
from runtime.crash_points import CRASH_AT
from runtime.settings import Settings
from runtime.topic_reader import end_offsets
from sandbox.malformed import write_schema_dir
from schemas.codecs import encode
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.records import AuditEntry
from schemas.sources import Source
from schemas.topics import DAY_MS


def test_the_index_keeps_up_whatever_happens(world: PipelineWorld) -> None:
    """Killed between portions, two at once, a broken file, retention, a recreated topic: each letter counts once."""
    topic = world.topic("velocity.dead-letters.v1")
    post(world, [of_world(world, n) for n in range(6_000)])
    world.extra["VELOCITY_CRASH_AT"] = "index.before_commit:2"
    assert world.run_apart("dlq", "stats").returncode == -signal.SIGKILL
    del world.extra["VELOCITY_CRASH_AT"]
    both = [start(world, "dlq", "stats", "--json") for _ in range(2)]
    assert [json.loads(one.communicate(timeout=60)[0])["total"] for one in both] == [6_000, 6_000]
    post(world, [of_world(world, n) for n in range(6_000, 6_100)])
    assert stats(world)["total"] == 6_100

    (world.directory / "state" / "desk" / "letters.sqlite").write_bytes(b"no database" * 500)
    assert stats(world)["total"] == 6_100

    admin = AdminClient({"bootstrap.servers": world.bootstrap})
    gone = admin.delete_records([TopicPartition(topic, 0, 10), TopicPartition(topic, 1, 5)])
    assert [answer.result().low_watermark for answer in gone.values()] == [10, 5]
    after = stats(world)
    assert (after["total"], after["expired"], after["expired_waiting"]) == (6_085, 15, 15)

    admin.delete_topics([topic])[topic].result()
    until(lambda: topic not in admin.list_topics(timeout=10).topics)
    world.apply_topics()
    post(world, [of_world(world, n) for n in range(7)])
    again = stats(world)
    assert (again["total"], again["expired"], again["chains"]) == (7, 0, 7)


def test_processes_that_read_beside_make_the_same_index(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each core, where there is much to read; one that is killed ends the command, and nothing is lost."""
    post(world, [of_world(world, n) for n in range(9_000)])
    here = _indexed(world)
    monkeypatch.setattr(letter_reading, "MANY", 1)
    shutil.rmtree(world.directory / "state" / "desk")
    before = _children()
    monkeypatch.setenv(CRASH_AT, "letters.before_send:2")
    with pytest.raises(CommandFailed, match="ended from outside, by signal 9"):
        asyncio.run(follow(world.settings()))
    assert _children() == before
    monkeypatch.delenv(CRASH_AT)
    assert _indexed(world) == here


def test_a_process_that_reads_says_why_it_cannot(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the client raises there is raised here; a process that fails altogether is not said to be ended."""
    monkeypatch.setattr(letter_reading, "MANY", 1)
    before = _children()
    kafka = world.settings().kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    away = world.settings().model_copy(update={"kafka": kafka})
    with pytest.raises(KafkaConnectionError, match=r"127\.0\.0\.1") as raised:
        asyncio.run(_first_stretch(away))
    assert "pickle" in str(raised.traceback[-1]), "it was not raised by another process"
    monkeypatch.setattr(letter_reading, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(CommandFailed, match="failed with exit code 3"):
        asyncio.run(_first_stretch(away))
    assert _children() == before


def test_who_stops_reading_is_not_held_up(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where more was sent than is taken: the process is ended and its pipe emptied."""
    before = _children()
    flood = "import sys\nwhile True: sys.stdout.buffer.write(bytes(1 << 20))"
    monkeypatch.setattr(letter_reading, "COMMAND", (sys.executable, "-c", flood))

    async def stop_when_full() -> None:
        reader = await letter_reading._Reader.start(order_of(world, {0: 1}))
        pipe: Any = reader._process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        pause, full = pipe.pause_reading, asyncio.Event()
        pipe.pause_reading = lambda: (pause(), full.set())
        await asyncio.wait_for(full.wait(), 60)
        reader.kill()
        await asyncio.wait_for(reader.ended(), 20)

    asyncio.run(stop_when_full())
    assert _children() == before


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_a_process_that_reads_ends_when_nobody_is_there(world: PipelineWorld, closed: str) -> None:
    """As after a SIGKILL of the command that started it: it cannot send, or has nothing to send and waits for more."""
    post(world, [of_world(world, n) for n in range(9_000)])
    ends = {0: 1 << 30} if closed == "stdin" else asyncio.run(end_offsets(world.settings().kafka, _letters(world)))
    order = order_of(world, ends)
    with subprocess.Popen(letter_reading.COMMAND, stdin=PIPE, stdout=PIPE, stderr=PIPE) as reader:
        assert reader.stdin is not None and reader.stdout is not None and reader.stderr is not None
        reader.stdin.write(framed(order))
        reader.stdin.flush()
        assert len(reader.stdout.read(1_000)) == 1_000
        getattr(reader, closed).close()
        assert reader.wait(timeout=30) == 1
        assert reader.stderr.read() == b""


def order_of(world: PipelineWorld, ends: dict[int, int]) -> Order:
    """All letters up to these offsets."""
    return Order(
        access=world.settings().kafka.access,
        topic=_letters(world),
        producer_header="producer",
        starts={},
        ends=ends,
        lean=True,
    )


def _letters(world: PipelineWorld) -> str:
    return world.topic("velocity.dead-letters.v1")


async def _first_stretch(settings: Settings) -> Stretch:
    async with aclosing(letter_reading.read_letters(settings, {0: 0}, {0: 1})) as read:
        return await anext(read)


def _children() -> set[psutil.Process]:
    """The broker is one, too."""
    return set(psutil.Process().children())


def _indexed(world: PipelineWorld) -> list[IndexedLetter]:
    with DeskIndex.open(asyncio.run(follow(world.settings()))) as index:
        return index.letters(limit=10_000)


def test_commands_say_what_is_alike_what_was_done_and_what_expires(world: PipelineWorld) -> None:
    """Groups, states, the story of one letter with its value decoded, and a warning before retention takes it."""
    schemas = world.directory / "schemas"
    write_schema_dir(schemas)
    world.extra["VELOCITY_INTAKE__SCHEMA_DIR"] = str(schemas)
    avro = bytes.fromhex("0000000002") + b"\x08P-12"
    letters = [of_world(world, n) for n in range(4)]
    letters += [
        of_world(world, 10, value=avro, path="$", error_class=ErrorClass.INCOMPATIBLE_SCHEMA),
        of_world(world, 11, value=b"x" * 5_000 + b"CRATE", path="$", error_class=ErrorClass.NOT_JSON),
        of_world(world, 12, attempts=2, root=of_world(world, 0).id),
    ]
    post(world, letters)
    _act(world, "replay", letters[0], sent_to=letters[-1].id, recipe="us-dates", recipe_sha256="ab")
    _act(world, "park", letters[1])
    _assert_grouped(world, letters)
    _assert_told(world, letters)
    _assert_warned(world)


def _assert_grouped(world: PipelineWorld, letters: Sequence[DeadLetter]) -> None:
    first, *others = ask(world, "dlq", "groups")
    assert (first["pattern"], first["producer"], first["source"]) == ('"9/9/9 9:9"', "scanner-7", "orders")
    assert (first["letters"], first["waiting"], first["replayed"], first["parked"]) == (5, 3, 1, 1)
    assert (sum(first["trend"]), len(others)) == (5, 2)
    assert [one["id"] for one in ask(world, "dlq", "groups", "--state", "parked")] == [first["id"]]
    said = command_line.velocity(world, "dlq", "groups", "--class", "bad_format").stdout
    for text in (first["id"], '"9/9/9 9:9"', "scanner-7", "orders", "█", "89 d"):
        assert text in said

    def listed(*options: str) -> list[int]:
        return [row["offset"] for row in ask(world, "dlq", "list", *options)]

    assert listed("--group", first["id"]) == [12, 3, 2, 1, 0]
    assert listed("--group", first["id"], "--waiting") == [12, 3, 2]
    assert listed("--state", "parked", "--state", "replayed") == [1, 0]
    assert listed("--text", "CRATE") == [11]  # which the index does not hold
    counts = stats(world, "--text", "CRATE")
    assert (counts["total"], counts["by_class"]) == (1, {"not_json": 1})
    command_line.velocity(world, "dlq", "list", "--state", "lost", code=2)


def _assert_told(world: PipelineWorld, letters: Sequence[DeadLetter]) -> None:
    shown = ask(world, "dlq", "show", letters[0].id)
    assert [one["id"] for one in shown["chain"]] == [letters[0].id, letters[-1].id]
    (act,) = shown["acts"]
    assert (act["action"], act["recipe"], act["failed_again_as"]) == ("replay", "us-dates", letters[-1].id)
    said = command_line.velocity(world, "dlq", "show", letters[-1].id).stdout
    for text in ("replayed by ann@desk with recipe us-dates", ": because", f"attempt 2 failed as {letters[-1].id}"):
        assert text in said
    for text in ("it waits for somebody to act", '"sku": "A12"', "00000000  7b 22 73"):
        assert text in said
    said = command_line.velocity(world, "dlq", "show", letters[4].id).stdout
    for text in ("Avro of schema 2", '"pallet_id": "P-12"', "00000000  00 00 00 00 02 08 50 2d"):
        assert text in said


def _assert_warned(world: PipelineWorld) -> None:
    assert stats(world)["expiring"] == 0
    shorter = ConfigEntry("retention.ms", str(13 * DAY_MS), incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, world.topic("velocity.dead-letters.v1"), incremental_configs=[shorter])
    admin = AdminClient({"bootstrap.servers": world.bootstrap})  # must outlive its futures
    admin.incremental_alter_configs([topic])[topic].result()
    assert until(lambda: stats(world)["expiring"]) == 5
    ended = command_line.velocity(world, "dlq", "stats")
    assert "5 waiting dead letters pass the topic's retention within 14 days" in ended.stderr
    assert "12 d" in command_line.velocity(world, "dlq", "groups").stdout


def of_world(world: PipelineWorld, offset: int, **changes: Any) -> DeadLetter:
    """A letter that says it is from the world's orders."""
    topic = world.source_topic(Source.ORDERS)
    return letter(offset, **{"topic": topic, "root": f"{topic}/2/{offset}", **changes})


def post(world: PipelineWorld, letters: Sequence[DeadLetter]) -> None:
    """Put letters into the dead-letter topic."""
    producer = Producer({"bootstrap.servers": world.bootstrap, "partitioner": "murmur2_random"})
    for one in letters:
        producer.produce(world.topic("velocity.dead-letters.v1"), one.value, one.id.encode(), headers=one.to_headers())
    assert producer.flush(30) == 0


def _act(world: PipelineWorld, action: str, one: DeadLetter, **what: str) -> None:
    what = {"dead_letter": one.id, "root": one.root, **what}
    entry = AuditEntry(at=1_700_000_000_000, who="ann@desk", action=action, why="because", what=what)  # type: ignore[arg-type]
    producer = Producer({"bootstrap.servers": world.bootstrap})
    producer.produce(world.topic("velocity.audit-log.v1"), encode(entry))
    assert producer.flush(30) == 0


def start(world: PipelineWorld, *command: str) -> "subprocess.Popen[str]":
    """A command as a process of its own."""
    return subprocess.Popen([*RUN, *command], env=world.environment, stdout=subprocess.PIPE, text=True)


def ask(world: PipelineWorld, *command: str) -> Any:
    """What a command prints with `--json`."""
    return json.loads(command_line.velocity(world, *command, "--json").stdout)


def stats(world: PipelineWorld, *options: str) -> dict[str, Any]:
    """What `dlq stats` says."""
    return ask(world, "dlq", "stats", *options)
