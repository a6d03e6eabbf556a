"""`velocity dlq`: dead letters are found, counted, shown, and sent back as they are, each once, also across a crash."""

import dataclasses
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import command_line
import pytest
from confluent_kafka import Producer
from pipeline_world import RUN, PipelineWorld, until

from sandbox.kafka import EmbeddedKafka
from schemas.codecs import decode
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.records import AuditEntry
from schemas.sources import Source

NOON = 1_298_980_800_000  # 2011-03-01T12:00:00Z


@pytest.fixture
def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Iterator[PipelineWorld]:
    """As everywhere, but the topics are applied by the command line."""
    world = PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)
    velocity(world, "topics", "apply")
    yield world
    world.close()


def letter(
    world: PipelineWorld,
    offset: int,
    error_class: ErrorClass = ErrorClass.UNKNOWN_UNIT,
    *,
    source: Source = Source.ORDERS,
    value: bytes | None = None,
    key: bytes | None = b"sku",
    attempts: int = 1,
    root: str | None = None,
) -> DeadLetter:
    """A dead letter as the stream worker would write it."""
    topic = world.source_topic(source)
    return DeadLetter(
        value=b'{"sku": "A%d", "uom": "CRATE"}' % offset if value is None else value,
        headers=(("traceparent", b"00-ab-cd-01"), ("twice", b"1"), ("twice", b"\xff")),
        topic=topic,
        partition=offset % 2,
        offset=offset,
        timestamp=NOON + offset * 1000,
        key=key,
        error_class=error_class,
        stage="validate",
        path="$.uom",
        message="CRATE is none of the unit codes",
        attempts=attempts,
        root=root or f"{topic}/{offset % 2}/{offset}",
        first_failed_at=NOON,
        pipeline_version="0.1.0",
    )


def post(world: PipelineWorld, *letters: DeadLetter) -> None:
    """Put letters into the dead-letter topic."""
    producer = Producer({"bootstrap.servers": world.bootstrap, "partitioner": "murmur2_random"})
    for one in letters:
        topic = world.topic("velocity.dead-letters.v1")
        producer.produce(topic, one.value, one.id.encode(), headers=one.to_headers())
    assert producer.flush(30) == 0


def velocity(world: PipelineWorld, *arguments: str, code: int = 0) -> str:
    """What a command prints that must end with this exit code."""
    return command_line.velocity(world, *arguments, code=code).stdout


def velocity_json(world: PipelineWorld, *arguments: str) -> Any:
    """What a command prints with `--json`."""
    return json.loads(velocity(world, *arguments, "--json"))


def replays(world: PipelineWorld) -> Counter[str]:
    """How often the audit log says that a letter was replayed."""
    entries = [decode(m.value(), AuditEntry) for m in world.read(world.topic("velocity.audit-log.v1"))]
    return Counter(entry.what["dead_letter"] for entry in entries if entry.action == "replay")


def test_a_replay_sends_records_back_as_they_were(world: PipelineWorld) -> None:
    """Value, key and headers are the original ones; behind them stands what continues the chain."""
    root = f"{world.source_topic(Source.ORDERS)}/0/2"
    post(world, letter(world, 4, attempts=3, root=root), letter(world, 5, value=b"\xff\x00", key=None))
    done = velocity_json(world, "dlq", "replay", "--class", "unknown_unit", "--why", "CRATE added")
    assert (done["sent"], done["skipped"]) == (2, 0)
    back = {message.partition(): message for message in world.read(world.source_topic(Source.ORDERS))}
    assert (back[0].key(), back[0].value()) == (b"sku", b'{"sku": "A4", "uom": "CRATE"}')
    assert back[0].headers() == [
        ("traceparent", b"00-ab-cd-01"),
        ("twice", b"1"),
        ("twice", b"\xff"),
        ("dlq.attempts", b"3"),
        ("dlq.root", root.encode()),
        ("dlq.first-failed-at", str(NOON).encode()),
    ]
    assert (back[1].key(), back[1].value()) == (None, b"\xff\x00")
    entries = [decode(m.value(), AuditEntry) for m in world.read(world.topic("velocity.audit-log.v1"))]
    (entry,) = [entry for entry in entries if entry.what["root"] == root]
    assert (entry.action, entry.why, entry.what["attempts"]) == ("replay", "CRATE added", "3")
    assert "@" in entry.who


