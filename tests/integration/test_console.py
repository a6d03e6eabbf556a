"""Commands against a real broker: topics, what goes in, drains, and the self-check."""

import asyncio
import io
import json
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer
from command_line import velocity
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from msgspec import structs
from pipeline_world import RUN, PipelineWorld, until

from console.client import BatchApi, Incomplete, NotFound, Question
from console.configuration import load_settings
from console.drain import Drained, DrainOptions, DrainUnderWay, drain
from console.drain_steps import unfinished
from console.errors import CommandFailed, UsageError
from runtime.connections import admin_client
from runtime.health import serve_http
from runtime.partitioning import partition_of
from runtime.refusals import AccessRefused, TopicRefused
from runtime.settings import Settings
from runtime.topics import check_topics, read_topics
from sandbox.kafka import EmbeddedKafka
from sandbox.kafka.probe import free_port
from schemas.codecs import decode, encode
from schemas.records import AuditEntry, ControlRecord, Counts, Frontier, OpenWindow
from schemas.reference import Channel, Item, decode_reference
from schemas.sources import Source

HOUR = 3_600_000


@pytest.fixture
def world(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> PipelineWorld:
    """Topics of its own, not applied yet."""
    return PipelineWorld(broker.bootstrap_servers, topic_prefix.rstrip("."), tmp_path)


def settings_of(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a process of this world would have."""
    for name, value in world.environment.items():
        if name.startswith("VELOCITY_"):
            monkeypatch.setenv(name, value)
    return load_settings()


# -- topics ------------------------------------------------------------------------------------------------------------


def test_topics_are_created_compared_and_put_right(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """plan: 1 while there is something to do, 0 after apply; a worker refuses to start on what endangers data."""
    settings = settings_of(world, monkeypatch)
    assert "endangers data" in velocity(world, "topics", "plan", code=1).stdout
    with pytest.raises(TopicRefused, match=r"velocity\.batches\.v1 is missing"):
        check_topics(settings)
    velocity(world, "topics", "apply")
    check_topics(settings)
    assert "as they should be" in velocity(world, "topics", "plan").stdout
    alter(settings, world.topic("velocity.batches.v1"), "retention.ms", "1000")
    alter(settings, world.source_topic(Source.ORDERS), "message.timestamp.type", "CreateTime")
    with pytest.raises(TopicRefused, match=r"velocity\.batches\.v1 has retention\.ms=1000, not -1"):
        check_topics(settings)
    planned = json.loads(velocity(world, "topics", "plan", "--json", code=1).stdout)["differences"]
    assert [(d["what"], d["endangers"]) for d in planned] == [("message.timestamp.type", False), ("retention.ms", True)]
    left = json.loads(velocity(world, "topics", "plan", "--leave-sources", "--json", code=1).stdout)["differences"]
    assert [d["what"] for d in left] == ["retention.ms"]
    velocity(world, "topics", "apply")
    velocity(world, "topics", "plan")


def test_a_wrong_number_of_partitions_is_refused_and_nothing_is_done(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys would move: exit 3. A source topic grows when asked to."""
    settings = settings_of(world, monkeypatch)
    admin = admin_client(settings.kafka)
    wrong = [NewTopic(world.topic("velocity.batches.v1"), 3, 1), NewTopic(world.source_topic(Source.ORDERS), 1, 1)]
    for future in admin.create_topics(wrong).values():
        future.result(timeout=20)
    assert "3 partitions, not 6" in velocity(world, "topics", "apply", code=3).output
    assert world.topic("velocity.audit-log.v1") not in admin.list_topics(timeout=10).topics
    world.extra["VELOCITY_TOPICS__BATCHES"] = "velocity.batches.v2"
    velocity(world, "topics", "apply")
    assert len(admin.list_topics(timeout=10).topics[world.source_topic(Source.ORDERS)].partitions) == 2
    velocity(world, "topics", "plan")


def alter(settings: Settings, topic: str, name: str, value: str) -> None:
    """Change a topic's setting behind our back; brokers know of it a moment later."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    admin = admin_client(settings.kafka)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=20)
    assert until(lambda: (read_topics(settings)[topic].config or {})[name] == value, every_s=0.05)


# -- what goes in ------------------------------------------------------------------------------------------------------


def test_lines_are_sent_byte_for_byte_under_the_key_that_java_would_place_alike(
    world: PipelineWorld, tmp_path: Path
) -> None:
    """Bad lines and empty ones too; a key's partition is the murmur2 one; null where it cannot be read."""
    velocity(world, "topics", "apply")
    good = [json.dumps({"sku": f"A{n}", "site_id": "S"}).encode() for n in range(50)]
    bad = [b"", b"not json", b"\xff\xfe\x00", b'{"sku": null}\r', b"  "]
    file = tmp_path / "orders.ndjson"
    file.write_bytes(b"\n".join([*good, *bad]) + b"\n")
    velocity(world, "produce", "--source", "orders", str(file))
    found = world.read(world.source_topic(Source.ORDERS))
    assert sorted(m.value() for m in found) == sorted([*good, *bad])
    keyed = {m.key().decode(): m.partition() for m in found if m.key() is not None}
    assert keyed == {f"A{n}": partition_of(f"A{n}", 2) for n in range(50)}
    velocity(world, "produce", "--source", "returns", "--key", "site", "-", stdin=b"\n".join(good))
    assert {m.key() for m in world.read(world.source_topic(Source.RETURNS))} == {b"S"}


def test_a_line_longer_than_the_topic_allows_is_named_and_the_others_are_sent(
    world: PipelineWorld, tmp_path: Path
) -> None:
    """File and line, exit 1; a missing file is found before anything is sent."""
    velocity(world, "topics", "apply")
    longest = b"x" * (1 << 20) + b"y"  # a record of 1 MiB and a byte is the intake's to refuse, so it must get through
    file = tmp_path / "returns.ndjson"
    file.write_bytes(b"\n".join([b"a", longest * 2, longest, b"z"]))
    ended = velocity(world, "produce", "--source", "returns", "--json", str(file), code=1)
    said = json.loads(ended.stdout)
    assert (said["lines"], said["delivered"]) == (4, 3)
    assert [(fault["file"], fault["line"]) for fault in said["faults"]] == [(str(file), 2)]
    found = world.read(world.source_topic(Source.RETURNS))
    assert {m.value() for m in found} == {b"a", longest, b"z"}
    assert "nothing was sent" in velocity(world, "produce", "--source", "orders", str(file), "nope", code=2).output
    assert not world.read(world.source_topic(Source.ORDERS))


def test_reference_files_are_loaded_all_or_none(world: PipelineWorld, tmp_path: Path) -> None:
    """A fault anywhere is named and keeps everything out; what is loaded stands under its key."""
    velocity(world, "topics", "apply")
    items, channels = tmp_path / "items.csv", tmp_path / "channels.csv"
    items.write_text("sku,uom,base_units,valid_from\na1,EA,1,\na1,CS,12,2025-01-01T00:00:00Z\n")
    channels.write_text("site_id,channel,weight,valid_from\n,web,nonsense,\n")
    load = ("reference", "load", "--items", str(items), "--channels", str(channels))
    assert "channels.csv, line 2, column weight" in velocity(world, *load, code=2).output
    topic = world.topic("velocity.reference.v1")
    assert not world.read(topic)
    channels.write_text("site_id,channel,weight,valid_from\n,web,0.5,\n")
    velocity(world, *load)
    records = {message.key(): decode_reference(message.value()) for message in world.read(topic)}
    assert [type(record) for record in records.values()] == [Item, Item, Channel]
    assert all(record.key.encode() == key for key, record in records.items())
    velocity(world, "reference", "load", code=2)


# -- drain -------------------------------------------------------------------------------------------------------------


class Workers:
    """What stream and batch workers would write, by hand; `run` starts a drain beside it."""

    def __init__(self, world: PipelineWorld, settings: Settings) -> None:
        self.world, self.settings = world, settings
        self.frontiers: dict[str, Frontier] = {}
        self._producer = Producer({"bootstrap.servers": world.bootstrap})
        self._pool = ThreadPoolExecutor(1)

    def run(self, **options: Any) -> "Future[Drained]":
        """A drain in the background, which gives up before the test does."""
        chosen = DrainOptions(**{"timeout": timedelta(seconds=30), **options})
        return self._pool.submit(lambda: asyncio.run(drain(self.settings, chosen)))

    def write(self, source: Source, partition: int, **changes: Any) -> None:
        """A frontier record: the last one of its partition with these changes."""
        topic = self.world.source_topic(source)
        fresh = Frontier(
            source=source,
            source_topic=topic,
            source_partition=partition,
            topic_id="t",
            checkpoint_seq=0,
            position=0,
            frontier=None,
            max_event_time=None,
            committed=0,
            settings_hash="h",
            manifests={},
            open_windows=(),
            counts=Counts(),
            worker_id="w",
            pipeline_version="0",
            checkpoint_at=0,
        )
        record = structs.replace(self.frontiers.get(fresh.key, fresh), **changes)
        self.frontiers[record.key] = record
        self._send("velocity.frontiers.v1", encode(record), record.key.encode())

    def write_all(self, **changes: Any) -> None:
        """The same for every partition."""
        for source in Source:
            for partition in range(2):
                self.write(source, partition, **changes)

    def request(self, phase: str, after: int = 0) -> ControlRecord:
        """The newest control record, once it is of this phase and more than `after` are there."""

        def newest() -> ControlRecord | None:
            records = self.control()
            return records[-1] if len(records) > after and records[-1].phase == phase else None

        found = until(newest)
        assert found, f"no {phase} was written, but {self.control()}"
        return found

    def control(self) -> list[ControlRecord]:
        """All control records."""
        topic = self.world.topic("velocity.control.v1")
        return [decode(message.value(), ControlRecord) for message in self.world.read(topic)]

    def take_batches(self, partition: int, offset: int) -> None:
        """The batch group commits an offset."""
        place = TopicPartition(self.world.topic("velocity.batches.v1"), partition, offset)
        admin = admin_client(self.settings.kafka)
        asked = [ConsumerGroupTopicPartitions(self.settings.kafka.batch_group, [place])]
        for future in admin.alter_consumer_group_offsets(asked).values():
            future.result(timeout=20)

    def _send(self, topic: str, value: bytes, key: bytes) -> None:
        self._producer.produce(self.world.topic(topic), value, key)
        self._producer.flush(20)

    def close(self) -> None:
        """Wait for the drain."""
        self._pool.shutdown()


@pytest.fixture
def workers(world: PipelineWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Topics applied, three orders in the source."""
    velocity(world, "topics", "apply")
    world.produce(Source.ORDERS, [b"{}"] * 3, partition=1)
    found = Workers(world, settings_of(world, monkeypatch))
    yield found
    found.close()


def open_window(end: int) -> OpenWindow:
    """A window that ends at this hour."""
    return OpenWindow(
        site_id="S", start=(end - 1) * HOUR, end=end * HOUR, first_offset=0, count=3, offsets_hash="0" * 16
    )


def test_a_drain_goes_by_its_protocol(workers: Workers) -> None:
    """request with the end offsets; once all have read so far, close up to the last open window; once all have said
    so and the batches are taken, done and an audit-log entry. It waits for each."""
    draining = workers.run(stop=True)
    request = workers.request("request")
    orders = workers.world.source_topic(Source.ORDERS)
    assert request.ends[f"{orders}/1"] == 3
    assert (len(request.ends), sum(request.ends.values())) == (6, 3)
    workers.write_all()
    workers.write(Source.ORDERS, 1, position=2, open_windows=(open_window(99),))
    workers.write(Source.RETURNS, 0, open_windows=(open_window(7),))
    workers.write(Source.ORDERS, 1, position=3, open_windows=(open_window(8), open_window(9)))
    close = workers.request("close")
    assert (close.id, close.close_to) == (request.id, 9 * HOUR)
    workers.write_all(last_drain=close.id, open_windows=(), manifests={2: 5})
    assert not until(draining.done, within_s=1.0), "it did not wait for the batch workers"
    workers.take_batches(2, 5)
    assert not until(draining.done, within_s=1.0), "the last manifest is not taken yet"
    workers.take_batches(2, 6)
    drained = draining.result(timeout=20)
    assert (drained.id, drained.partitions, drained.closed_to, drained.stopped) == (request.id, 6, 9 * HOUR, True)
    done = workers.control()[-1]
    assert (done.id, done.phase, done.stop) == (request.id, "done", True)
    (entry,) = [decode(m.value(), AuditEntry) for m in workers.world.read(workers.world.topic("velocity.audit-log.v1"))]
    assert (entry.action, entry.what["outcome"]) == ("drain", "done")


def test_a_drain_that_gives_up_says_who_it_waits_for_and_withdraws(workers: Workers) -> None:
    """Exit 1 with the partitions; `done` without stop, so that the next drain is not refused."""
    workers.write_all()
    with pytest.raises(CommandFailed, match=r"orders\.v1/1 \(3 offsets short\): is a stream worker running"):
        workers.run(timeout=timedelta(seconds=1), stop=True).result(timeout=20)
    assert [(record.phase, record.stop) for record in workers.control()] == [("request", False), ("done", False)]
    workers.write(Source.ORDERS, 1, position=3, manifests={0: 0})
    answering = threading.Thread(target=lambda: workers.write_all(last_drain=workers.request("close").id))
    answering.start()
    drained = workers.run(wait_for_batches=False).result(timeout=20)
    answering.join()
    assert drained.closed_to is None


def test_a_second_drain_is_refused_until_it_is_told_to_replace(workers: Workers) -> None:
    """A killed command leaves a request behind that nobody ends."""
    left = ControlRecord(id="left", phase="request", ends={}, at=1)
    workers._send("velocity.control.v1", encode(left), b"left")
    assert "drain left has not ended" in velocity(workers.world, "drain", code=3).output
    with pytest.raises(DrainUnderWay):
        workers.run().result(timeout=20)
    replacing = workers.run(replace=True, wait_for_batches=False)
    request = workers.request("request", after=1)
    assert [(record.id, record.phase) for record in workers.control()] == [
        ("left", "request"),
        ("left", "done"),
        (request.id, "request"),
    ]
    workers.write_all(position=3)
    workers.write_all(last_drain=workers.request("close").id)
    assert replacing.result(timeout=20).id == request.id


@pytest.fixture
def ctrl_c_counts() -> Iterator[None]:
    """What is started takes SIGINT as in a terminal: a shell lets what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_counts")
def test_an_interrupted_drain_withdraws_its_request(workers: Workers) -> None:
    """Ctrl-C while it waits: exit 130, and the request is done without having stopped anybody."""
    command = [*RUN, "drain", "--stop"]
    waiting = subprocess.Popen(command, env=workers.world.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    request = workers.request("request")
    waiting.send_signal(signal.SIGINT)
    said, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 130, said
    assert b"Traceback" not in said
    done = workers.control()[-1]
    assert (done.id, done.phase, done.stop) == (request.id, "done", False)


@pytest.mark.parametrize("step", ["begin_transaction", "send_and_wait", "commit_transaction"])
async def test_an_interruption_in_the_midst_of_the_request_withdraws_it(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """At whichever step of its transaction Ctrl-C comes: the producer ends that one before it writes the withdrawal."""
    draining = asyncio.create_task(drain(workers.settings, DrainOptions(stop=True)))
    uninterrupted = getattr(AIOKafkaProducer, step)

    async def interrupted(*arguments: Any, **named: Any) -> Any:
        if not draining.cancelling():
            asyncio.get_running_loop().call_soon(draining.cancel)
        return await uninterrupted(*arguments, **named)

    monkeypatch.setattr(AIOKafkaProducer, step, interrupted)
    with pytest.raises(asyncio.CancelledError):
        await draining
    records = await asyncio.to_thread(workers.control)
    assert [(record.phase, record.stop) for record in records][-1:] == [("done", False)]
    assert not unfinished(records)


# -- self-check --------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(world: PipelineWorld) -> None:
    """Missing topics fail, workers that do not answer are worth a look; without Kafka nothing on it is asked."""
    checks = {c["name"]: c for c in json.loads(velocity(world, "doctor", "--json", code=1).stdout)}
    assert checks["kafka"]["grade"] == "ok"
    assert (checks["topics"]["grade"], "velocity topics apply" in checks["topics"]["advice"]) == ("fail", True)
    assert checks["batch worker"]["grade"] == "warn"
    velocity(world, "topics", "apply")
    velocity(world, "doctor")
    world.extra["VELOCITY_SITES_FILE"] = "/nowhere/sites.csv"
    world.bootstrap = "127.0.0.1:1"
    checks = {c["name"]: c["grade"] for c in json.loads(velocity(world, "doctor", "--json", code=1).stdout)}
    assert (checks["sites"], checks["kafka"], "topics" in checks) == ("fail", "fail", False)


@pytest.mark.parametrize("command", [("audit",), ("gc",), ("dlq", "stats"), ("drain",), ("reference", "load")])
def test_commands_say_which_topics_are_missing(world: PipelineWorld, command: tuple[str, ...], tmp_path: Path) -> None:
    """Exit 3, and what to do about it."""
    items = tmp_path / "items.csv"
    items.write_text("sku,uom,base_units,valid_from\n")
    arguments = (*command, "--items", str(items)) if command[0] == "reference" else command
    said = velocity(world, *arguments, code=3).output
    assert "velocity topics apply" in said


# -- asking the batch workers ------------------------------------------------------------------------------------------


CUT_OFF = (0, "the connection ends instead of an answer")


class Town:
    """Batch workers as the command line sees them: answers by worker and path, each list used up one by one.

    Answers are about the partition of the worker's number, unless `about` says otherwise.
    """

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.answers: dict[tuple[int, str], list[tuple[int, Any]]] = {}
        self.about: dict[int, list[str]] = {}
        self.asked: list[tuple[int, str]] = []
        self._runners: list[web.AppRunner] = []

    async def settle(self, workers: int) -> None:
        """Start this many workers; each partition of the batches topic belongs to one of them."""
        for number in range(workers):
            site = web.Application()
            site.router.add_route("*", "/{path:.*}", partial(self._answer, number))
            runner, port = await serve_http(site, "127.0.0.1", 0)
            self._runners.append(runner)
            self.urls.append(f"http://127.0.0.1:{port}")
        owners = [{"url": url, "worker_id": str(n), "partitions": [n]} for n, url in enumerate(self.urls)]
        known = {"topic": "b", "partitions": workers, "owners": owners, "unowned": []}
        self.answers[0, "/api/v1/owners"] = [(200, known)]

    async def _answer(self, number: int, request: web.Request) -> web.Response:
        self.asked.append((number, request.path))
        found = self.answers[number, request.path]
        status, body = found.pop(0) if len(found) > 1 else found[0]
        if (status, body) == CUT_OFF and request.transport:
            request.transport.close()
        about = self.about.get(number, []) if request.path != "/api/v1/owners" else []
        headers = {"Velocity-Partitions": about.pop(0) if about else str(number)}
        if isinstance(body, pa.Table):
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, body.schema) as writer:
                writer.write_table(body)
            return web.Response(body=sink.getvalue(), status=status, headers=headers)
        return web.json_response(body, status=status or 500, headers=headers)

    async def close(self) -> None:
        """End all workers."""
        for runner in self._runners:
            await runner.cleanup()


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    """Two workers."""
    town = Town()
    await town.settle(2)
    yield town
    await town.close()


def coefficients(*skus: str) -> pa.Table:
    """Results of site S."""
    return pa.table({"site_id": ["S"] * len(skus), "sku": list(skus)})


async def asked(town: Town, question: Question, site: str | None) -> pa.Table:
    """The answer to a question that begins at the first worker."""
    async with BatchApi(Settings(api={"url": town.urls[0]})) as api:
        return await api.table(question, site)


async def test_a_question_about_a_site_follows_its_owner(town: Town) -> None:
    """421 names the owner; 503 is asked again until the worker has caught up."""
    path = "/api/v1/coefficients"
    town.answers[0, path] = [(421, {"error": "wrong_owner", "message": "m", "owner": town.urls[1]})]
    town.answers[1, path] = [(503, {"error": "not_ready", "message": "catching up"}), (200, coefficients("A"))]
    table = await asked(town, Question(path, arrow=True), "S")
    assert table.column("sku").to_pylist() == ["A"]
    assert town.asked == [(0, path), (1, path), (1, path)]


async def test_a_question_about_all_sites_asks_every_owner_and_merges(town: Town) -> None:
    """Sorted by site and SKU; an owner that has nothing is left out; if nobody has anything that is the answer."""
    path = "/api/v1/coefficients"
    town.answers[0, path] = [(200, coefficients("C", "A"))]
    town.answers[1, path] = [(200, coefficients("B"))]
    assert (await asked(town, Question(path, arrow=True), None)).column("sku").to_pylist() == ["A", "B", "C"]
    nothing = (404, {"error": "not_found", "message": "no calculation"})
    town.answers[1, path] = [nothing]
    assert (await asked(town, Question(path, arrow=True), None)).num_rows == 2
    town.answers[0, path] = [nothing]
    with pytest.raises(NotFound, match="no calculation"):
        await asked(town, Question(path, arrow=True), None)


async def test_partitions_that_nobody_owns_yet_are_waited_for(town: Town) -> None:
    """While a group rebalances, half an answer would be a wrong one."""
    known = town.answers[0, "/api/v1/owners"][0][1]
    town.answers[0, "/api/v1/owners"] = [(200, {**known, "unowned": [1]}), (200, known)]
    for worker in range(2):
        town.answers[worker, "/x"] = [(200, {"rows": [{"n": worker}], "not_ready": {}})]
    async with BatchApi(Settings(api={"url": town.urls[0]})) as api:
        assert await api.rows(Question("/x"), None) == [{"n": 0}, {"n": 1}]


async def test_sites_that_are_left_out_are_remarked_on(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where the table is an Arrow stream; if nothing is left, that they are is the answer, exit 1."""
    path = "/api/v1/coefficients"
    left_out = coefficients("A").replace_schema_metadata({"not_ready": '{"T": "site T is held"}'})
    town.answers[0, path] = [(200, left_out)]
    town.answers[1, path] = [(200, coefficients("B"))]
    table = await asked(town, Question(path, arrow=True), None)
    assert (table.column("sku").to_pylist(), table.schema.metadata) == (["A", "B"], None)
    assert "site T is left out: site T is held" in capsys.readouterr().err
    for worker in range(2):
        town.answers[worker, "/x"] = [(200, {"rows": [], "not_ready": {"T": "site T is held"} if worker else {}})]
    async with BatchApi(Settings(api={"url": town.urls[0]})) as api:
        with pytest.raises(NotFound, match="site T is held"):
            await api.rows(Question("/x"), None)
    town.answers[0, path] = [(200, pa.table({}).replace_schema_metadata(left_out.schema.metadata))]
    town.answers[1, path] = [(200, pa.table({}))]
    with pytest.raises(NotFound, match="site T is held"):
        await asked(town, Question(path, arrow=True), None)


async def test_an_owner_that_is_gone_is_asked_for_again(town: Town) -> None:
    """A dead worker stays in the group for a session: whoever is named next has the answer, or the last one says."""
    path, dead = "/api/v1/coefficients", f"http://127.0.0.1:{free_port()}"
    town.answers[0, path] = [(421, {"error": "wrong_owner", "message": "m", "owner": dead}), (200, coefficients("A"))]
    assert (await asked(town, Question(path, arrow=True), "S")).num_rows == 1
    known = town.answers[0, "/api/v1/owners"][0][1]
    others = [{**known["owners"][1], "url": dead}, known["owners"][1]]
    town.answers[0, "/api/v1/owners"] = [(200, {**known, "owners": [known["owners"][0], other]}) for other in others]
    town.answers[1, path] = [(200, coefficients("B"))]
    assert (await asked(town, Question(path, arrow=True), None)).column("sku").to_pylist() == ["A", "B"]


@pytest.mark.parametrize("about", ["", "0", "0,1"])
async def test_an_answer_about_other_partitions_is_not_taken_for_all(town: Town, about: str) -> None:
    """A rebalance between the question who owns what and the others: some sites would be missing, or come twice."""
    town.about[1] = [about]
    for worker in range(2):
        town.answers[worker, "/x"] = [(200, {"rows": [{"n": worker}], "not_ready": {}})]
    async with BatchApi(Settings(api={"url": town.urls[0]})) as api:
        assert await api.rows(Question("/x"), None) == [{"n": 0}, {"n": 1}]
    assert town.asked.count((0, "/api/v1/owners")) == 2


async def test_a_request_whose_answer_was_cut_off_is_not_sent_twice(town: Town) -> None:
    """Unless it only asks: a calculation may have been made."""
    town.answers[0, "/x"] = [(421, {"error": "wrong_owner", "message": "m", "owner": town.urls[1]})]
    town.answers[1, "/x"] = [CUT_OFF, (200, {"rows": [{"n": 1}]})]
    async with BatchApi(Settings(api={"url": town.urls[0]})) as api:
        assert await api.rows(Question("/x"), "S") == [{"n": 1}]
        town.answers[1, "/x"] = [CUT_OFF, (200, {"rows": []})]
        with pytest.raises(CommandFailed, match="no batch worker answers at"):
            await api.rows(Question("/x", body={}), "S")
    assert town.asked.count((1, "/x")) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, UsageError),
        (401, AccessRefused),
        (403, AccessRefused),
        (404, NotFound),
        (409, Incomplete),
        (500, CommandFailed),
    ],
)
async def test_refusals_of_the_api_become_ours(town: Town, status: int, kind: type[Exception]) -> None:
    """With their message; an incomplete instant is a guard that says no, exit 3."""
    town.answers[0, "/x"] = [(status, {"error": "e", "message": "because"})]
    with pytest.raises(kind, match="because"):
        await asked(town, Question("/x"), "S")


async def test_no_worker_at_the_address_says_where_it_was_looked_for() -> None:
    """And which setting says so."""
    with pytest.raises(CommandFailed, match=r"no batch worker answers at http://127\.0\.0\.1:1 .*VELOCITY_API__URL"):
        async with BatchApi(Settings(api={"url": "http://127.0.0.1:1"})) as api:
            await api.table(Question("/x"), "S")


# -- a broker for a laptop ---------------------------------------------------------------------------------------------


def test_a_laptops_broker_starts_stays_and_stops(tmp_path: Path) -> None:
    """It outlives the command; starting it again finds it; status exits 1 where none runs."""
    port = str(free_port())
    where = ("--data-dir", str(tmp_path / "kafka"))
    nobody = PipelineWorld("", "", tmp_path)
    velocity(nobody, "kafka", "status", *where, code=1)
    try:
        assert f"127.0.0.1:{port}" in velocity(nobody, "kafka", "start", "--port", port, *where).stdout
        status = json.loads(velocity(nobody, "kafka", "status", "--json", *where).stdout)
        assert (status["running"], status["answering"]) == (True, True)
        velocity(nobody, "kafka", "start", "--port", port, *where)
        assert "already runs" in velocity(nobody, "kafka", "start", "--port", "1", *where, code=1).output
    finally:
        said = velocity(nobody, "kafka", "stop", *where).stdout
    assert said == "stopped\n"
    assert velocity(nobody, "kafka", "stop", *where).stdout == "no broker was running\n"
