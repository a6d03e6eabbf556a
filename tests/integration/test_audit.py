"""`velocity audit` proves conservation from the data, and names each kind of sabotage; `velocity gc` knows leftovers.

The state under audit is written by the real pieces of the stream stage (partition, checkpoint, transactional ledger),
driven by hand:

    offset   0 ......... 29 | 30 | 31 .. 35 | 36 | 37 ......... 66
             hour 0, hour 1 |mark|  aborted |mark| hours 1 and 2, of which 2 stays open

Offsets 5 and 40 are dead letters, 50 is late and becomes a correction.
"""

import asyncio
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from msgspec import structs
from pipeline_world import until
from typer.testing import CliRunner, Result

from console.audit_log import AuditLog
from console.audit_run import AuditReport, audit
from console.audit_trail import examine_trail
from console.gather import read_manifests
from console.main import app
from runtime.connections import admin_client, transactional_producer
from runtime.connections import topic_id as broker_topic_id
from runtime.partitioning import partition_of
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from runtime.store import open_store
from runtime.store_claim import claim_store, pipeline_of
from runtime.topics import apply, plan_topics
from sandbox.kafka import EmbeddedKafka
from schemas.codecs import encode
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.records import AuditEntry, Manifest
from schemas.sources import Source
from schemas.topics import TopicRole
from schemas.windows import SiteWindows, SiteZones, WindowSpec
from streams.batch_file import BatchFormat, BatchName
from streams.batch_writer import BatchWriter
from streams.checkpoint import Checkpoint, Identity, WriterPool
from streams.event_clock import ClockRules
from streams.ledger import Ledger
from streams.partition import Partition
from streams.snapshot import Arrivals
from streams.windowing import assign_windows

HOUR = 3_600_000
START = 400_000 * HOUR  # some hour of 2015
DEAD = (5, 40)
LATE = 50


class Stage:
    """One source partition of orders, checkpointed by hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = settings.topics.source_topic(Source.ORDERS)
        self.store = open_store(settings.store)
        self.root = Path(settings.store.url)
        self.windows = SiteWindows(WindowSpec.parse("PT1H"), SiteZones({}, "UTC"))
        self.partition = Partition.fresh(ClockRules(0, 60_000, "hold", HOUR), 0)
        self.form = BatchFormat(Source.ORDERS, "deflate")
        self.manifests: list[Manifest] = []
        self.announced: dict[int, int] = {}
        self.writers = WriterPool(lambda site: BatchWriter(self.form, self.store, "w", Source.ORDERS, 0, site, 10_000))
        topic_id = broker_topic_id(settings.kafka, self.topic)
        self.identity = Identity(Source.ORDERS, self.topic, 0, topic_id, "w", "hash")

    async def fill_source(self) -> None:
        """Two committed transactions with an aborted one in between: 0-29, (31-35), 37-66."""
        producer = transactional_producer(self.settings.kafka, f"{self.topic}-feed")
        await producer.start()
        for count, kept in ((30, True), (5, False), (30, True)):
            await producer.begin_transaction()
            await asyncio.gather(*[await producer.send(self.topic, b"{}", partition=0) for _ in range(count)])
            await (producer.commit_transaction() if kept else producer.abort_transaction())
        await producer.stop()

    def take(self, base: int, offsets: range, end: int) -> None:
        """Admit a fetch of `[base, end)` with these records; event time grows by 3 minutes per offset."""
        kept = [offset for offset in offsets if offset not in DEAD]
        times = [START if offset == LATE else START + offset * 180_000 for offset in kept]
        columns = {
            "event_id": [f"e{offset}" for offset in kept],
            "site_id": ["S1" if offset % 2 else "S2" for offset in kept],
            "sku": ["A"] * len(kept),
            "event_time": times,
            "quantity": [1.5] * len(kept),
            "uom": ["EA"] * len(kept),
            "order_id": ["o"] * len(kept),
            "line": [1] * len(kept),
            "channel": [None] * len(kept),
            "promo_id": [None] * len(kept),
            "source_offset": kept,
        }
        fields = [field for field in self.form.rows_schema if field.name != "window_start"]
        rows = assign_windows(pa.table(columns, schema=pa.schema(fields)), self.windows)
        letters = [self._letter(offset) for offset in offsets if offset in DEAD]
        self.partition.admit(Arrivals(base, end, rows, letters))

    def _letter(self, offset: int) -> DeadLetter:
        return DeadLetter(
            value=b"{}",
            headers=(),
            topic=self.topic,
            partition=0,
            offset=offset,
            timestamp=START,
            key=None,
            error_class=ErrorClass.MISSING_FIELD,
            stage="intake",
            path="$.sku",
            message="missing",
            attempts=1,
            root=f"{self.topic}/0/{offset}",
            first_failed_at=START,
            pipeline_version="0",
        )

    async def checkpoint(self) -> None:
        """Files, then the transaction, as the stream worker does it."""
        checkpoint = Checkpoint(self.identity, self.partition.snapshot(), self.form, self.writers)
        checkpoint.write_files()
        ledger = Ledger(self.settings, self.topic, 0)
        await ledger.open()
        announced = await ledger.commit(checkpoint.entry(self.announced, START))
        self.announced = dict(announced.frontier.manifests)
        await ledger.close()
        self.partition.settle()
        self.manifests += checkpoint.manifests

    async def send(self, role: TopicRole, key: str, value: bytes) -> None:
        """Write a record past all guards, as a saboteur would."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers)
        await producer.start()
        await producer.send_and_wait(self.settings.topics.name(role), value, key=key.encode())
        await producer.stop()

    def file(self, manifest: Manifest) -> Path:
        """Where a batch lies."""
        return self.root / manifest.path


