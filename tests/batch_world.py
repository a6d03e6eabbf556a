"""What a batch worker sees of the stream workers: batch files, manifests and frontier records, made to measure."""

import json
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Producer
from pipeline_world import PipelineWorld, WorkerProcess, until
from prometheus_client.parser import text_string_to_metric_families

from console.tokens import create
from runtime.access import Role
from runtime.settings import StoreSettings
from runtime.store import BatchStore, open_store
from schemas.codecs import encode
from schemas.coefficients import Coefficient, decode_coefficient
from schemas.records import BatchKind, ClosedBy, Counts, Frontier, Manifest, OpenWindow, Window
from schemas.sources import Source
from streams.batch_file import BatchFormat
from streams.batch_writer import BatchWriter

HOUR = 3_600_000
NOON = 1_774_699_200_000  # 2026-03-28T12:00Z
FAST_BATCH = {
    "VELOCITY_BATCH__RETRY_BACKOFF": "PT0.2S",
    "VELOCITY_TOPICS__PARTITIONS": json.dumps({"orders": 1, "returns": 1, "cycle_counts": 1, "batches": 2}),
}


@dataclass(frozen=True)
class Order:
    """One order line at an instant."""

    event_id: str
    sku: str
    at_ms: int
    quantity: float = 1.0
    site_id: str = "A"
    uom: str = "EA"

    def row(self, offset: int) -> dict[str, Any]:
        """As it stands in a batch file."""
        return {
            "event_id": self.event_id,
            "site_id": self.site_id,
            "sku": self.sku,
            "event_time": self.at_ms,
            "quantity": self.quantity,
            "uom": self.uom,
            "order_id": "o",
            "line": 1,
            "channel": None,
            "promo_id": None,
            "source_offset": offset,
            "window_start": self.at_ms - self.at_ms % HOUR,
        }


@dataclass
class SourcePartition:
    """What a stream worker has said about a source's only partition."""

    seq: int = 0
    position: int = 0
    frontier: int | None = None
    announced: dict[int, int] = field(default_factory=dict)