def test_a_letter_is_replayed_once(world: PipelineWorld) -> None:
    """What was replayed is skipped, by class and by id alike; what was asked for and is not there is an error."""
    post(world, letter(world, 1), letter(world, 2), letter(world, 3, ErrorClass.BAD_FORMAT))
    letter_id = letter(world, 1).id
    assert velocity_json(world, "dlq", "replay", "--id", letter_id)["sent"] == 1
    again = velocity_json(world, "dlq", "replay", "--class", "unknown_unit")
    assert (again["sent"], again["skipped"]) == (1, 1)
    assert velocity_json(world, "dlq", "replay", "--id", letter_id)["skipped"] == 1
    assert replays(world) == {letter(world, 1).id: 1, letter(world, 2).id: 1}
    stranger = dataclasses.replace(letter(world, 9), topic=world.topic("velocity.control.v1"))
    post(world, stranger)
    assert velocity_json(world, "dlq", "replay", "--class", "unknown_unit")["elsewhere"] == 1
    assert not world.read(stranger.topic), "a letter's header must not lead anywhere but to a source"
    velocity(world, "dlq", "replay", "--id", "no.such.topic/0/7", code=1)
    velocity(world, "dlq", "replay", code=2)


def test_a_letter_that_stands_twice_in_the_topic_is_sent_once(world: PipelineWorld) -> None:
    """Also within one replay, whose own entries in the audit log are not there yet when it looks."""
    twice = letter(world, 1)
    post(world, twice, letter(world, 2), twice)
    assert velocity_json(world, "dlq", "replay", "--class", "unknown_unit")["sent"] == 2
    assert replays(world) == {twice.id: 1, letter(world, 2).id: 1}


def test_a_dry_run_sends_nothing(world: PipelineWorld) -> None:
    """It counts what would be sent, and leaves no trace."""
    post(world, letter(world, 1), letter(world, 2, ErrorClass.BAD_FORMAT, source=Source.RETURNS))
    would = velocity_json(world, "dlq", "replay", "--class", "bad_format", "--class", "unknown_unit", "--dry-run")
    assert (would["sent"], would["by_class"]) == (2, {"unknown_unit": 1, "bad_format": 1})
    assert not world.read(world.source_topic(Source.ORDERS))
    assert not replays(world)


@pytest.mark.parametrize("moment", ["audit_log.before_commit", "audit_log.after_commit"])
def test_a_killed_replay_is_finished_by_the_next_one(world: PipelineWorld, moment: str) -> None:
    """SIGKILL in the second of three transactions: run again, every letter is in the source exactly once."""
    count = 1200
    post(world, *(letter(world, offset) for offset in range(count)))
    killed = {"VELOCITY_CRASH_AT": f"{moment}:2", "VELOCITY_KAFKA__TRANSACTION_TIMEOUT": "PT5S"}
    world.extra |= killed
    assert world.run_apart("dlq", "replay", "--class", "unknown_unit").returncode == -signal.SIGKILL
    world.extra = {name: value for name, value in world.extra.items() if name not in killed}
    committed = 500 if moment == "audit_log.before_commit" else 1000
    done = velocity_json(world, "dlq", "replay", "--class", "unknown_unit")
    assert (done["sent"], done["skipped"]) == (count - committed, committed)
    values = Counter(message.value() for message in world.read(world.source_topic(Source.ORDERS)))
    assert len(values) == count
    assert set(values.values()) == {1}
    assert set(replays(world).values()) == {1}