@pytest.fixture(scope="module")
def sound(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A state that tests only read, or whose files they put back."""
    return asyncio.run(staged(broker, f"audit-{uuid.uuid4().hex[:8]}.", tmp_path_factory.mktemp("sound")))


@pytest.fixture
def stage(broker: EmbeddedKafka, topic_prefix: str, tmp_path: Path) -> Stage:
    """A state whose topics a test may spoil."""
    return asyncio.run(staged(broker, topic_prefix, tmp_path))


async def staged(broker: EmbeddedKafka, prefix: str, folder: Path) -> Stage:
    """Three checkpoints: batches of two sites, a correction, dead letters, open windows."""
    settings = Settings(
        kafka={"bootstrap_servers": broker.bootstrap_servers, "stream_group": f"{prefix}g"},
        topics={"prefix": prefix, "partitions": {"orders": 1, "returns": 1, "cycle_counts": 1}},
        store={"url": str(folder / "store")},
    )
    apply(settings, plan_topics(settings).differences)
    stage = Stage(settings)
    claim_store(stage.store, pipeline_of(settings), [])
    await stage.fill_source()
    stage.take(0, range(25), 25)
    await stage.checkpoint()
    stage.take(25, range(25, 30), 30)
    stage.take(30, range(37, 60), 60)
    await stage.checkpoint()
    stage.take(60, range(60, 67), 68)
    await stage.checkpoint()
    return stage


def problems(report: AuditReport) -> str:
    """All problems as one text."""
    return "\n".join(map(str, report.findings.problems))


@contextmanager
def spoilt(file: Path, content: bytes | None) -> Iterator[None]:
    """The file with other content, or removed; put back afterwards."""
    good = file.read_bytes()
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    yield
    file.write_bytes(good)


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_state_is_complete_and_adds_up(sound: Stage, deep: bool) -> None:
    """60 records were delivered: 2 dead letters, 1 correction, the rest in batches and open windows."""
    report = audit(sound.settings, deep=deep).as_json()
    assert report["complete"], report["problems"]
    assert (report["delivered"], report["dead_lettered"], report["in_corrections"]) == (60, 2, 1)
    assert report["delivered"] == sum(report[k] for k in ("in_batches", "in_corrections", "dead_lettered", "open"))
    assert report["open"] > 0
    assert report["gaps"] == 0


def test_the_command_prints_the_verdict_and_stable_json(sound: Stage) -> None:
    """Exit 0; the last line is the verdict, the JSON has the keys that scripts read."""
    said = command(sound, "audit")
    assert said.exit_code == 0
    assert "audit: complete" in said.stdout.splitlines()[-1]
    report = json.loads(command(sound, "audit", "--deep", "--json").stdout)
    keys = {"complete", "delivered", "in_batches", "in_corrections", "dead_lettered", "open", "gaps", "problems"}
    assert keys <= report.keys()


@pytest.mark.parametrize("deep", [False, True])
def test_a_deleted_file_is_named(sound: Stage, deep: bool) -> None:
    """With its batch, its path, and the first offset that is in doubt; nothing else is blamed."""
    manifest = sound.manifests[1]
    with spoilt(sound.file(manifest), None):
        report = audit(sound.settings, deep=deep)
    assert [problem.offset for problem in report.findings.problems] == [manifest.first_offset]
    assert manifest.batch_id in problems(report)
    assert f"{manifest.path} is missing" in problems(report)


@pytest.mark.parametrize("deep", [False, True])
def test_a_flipped_byte_is_named(sound: Stage, deep: bool) -> None:
    """The size is right, the SHA-256 is not."""
    manifest = sound.manifests[2]
    data = bytearray(sound.file(manifest).read_bytes())
    data[len(data) // 2] ^= 1
    with spoilt(sound.file(manifest), bytes(data)):
        report = audit(sound.settings, deep=deep)
        said = command(sound, "audit", *(["--deep"] if deep else []))
    assert len(report.findings.problems) == 1
    assert f"{manifest.path} is damaged" in problems(report)
    assert said.exit_code == 1
    assert f"first broken offset: {sound.topic}/0/{manifest.first_offset}" in said.stdout


def test_a_shortened_file_is_named(sound: Stage) -> None:
    """By its size, without reading it."""
    manifest = sound.manifests[0]
    with spoilt(sound.file(manifest), sound.file(manifest).read_bytes()[:-1]):
        report = audit(sound.settings)
    assert f"has {manifest.bytes - 1:,} bytes; the manifest says {manifest.bytes:,}" in problems(report)


def test_a_removed_manifest_is_named(stage: Stage) -> None:
    """The batches topic lost its beginning: which file has no manifest, and which offset is nowhere, is said."""
    removed = [one.manifest for one in asyncio.run(read_manifests(stage.settings)) if one.manifest.site_id == "S1"]
    batches = stage.settings.topics.name(TopicRole.BATCHES)
    partition = partition_of("S1", 6)
    remove_records(stage, TopicPartition(batches, partition, 1))
    first = min(removed, key=lambda manifest: manifest.checkpoint_seq)
    shallow, deep = audit(stage.settings), audit(stage.settings, deep=True)
    for report in (shallow, deep):
        assert f"{batches}/{partition}: its manifests before offset 1 were removed" in problems(report)
        assert f"no manifest names the file {first.path}" in problems(report)
        assert f"{first.record_count} are missing" in problems(report)
    assert f"offset {first.first_offset} was delivered and is in no batch" in problems(deep)


def test_a_manifest_sent_twice_is_named(stage: Stage) -> None:
    """The same batch id at two places of the batches topic."""
    manifest = stage.manifests[0]
    asyncio.run(stage.send(TopicRole.BATCHES, manifest.site_id, encode(manifest)))
    report = audit(stage.settings)
    assert f"batch {manifest.batch_id} is announced twice" in problems(report)
    assert "too many" in problems(report)


def test_a_doubled_batch_is_named(stage: Stage) -> None:
    """A copy of a file under another name, with a manifest of its own: both batches, and the first doubled offset."""
    manifest = stage.manifests[0]
    twin = structs.replace(manifest, batch_id="twin", path="orders/twin.avro")
    shutil.copy(stage.file(manifest), stage.file(twin))
    asyncio.run(stage.send(TopicRole.BATCHES, manifest.site_id, encode(twin)))
    shallow, deep = audit(stage.settings), audit(stage.settings, deep=True)
    assert f"batch twin doubles batch {manifest.batch_id}" in problems(shallow)
    also = f"offset {manifest.first_offset} is in batch twin and also in batch {manifest.batch_id}"
    assert also in problems(deep)


def test_a_manifest_without_a_checkpoint_is_named(stage: Stage) -> None:
    """Somebody announced a batch for a checkpoint that was never committed."""
    stray = structs.replace(stage.manifests[0], batch_id="stray", checkpoint_seq=99)
    asyncio.run(stage.send(TopicRole.BATCHES, stray.site_id, encode(stray)))
    assert "batch stray is announced for checkpoint 99" in problems(audit(stage.settings))


def test_a_batch_that_is_not_what_its_manifest_says_is_named(stage: Stage) -> None:
    """Size and SHA-256 fit, the content does not: only the deep audit can see that."""
    manifest = stage.manifests[0]
    other = next(m for m in stage.manifests if m.site_id != manifest.site_id)
    content = {"bytes": other.bytes, "sha256": other.sha256, "path": "orders/forged.avro"}
    forged = structs.replace(manifest, batch_id="forged", **content)
    shutil.copy(stage.file(other), stage.file(forged))
    asyncio.run(stage.send(TopicRole.BATCHES, manifest.site_id, encode(forged)))
    report = audit(stage.settings, deep=True)
    assert "sites: the manifest says" in problems(report)


def test_expired_dead_letters_are_a_note(stage: Stage) -> None:
    """The dead-letter topic keeps 90 days; what has expired there is no loss."""
    letters = stage.settings.topics.name(TopicRole.DEAD_LETTERS)
    remove_records(stage, *(TopicPartition(letters, partition, OFFSET_END) for partition in range(6)))
    report = audit(stage.settings, deep=True)
    assert report.complete, problems(report)
    assert any("older ones have expired" in note for note in report.findings.notes)


def test_something_else_among_the_manifests_is_named_and_stops_gc(stage: Stage) -> None:
    """As long as it is not known what is announced, nothing may be removed."""
    asyncio.run(stage.send(TopicRole.BATCHES, "S1", b'{"batch_id": 7}'))
    left = orphan(stage, seq=1)
    assert "is no Manifest" in problems(audit(stage.settings))
    assert command(stage, "gc").exit_code == 1
    assert (stage.root / left).exists()


async def test_writers_of_the_audit_log_keep_it_one_chain(stage: Stage) -> None:
    """Two that take turns, and many at once: each reads what the others wrote before it appends."""

    def entry(why: str) -> AuditEntry:
        return AuditEntry(at=1, who="w", action="park", why=why)

    await stage.send(TopicRole.AUDIT_LOG, "", encode(entry("of a version without chain")))
    async with AuditLog(stage.settings) as one, AuditLog(stage.settings) as other:
        for writer in (one, other, other, one):
            await writer.write(entry("in turn"))
    async with AuditLog(stage.settings) as one, AuditLog(stage.settings) as other:
        await asyncio.gather(*(writer.write(entry("at once")) for writer in (one, other)))
    trail = await examine_trail(stage.settings)
    assert (trail.entries, trail.unchained, trail.problem) == (7, 1, None)


def test_a_forged_audit_log_is_named(stage: Stage) -> None:
    """An entry past the writer breaks the chain: exit 1. A head that was noted is found, or its end was cut off."""
    asyncio.run(write_entries(stage.settings, 3))
    said = json.loads(command(stage, "audit", "--json").stdout)
    noted = said["audit_log"]["head"]
    assert said["audit_log"] == {"entries": 3, "head": noted, "intact": True, "unchained": 0, "problem": None}
    asyncio.run(write_entries(stage.settings, 2))
    assert command(stage, "audit", "--head", noted).exit_code == 0
    cut = command(stage, "audit", "--head", "f" * 64)
    assert cut.exit_code == 1
    assert "that was noted is not in it" in cut.stdout
    forged = AuditEntry(at=1, who="nobody", action="discard", seq=6, prev="0" * 64, hash="0" * 64)
    asyncio.run(stage.send(TopicRole.AUDIT_LOG, "", encode(forged)))
    report = command(stage, "audit")
    assert report.exit_code == 1
    assert "the chain of the audit log: entry 6: its hash is not that of its content" in report.stdout
    asyncio.run(stage.send(TopicRole.AUDIT_LOG, "", b"garbage"))
    asyncio.run(write_entries(stage.settings, 1))  # what is only appended is not held up by it
    assert json.loads(command(stage, "audit", "--json").stdout)["audit_log"]["entries"] == 8
    assert "is no AuditEntry" in str(command(stage, "dlq", "replay", "--class", "bad_format").exception)


async def write_entries(settings: Settings, count: int) -> None:
    """So many, through the writer."""
    async with AuditLog(settings) as log:
        await log.write(*(AuditEntry(at=n, who="w", action="park") for n in range(count)))


def test_gc_removes_what_no_manifest_will_ever_name(stage: Stage) -> None:
    """A leftover of a committed checkpoint goes; one of a checkpoint to come, every batch, and strangers stay."""
    named = {manifest.path for manifest in stage.manifests}
    old, new = orphan(stage, seq=2), orphan(stage, seq=4)
    stranger = stage.root / "README.txt"
    stranger.write_text("not ours")
    dry = json.loads(command(stage, "gc", "--dry-run", "--json").stdout)
    assert (dry["removed"], dry["kept"], dry["foreign"]) == ([old], [new], ["README.txt"])
    assert (stage.root / old).exists()
    assert audit(stage.settings).complete
    assert command(stage, "gc").exit_code == 0
    left = {str(path.relative_to(stage.root)) for path in stage.root.rglob("*.*") if path.is_file()}
    assert left == named | {new, "README.txt"}
    assert audit(stage.settings, deep=True).complete


def test_gc_removes_temporary_files_of_workers_that_are_gone(stage: Stage) -> None:
    """Those of a worker that is in the group stay however old they are, and so do new ones."""
    members = {"group.id": stage.settings.kafka.stream_group, "group.instance.id": "quiet"}
    consumer = Consumer({"bootstrap.servers": stage.settings.kafka.bootstrap_servers, **members})
    consumer.subscribe([stage.topic])
    assert until(lambda: consumer.poll(0.1) is not None or bool(consumer.assignment()), 30)
    for worker, age_s in (("gone", 100_000), ("quiet", 100_000), ("late", 60)):
        file = stage.root / ".tmp" / worker / "orders-0.1"
        file.parent.mkdir()
        file.write_bytes(bytes(1000))
        os.utime(file, (time.time() - age_s,) * 2)
    dry = json.loads(command(stage, "gc", "--dry-run", "--json").stdout)
    assert (dry["workers"], dry["temporary_bytes"]) == (["gone"], 1000)
    assert "temporary files of gone" in command(stage, "gc").stdout
    assert sorted(file.parent.name for file in (stage.root / ".tmp").glob("*/*")) == ["late", "quiet"]
    consumer.close()


def test_gc_leaves_the_batches_of_another_pipeline_alone(stage: Stage) -> None:
    """They are in no manifest of this one, and look like leftovers. The same goes for a store that nobody claimed."""
    left = orphan(stage, seq=2)
    claim = stage.root / ".tmp" / "pipeline"
    claim.write_text("other.velocity.batches.v1 some-id")
    refused = command(stage, "gc").exception
    assert isinstance(refused, SettingsRefused)
    assert "belongs to another pipeline" in str(refused)
    claim.unlink()
    refused = command(stage, "gc").exception
    assert isinstance(refused, SettingsRefused)
    assert "nobody has claimed" in str(refused)
    assert (stage.root / left).exists()


def remove_records(stage: Stage, *before: TopicPartition) -> None:
    """Remove the records of these partitions before these offsets."""
    admin = admin_client(stage.settings.kafka)  # a client that is collected never answers
    for future in admin.delete_records(list(before)).values():
        future.result(timeout=20)


def orphan(stage: Stage, seq: int) -> str:
    """A whole file that no transaction announced, as a crash leaves it behind; its path."""
    name = BatchName(Source.ORDERS, "S1", START, 0, seq, 0, 9, "0" * 8)
    (stage.root / name.path).parent.mkdir(parents=True, exist_ok=True)
    (stage.root / name.path).write_bytes(b"left over")
    return name.path


def command(stage: Stage, *arguments: str) -> Result:
    """Run the command line on this state."""
    flags = {
        "kafka.bootstrap_servers": stage.settings.kafka.bootstrap_servers,
        "kafka.stream_group": stage.settings.kafka.stream_group,
        "topics.prefix": stage.settings.topics.prefix,
        "store.url": stage.settings.store.url,
    }
    sets = [part for name, value in flags.items() for part in ("--set", f"{name}={value}")]
    return CliRunner().invoke(app, [*sets, *arguments])
