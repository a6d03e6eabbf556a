"""A replay can be stopped, paused, overtaken and killed: every letter ends exactly once, and the log says how.

No stream worker runs here: what is sent stays where it was sent to.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import command_line
import pytest
from confluent_kafka import Producer
from pipeline_world import PipelineWorld

from console.audit_trail import examine_trail
from console.desk.letter_filter import LetterFilter
from console.desk.replay_job import ReplayJob
from console.desk.replay_order import ReplayOrder, State
from console.desk.set_aside import set_aside
from console.desk.wanted import WantedLetters
from console.errors import CommandFailed
from sandbox.kafka import EmbeddedKafka
from schemas.codecs import decode
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.records import AuditEntry
from schemas.sources import Source

NOON = 1_298_980_800_000  # 2011-03-01T12:00:00Z
UNIT = LetterFilter(classes=frozenset({ErrorClass.UNKNOWN_UNIT}))


@pytest.fixture
def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Iterator[PipelineWorld]:
    """Topics, small transactions, and nobody who reads them."""
    world = PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)
    world.extra["VELOCITY_DESK__PER_TRANSACTION"] = "20"
    world.apply_topics()
    yield world
    world.close()


def post(world: PipelineWorld, count: int, *, attempts: int = 1, first: int = 0) -> list[DeadLetter]:
    """So many letters of orders, in the dead-letter topic."""
    topic = world.source_topic(Source.ORDERS)
    letters = [
        DeadLetter(
            value=b'{"n": %d, "uom": "CRATE"}' % number,
            headers=(("producer", b"scanner-7"),),
            topic=topic,
            partition=number % 2,
            offset=number,
            timestamp=NOON,
            key=b"k",
            error_class=ErrorClass.UNKNOWN_UNIT,
            stage="validate",
            path="$.uom",
            message="CRATE is none of the unit codes",
            attempts=attempts,
            root=f"{topic}/{number % 2}/{number}",
            first_failed_at=NOON,
            pipeline_version="0",
        )
        for number in range(first, first + count)
    ]
    producer = Producer({"bootstrap.servers": world.bootstrap, "partitioner": "murmur2_random"})
    for letter in letters:
        headers = letter.to_headers()
        producer.produce(world.topic("velocity.dead-letters.v1"), letter.value, letter.id.encode(), headers=headers)
    assert producer.flush(30) == 0
    return letters


def sent(world: PipelineWorld) -> Counter[int]:
    """How often each number is in the source."""
    return Counter(json.loads(message.value())["n"] for message in world.read(world.source_topic(Source.ORDERS)))


def entries(world: PipelineWorld) -> list[AuditEntry]:
    """The audit log."""
    return [decode(message.value(), AuditEntry) for message in world.read(world.topic("velocity.audit-log.v1"))]


def assert_each_once(world: PipelineWorld, count: int) -> None:
    """Every number from 0 is in the source once, each entry says where, and the chain is whole."""
    assert sent(world) == dict.fromkeys(range(count), 1)
    log = [entry for entry in entries(world) if entry.action == "replay"]
    assert len({entry.what["dead_letter"] for entry in log}) == len(log) == count
    places = {f"{m.topic()}/{m.partition()}/{m.offset()}" for m in world.read(world.source_topic(Source.ORDERS))}
    assert {entry.what["sent_to"] for entry in log} == places
    trail = asyncio.run(examine_trail(world.settings()))
    assert (trail.problem, trail.unchained) == (None, 0)


async def test_cancelling_a_bulk_replay_loses_nothing(world: PipelineWorld) -> None:
    """Paused it sends nothing, resumed it goes on, stopped it says that the rest waits; the next one sends the rest."""
    post(world, 200)
    settings = world.settings()
    order = ReplayOrder(rate=400)
    job = ReplayJob(settings, order, (await WantedLetters.find(settings, UNIT)).read())
    seen: list[State] = []

    async def conduct() -> None:
        async for progress in job.watch(every_s=0.01):
            seen.append(progress.state)
            if progress.sent == 20 and State.PAUSED not in seen:
                job.pause()
                await asyncio.sleep(0.3)
                paused_at = job.progress.sent
                await asyncio.sleep(0.3)
                assert job.progress.sent == paused_at <= 40, "it sent something while it was paused"
                seen.append(job.progress.state)
                job.resume()
            elif progress.sent >= 60:
                job.stop()

    conducting = asyncio.create_task(conduct())
    ended = await job.run()
    await conducting
    assert (ended.state, ended.sent < 200, ended.sent % 20) == (State.STOPPED, True, 0)
    assert "run the same command to send the rest" in ended.reason
    assert {State.SENDING, State.PAUSED, State.STOPPED} <= set(seen)
    rest = await ReplayJob(settings, ReplayOrder(), (await WantedLetters.find(settings, UNIT)).read()).run()
    assert (rest.state, rest.sent, rest.skipped) == (State.DONE, 200 - ended.sent, ended.sent)
    await asyncio.to_thread(assert_each_once, world, 200)


async def test_acts_of_others_fence_a_replay_which_goes_on_and_another_replay_ends_it(world: PipelineWorld) -> None:
    """What was discarded meanwhile is left, also where it was about to be sent; two replays never share letters."""
    letters = post(world, 90)
    settings = world.settings()

    async def some(chosen: list[DeadLetter]) -> AsyncGenerator[DeadLetter, None]:
        for letter in chosen:
            yield letter

    async def disturbed() -> AsyncGenerator[DeadLetter, None]:
        for number, letter in enumerate(letters):
            if number == 30:  # ten of the second portion are waiting to be sent
                done = await set_aside(settings, "discard", some([letters[25], letters[80], letters[3]]), "test data")
                assert (done.done, [one.samples for one in done.leftovers]) == (2, [[letters[3].id]])
            if number == 70:
                other = ReplayJob(settings, ReplayOrder(), some(letters[85:]))
                assert (await other.run()).sent == 5
            yield letter

    with pytest.raises(CommandFailed, match="another replay has taken over"):
        await ReplayJob(settings, ReplayOrder(), disturbed()).run()
    last = ReplayJob(settings, ReplayOrder(), some(letters))
    assert (await last.run()).state is State.DONE
    assert await asyncio.to_thread(sent, world) == {n: 1 for n in range(90) if n not in (25, 80)}
    assert {one.act.action for one in last.tally.leftovers} == {"replay", "discard"}
    assert (await examine_trail(settings)).problem is None


def test_letters_are_parked_discarded_and_logged_with_a_reason(world: PipelineWorld) -> None:
    """A loop parks after so many attempts; parked ones go only if asked for; acts need a reason and a choice."""
    post(world, 3)
    post(world, 2, attempts=5, first=3)

    def said(*arguments: str, code: int = 0) -> Any:
        return json.loads(command_line.velocity(world, "dlq", *arguments, "--json", code=code).stdout)

    one = f"{world.source_topic(Source.ORDERS)}/0/0"
    assert said("replay", "--class", "unknown_unit", "--dry-run")["parked"] == 2
    done = said("replay", "--class", "unknown_unit")
    assert (done["sent"], done["parked"], done["state"]) == (3, 2, "done")
    again = said("replay", "--class", "unknown_unit")
    assert (again["sent"], again["skipped"]) == (0, 5)
    assert {(row["action"], row["letters"]) for row in again["already"]} == {("replay", 3), ("park", 2)}
    text = command_line.velocity(world, "dlq", "replay", "--id", one).stdout
    assert "0 dead letters sent" in text
    assert f"1 were left: replayed by {again['already'][0]['who']} at 2" in text
    command_line.velocity(world, "dlq", "discard", "--class", "unknown_unit", code=2)
    command_line.velocity(world, "dlq", "discard", "--why", "x", code=2)
    command_line.velocity(world, "dlq", "park", "--id", "no/0/1", "--why", "x", code=1)
    discarded = said("discard", "--id", f"{world.source_topic(Source.ORDERS)}/1/3", "--why", "test data")
    assert (discarded["done"], discarded["skipped"]) == (1, 0)
    freed = said("replay", "--class", "unknown_unit", "--include-parked", "--why", "unit added")
    assert (freed["sent"], freed["parked"]) == (1, 0)
    log = said("log")
    acts = [(act["action"], act["letters"], act["why"]) for act in log]
    parked = ("park", 2, "failed 5 times; desk.max_attempts is 5")
    assert acts == [("replay", 3, ""), parked, ("discard", 1, "test data"), ("replay", 1, "unit added")]
    assert [act["action"] for act in said("log", "--id", f"{world.source_topic(Source.ORDERS)}/1/3")] == [
        "park",
        "discard",
    ]
    assert "test data" in command_line.velocity(world, "dlq", "log").stdout
    audit = json.loads(command_line.velocity(world, "audit", "--json").stdout)["audit_log"]
    assert (audit["entries"], audit["intact"], audit["unchained"]) == (7, True, 0)


def test_without_a_worker_the_canary_says_so(world: PipelineWorld) -> None:
    """It waits no longer than it is told, names the partition, and the rest is not sent."""
    post(world, 60)
    options = ("--canary", "4", "--verdict-timeout", "PT0.5S")
    ended = command_line.velocity(world, "dlq", "replay", "--class", "unknown_unit", *options, code=1)
    assert "no verdict came within 0.5 s" in ended.output
    assert "is a stream worker running there?" in ended.output
    assert sum(sent(world).values()) == 4


LAUNCHER = """
import os, random, signal, sys, time
import console.main, console.desk.replay, console.commands.dlq_repairs  # once, for all that are killed
seed, kills = int(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)