def test_a_second_replay_fences_the_first(world: PipelineWorld) -> None:
    """Two at a time: no letter is sent twice, whoever wins."""
    post(world, *(letter(world, offset) for offset in range(1500)))
    command = [*RUN, "dlq", "replay", "--class", "unknown_unit"]
    both = [
        subprocess.Popen(command, env=world.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        said = "".join(process.communicate(timeout=60))
        assert process.returncode in (0, 1), said
        assert "Traceback" not in said
    velocity(world, "dlq", "replay", "--class", "unknown_unit")
    values = Counter(message.value() for message in world.read(world.source_topic(Source.ORDERS)))
    assert (len(values), set(values.values())) == (1500, {1})


def test_a_replayed_letter_that_fails_again_continues_its_chain_and_one_that_passes_is_counted(
    world: PipelineWorld,
) -> None:
    """Through the real worker: attempts 2 under the same root; once the unit is known the record is delivered."""
    line = {"event_id": "e1", "site_id": "A", "sku": "S1", "event_time": "2011-03-01T10:00:00Z", "quantity": 1}
    line |= {"uom": "CRATE", "order_id": "o1", "line": 1}
    world.produce(Source.ORDERS, [json.dumps(line).encode()], partition=0)
    worker = world.start("stream", "w1")
    (first,) = until(lambda: letters(world, 1))
    velocity(world, "dlq", "replay", "--class", "unknown_unit")
    again = next(one for one in until(lambda: letters(world, 2)) if one.attempts == 2)
    assert (again.root, again.value, again.headers) == (first.id, first.value, first.headers)
    velocity(world, "drain", "--stop", "--no-batch-wait")
    assert worker.process.wait(15) == 0
    world.extra["VELOCITY_UNIT_CODES"] = '["EA", "CRATE"]'
    world.start("stream", "w1")
    assert velocity_json(world, "dlq", "replay", "--id", again.id)["sent"] == 1
    velocity(world, "drain", "--no-batch-wait")
    audit = velocity_json(world, "audit", "--deep")
    assert (audit["delivered"], audit["dead_lettered"], audit["in_batches"]) == (3, 2, 1)
    stats = velocity_json(world, "dlq", "stats")
    assert (stats["total"], stats["chains"], stats["waiting"]) == (2, 1, 0)


def letters(world: PipelineWorld, count: int) -> list[DeadLetter]:
    """The dead letters, once there are so many."""
    found = world.dead_letters()
    return found if len(found) >= count else []


def test_letters_are_counted_listed_and_shown(world: PipelineWorld) -> None:
    """By class and source; filters by text, site, SKU and time; a value byte for byte."""
    post(
        world,
        letter(world, 1),
        letter(world, 2, ErrorClass.NOT_JSON, value=b'{"site_id": "B", "sku": "X" \xff'),
        letter(world, 3, ErrorClass.NOT_JSON, source=Source.RETURNS, value=b""),
    )
    velocity(world, "dlq", "replay", "--id", letter(world, 1).id)
    stats = velocity_json(world, "dlq", "stats")
    assert stats["total"] == 3
    assert stats["by_class"] == {"not_json": 2, "unknown_unit": 1}
    assert stats["by_source"] == {"orders": 2, "returns": 1}
    assert (stats["replayed"], stats["waiting"]) == (1, 2)
    assert velocity_json(world, "dlq", "stats", "--source", "returns")["total"] == 1

    def listed(*options: str) -> list[int]:
        return [row["offset"] for row in velocity_json(world, "dlq", "list", *options)]

    assert listed() == [3, 2, 1]  # the newest first
    assert listed("--limit", "2") == [3, 2]
    assert listed("--waiting") == [3, 2]
    assert listed("--site", "B") == [2]
    assert listed("--sku", "A1") == [1]
    assert listed("--id", letter(world, 3, source=Source.RETURNS).id) == [3]
    assert velocity_json(world, "dlq", "stats", "--sku", "A1", "--class", "unknown_unit")["total"] == 1
    assert listed("--text", "CRATE", "--class", "not_json") == [3, 2]  # the message says so
    assert listed("--since", "2011-03-01T12:00:02Z", "--until", "2011-03-01T12:00:03Z") == [2]
    _assert_shown(world, letter(world, 2, ErrorClass.NOT_JSON, value=b'{"site_id": "B", "sku": "X" \xff'))


def _assert_shown(world: PipelineWorld, one: DeadLetter) -> None:
    said = velocity(world, "dlq", "show", one.id)
    for text in (one.id, "not_json at $.uom", one.message, "00000000  7b 22 73 69"):
        assert text in said
    details: dict[str, Any] = velocity_json(world, "dlq", "show", one.id)
    assert (details["attempts"], details["key"]) == (1, "sku")
    velocity(world, "dlq", "show", "no.such/0/1", code=1)