class BatchWorld:
    """A pipeline without stream workers: the test says what they would."""

    def __init__(self, world: PipelineWorld) -> None:
        self.world = world
        self.token: str | None = None
        world.extra |= FAST_BATCH
        world.apply_topics()
        self.store: BatchStore = open_store(StoreSettings(url=str(world.directory / "store")))
        self.sources = {source: SourcePartition() for source in Source}
        self._producer = Producer(
            {
                "bootstrap.servers": world.bootstrap,
                "transactional.id": world.name,
                "partitioner": "murmur2_random",  # as the stream workers place sites
            }
        )
        self._producer.init_transactions(30)

    def want_tokens(self) -> str:
        """Workers that are started from now on want a token; returns that of an operator, which they have too."""
        file = self.world.directory / "tokens.json"
        self.token = create(file, "test", Role.OPERATOR)
        self.world.extra |= {"VELOCITY_SERVE__TOKENS_FILE": str(file), "VELOCITY_SERVE__TOKEN": self.token}
        return self.token

    # -- what stream workers say ---------------------------------------------------------------------------------------

    def checkpoint(
        self,
        source: Source,
        frontier_ms: int,
        orders: Iterable[Order] = (),
        *,
        kind: BatchKind = BatchKind.ON_TIME,
        idle: bool = False,
        opened: Sequence[OpenWindow] = (),
    ) -> list[Manifest]:
        """Write a batch per site and window (a correction per site), announce them, and move the frontier."""
        state = self.sources[source]
        state.seq += 1
        state.frontier = max(frontier_ms, state.frontier or frontier_ms)
        manifests = [self._write(source, group, kind) for group in _grouped(orders, kind)]
        self._producer.begin_transaction()
        for manifest in manifests:
            self.announce(manifest, state)
        self._producer.flush(10)
        record = self._frontier(source, state, idle, tuple(opened))
        self._send("velocity.frontiers.v1", record.key, encode(record))
        self._producer.commit_transaction(10)
        return manifests

    def pass_all(self, frontier_ms: int) -> None:
        """Every source partition moves its frontier and announces nothing."""
        for source in Source:
            self.checkpoint(source, frontier_ms)

    def announce(self, manifest: Manifest, state: SourcePartition) -> None:
        """Put a manifest on the batches topic."""

        def delivered(error: Any, message: Any) -> None:
            assert error is None, error
            state.announced[message.partition()] = message.offset()

        self._send("velocity.batches.v1", manifest.site_id, encode(manifest), delivered)

    def _send(self, topic: str, key: str, value: bytes, on_delivery: Any = None) -> None:
        self._producer.produce(self.world.topic(topic), value, key=key.encode(), on_delivery=on_delivery)

    def backlog(self, files: int, rows_per_file: int) -> None:
        """Announce files of orders of an hour each, all of site A and with ids of their own, and nothing else."""
        state, form, count = self.sources[Source.ORDERS], BatchFormat(Source.ORDERS, "deflate"), rows_per_file
        self._producer.begin_transaction()
        for number in range(files):
            start, first = NOON + number * HOUR, state.position
            row = Order("", "", start).row(0)
            columns = {name: pa.repeat(pa.scalar(row[name], form.rows_schema.field(name).type), count) for name in row}
            columns["event_id"] = pa.array([f"event-{first + index:020d}" for index in range(count)])
            columns["sku"] = pa.array([f"SKU-{index % 20_000:06d}" for index in range(count)])
            columns["source_offset"] = pa.array(range(first, first + count))
            rows = pa.table({name: columns[name] for name in form.rows_schema.names}, form.rows_schema)
            self.announce(self._write_rows(Source.ORDERS, rows, "A", BatchKind.ON_TIME), state)
        self._producer.commit_transaction(10)

    def _write(self, source: Source, orders: list[Order], kind: BatchKind) -> Manifest:
        first = self.sources[source].position
        rows = [order.row(first + index) for index, order in enumerate(orders)]
        table = pa.Table.from_pylist(rows, BatchFormat(source, "deflate").rows_schema)
        return self._write_rows(source, table, orders[0].site_id, kind)

    def _write_rows(self, source: Source, rows: pa.Table, site_id: str, kind: BatchKind) -> Manifest:
        state = self.sources[source]
        form = BatchFormat(source, "deflate")
        first = state.position
        state.position += len(rows)
        starts = sorted(rows.column("window_start").unique().to_pylist())
        windows = tuple(Window(start, start + HOUR) for start in starts)
        times = pc.min_max(rows.column("event_time")).as_py()
        writer = BatchWriter(form, self.store, "test", source, 0, site_id, 10_000)
        writer.add(rows)
        window = windows[0] if kind is BatchKind.ON_TIME else None
        batch_id, stored = writer.finish(window, state.seq, first, state.position - 1)
        return Manifest(
            batch_id=batch_id,
            source=source,
            source_topic=self.world.source_topic(source),
            source_partition=0,
            site_id=site_id,
            kind=kind,
            windows=windows,
            record_count=len(rows),
            first_offset=first,
            last_offset=state.position - 1,
            min_event_time=times["min"],
            max_event_time=times["max"],
            path=stored.path,
            bytes=stored.bytes,
            sha256=stored.sha256,
            schema_fingerprint=form.schema_fingerprint,
            codec="deflate",
            block_count=1,
            closed_by=ClosedBy.WATERMARK,
            checkpoint_seq=state.seq,
            settings_hash="test",
            pipeline_version="test",
        )

    def _frontier(self, source: Source, state: SourcePartition, idle: bool, opened: tuple[OpenWindow, ...]) -> Frontier:
        return Frontier(
            source=source,
            source_topic=self.world.source_topic(source),
            source_partition=0,
            topic_id="test",
            checkpoint_seq=state.seq,
            position=state.position,
            frontier=state.frontier,
            max_event_time=state.frontier,
            committed=state.position,
            settings_hash="test",
            manifests=dict(state.announced),
            open_windows=opened,
            counts=Counts(delivered=state.position, batched=state.position),
            idle=idle,
            worker_id="test",
            pipeline_version="test",
            checkpoint_at=state.frontier or 0,
        )

    # -- batch workers and what they say -------------------------------------------------------------------------------

    def start(self, worker_id: str, port: int, **environment: str) -> "BatchWorker":
        """Start a batch worker whose API answers at a port."""
        url = f"http://127.0.0.1:{port}"
        worker = self.world.start("batch", worker_id, VELOCITY_API__URL=url, **environment)
        return BatchWorker(url, worker, self.token)

    def published(self) -> dict[str, Coefficient | None]:
        """The newest record of each key on the coefficients topic; None is a tombstone."""
        newest: dict[str, Coefficient | None] = {}
        for message in self.world.read(self.world.topic("velocity.coefficients.v1")):
            value = message.value()
            newest[message.key().decode()] = None if value is None else decode_coefficient(value)
        return newest

    def publications(self) -> int:
        """How many records the coefficients topic has."""
        return len(self.world.read(self.world.topic("velocity.coefficients.v1")))


@dataclass
class BatchWorker:
    """A batch worker under test."""

    url: str
    worker: WorkerProcess
    token: str | None = None

    def ask(self, path: str, body: Any = None, *, accept: str = "application/json") -> tuple[int, Any]:
        """Status and JSON body (bytes for anything else); status 0 where nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                content = answer.read()
                is_json = answer.headers.get_content_type() == "application/json"
                return answer.status, json.loads(content) if is_json else content
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, None

    def until_ready(self, within_s: float = 30.0) -> None:
        """Wait until it is ready; fails with its log."""
        assert until(lambda: self.ask("/readyz")[0] == 200, within_s), self.worker.text

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.ask("/metrics")[1].decode()
        families = text_string_to_metric_families(text)
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def compute(self, *skus: str, **more: Any) -> tuple[int, Any]:
        """Ask for coefficients."""
        return self.ask("/api/v1/velocity/compute", {"skus": list(skus), **more})

    def as_of(self, site_id: str) -> str | None:
        """The instant of a site's newest calculation, if it has one."""
        status, body = self.compute("X", site_id=site_id)
        return body["as_of"] if status == 200 else None


def _grouped(orders: Iterable[Order], kind: BatchKind) -> list[list[Order]]:
    groups: dict[tuple[str, int], list[Order]] = defaultdict(list)
    for order in orders:
        groups[order.site_id, order.at_ms // HOUR if kind is BatchKind.ON_TIME else 0].append(order)
    return [groups[key] for key in sorted(groups)]