def replay(error_class):
    child = os.fork()
    if child == 0:
        sys.argv = ["velocity", "dlq", "replay", "--class", error_class, "--json"]
        console.main.main()
        os._exit(0)
    return child

begun = time.monotonic()
os.waitpid(replay("not_json"), 0)  # there is none: what it takes before it sends, on this machine
ready, lived = time.monotonic() - begun, 0
for _ in range(kills):
    child = replay("unknown_unit")
    time.sleep(chance.uniform(0.05, ready + 0.5))
    if os.waitpid(child, os.WNOHANG)[0]:
        lived += 1
        continue
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(lived)
"""


def test_a_replay_killed_at_twenty_random_moments_sends_every_letter_exactly_once(world: PipelineWorld) -> None:
    """SIGKILL wherever it happens to be, twenty times; the run after that sends the rest, and nobody sends twice."""
    count = 1600
    post(world, count)
    world.extra["VELOCITY_DESK__PER_TRANSACTION"] = "5"
    world.extra["VELOCITY_DESK__RATE"] = "300"
    command = [sys.executable, "-c", LAUNCHER, "20111", "20"]
    killed = subprocess.run(
        command, env=world.environment, cwd=world.directory, capture_output=True, text=True, check=True, timeout=120
    )
    before = len(sent(world))
    assert 0 < before < count, f"the kills hit nothing: {before} were sent ({killed.stdout}, {killed.stderr[-500:]})"
    world.extra["VELOCITY_DESK__RATE"] = "100000"
    world.extra["VELOCITY_DESK__PER_TRANSACTION"] = "500"
    done = json.loads(command_line.velocity(world, "dlq", "replay", "--class", "unknown_unit", "--json").stdout)
    assert (done["state"], done["sent"], done["skipped"]) == ("done", count - before, before)
    assert_each_once(world, count)


def test_ctrl_c_stops_between_two_transactions_and_says_how_to_go_on(world: PipelineWorld) -> None:
    """Exit 130; the same command sends the rest."""
    post(world, 300)
    world.extra["VELOCITY_DESK__RATE"] = "60"
    command = [sys.executable, "-m", "console.main", "dlq", "replay", "--class", "unknown_unit"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        running = subprocess.Popen(command, env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 30
    while not sent(world) and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=30)
    assert running.returncode == 130, said
    assert b"run the same command to send the rest" in said
    assert 0 < len(sent(world)) < 300
    world.extra["VELOCITY_DESK__RATE"] = "100000"
    command_line.velocity(world, "dlq", "replay", "--class", "unknown_unit")
    assert_each_once(world, 300)
