"""Traces: whose they continue, what they cost when they are off, and what never gets into them."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from aiokafka.structs import ConsumerRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from stream_worker_world import KAFKA_TIME_MS, ORDERS, WorkerWorld, orders

from batcher.outbox import OutboxRow
from batcher.traces import SiteTraces
from runtime.record_batches import Records
from runtime.settings import TracesSettings
from runtime.tracing import FLUSH_S, NO_SPAN, OFF, ExportingTracing, open_tracing, sampled_traceparent
from schemas.records import Manifest
from streams.fetch_lane import Fetch
from streams.trace_book import TraceBook

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{'1' * 32}-{'2' * 16}-01"


class Traced:
    """Tracing whose spans stay here."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = ExportingTracing(self._exporter, "test", "w1", sample_ratio=0.0)

    def spans(self) -> list[ReadableSpan]:
        """The ended spans."""
        self.tracing.close()
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        """The one span of a name."""
        (span,) = [span for span in self.spans() if span.name == name]
        return span


@pytest.fixture
def traced() -> Iterator[Traced]:
    """On, beginning no traces of its own."""
    yield Traced()


def record(offset: int, value: bytes, traceparent: str | None = None) -> ConsumerRecord:
    """A record that may belong to a trace."""
    headers = [("traceparent", traceparent.encode())] if traceparent else []
    return ConsumerRecord(*ORDERS, offset, KAFKA_TIME_MS, 0, b"key", value, None, 1, len(value), headers)


def context_of(span: ReadableSpan) -> str:
    """A span as others name it."""
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def parent_of(span: ReadableSpan) -> str:
    """The span's parent, likewise."""
    assert span.parent is not None
    return f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-01"


# -- off ---------------------------------------------------------------------------------------------------------------


def test_without_an_endpoint_opentelemetry_is_not_even_imported() -> None:
    """Neither by the workers' modules nor by opening traces that are off."""
    code = (
        "import sys, streams.process, batcher.worker\n"
        "from runtime.settings import TracesSettings\n"
        "from runtime.tracing import open_tracing\n"
        "open_tracing(TracesSettings(), 'stream', 'w').start('fetch').end()\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert open_tracing(TracesSettings(), "stream", "w") is OFF
    assert OFF.start("fetch", [SAMPLED]) is NO_SPAN


async def test_without_tracing_no_record_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path asks once per fetch whether there is anything to do."""

    def forbidden(*_: object) -> None:
        raise AssertionError("traces are off")

    monkeypatch.setattr(TraceBook, "fetched", forbidden)
    monkeypatch.setattr(TraceBook, "batched", forbidden)
    world = WorkerWorld(tmp_path)
    await world.take([*orders(3), *orders(1, start=9, at="2026-03-01T11:15:00Z")])
    await world.ticked()
    assert [manifest.traceparent for manifest in world.ledger.entries[0].manifests] == [None]


# -- headers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (SAMPLED.encode(), SAMPLED),
        (f"00-{TRACE}-{SPAN}-00".encode(), None),
        (f"00-{'0' * 32}-{SPAN}-01".encode(), None),
        (b"\xff\xfe garbage", None),
        (b"", None),
        (None, None),
    ],
)
def test_only_a_well_formed_sampled_context_is_continued(value: bytes | None, found: str | None) -> None:
    """What a producer writes there is not ours to trust."""
    assert sampled_traceparent([("x", b"y"), ("traceparent", value)]) == found
    assert sampled_traceparent([]) is None


# -- from a fetch to a manifest ----------------------------------------------------------------------------------------


async def _batched(folder: Path, traced: Traced, *traceparents: str | None) -> list[Manifest]:
    """Orders of one window with these contexts, then one that closes it; the manifests of the checkpoint."""
    world = WorkerWorld(folder, tracing=traced.tracing)
    values = [*orders(len(traceparents)), *orders(1, start=99, at="2026-03-01T11:15:00Z")]
    contexts = [*traceparents, None]
    records = [record(index, *pair) for index, pair in enumerate(zip(values, contexts, strict=True))]
    await world.worker.take(Fetch(*ORDERS, 1, 0, len(records), Records.of(records)))
    await world.ticked()
    return world.ledger.entries[0].manifests


async def test_a_batch_continues_the_trace_of_an_event_in_it(tmp_path: Path, traced: Traced) -> None:
    """Event → fetch → batch → manifest, each the child of the one before."""
    (manifest,) = await _batched(tmp_path, traced, None, SAMPLED, None)
    fetch, batch = traced.named("fetch"), traced.named("batch")
    assert parent_of(fetch) == SAMPLED
    assert parent_of(batch) == context_of(fetch)
    assert manifest.traceparent == context_of(batch)


async def test_further_traces_of_a_fetch_are_linked(tmp_path: Path, traced: Traced) -> None:
    """A fetch has one parent; the first wins."""
    await _batched(tmp_path, traced, SAMPLED, OTHER)
    fetch = traced.named("fetch")
    assert parent_of(fetch) == SAMPLED
    assert [f"{link.context.trace_id:032x}" for link in fetch.links] == ["1" * 32]


async def test_nothing_of_a_record_gets_into_a_span(tmp_path: Path, traced: Traced) -> None:
    """Neither key nor value: counts, names of topics and batches, sites."""
    await _batched(tmp_path, traced, SAMPLED)
    said = " ".join(str(dict(span.attributes or {})) for span in traced.spans())
    assert "velocity.batch_id" in said
    assert not any(secret in said for secret in ("'key'", "e0", "event_id", "sku"))


async def test_records_without_a_trace_begin_one_as_often_as_is_asked_for(tmp_path: Path, traced: Traced) -> None:
    """A ratio of 0 is never: neither spans nor a context in the manifest."""
    (manifest,) = await _batched(tmp_path, traced, None)
    assert traced.spans() == []
    assert manifest.traceparent is None


# -- from a manifest to coefficients -----------------------------------------------------------------------------------


async def test_facts_recalculation_and_publication_follow(tmp_path: Path, traced: Traced) -> None:
    """A calculation of an earlier instant leaves the trace to the one that counts its event."""
    (manifest,) = await _batched(tmp_path, traced, SAMPLED)
    traces, rows = (
        SiteTraces(traced.tracing),
        [OutboxRow(1, "S1/rolling_30d/A", "{}"), OutboxRow(2, "S2/rolling_30d/A", None)],
    )
    traces.loaded([manifest], 0.0)
    with traces.calculating("S1", manifest.min_event_time, newest=True):
        pass
    with traces.publishing(rows) as carried:
        assert carried == {}
    with traces.calculating("S1", manifest.max_event_time + 1, newest=True):
        pass
    due = traces.calculated(lambda _: 0, 0)
    assert traces.calculated(lambda _: 0, 1) == {}
    with traces.publishing(rows) as carried:
        assert set(carried) == {"S1"}
    facts, calculation, publication = (traced.named(name) for name in ("facts", "recalculation", "publication"))
    assert [parent_of(span) for span in (facts, calculation, publication)] == [
        manifest.traceparent,
        context_of(facts),
        context_of(calculation),
    ]
    assert carried["S1"] == context_of(publication)
    traces.published(due)
    with traces.publishing(rows) as carried:
        assert carried == {}


class Hanging(SpanExporter):
    """A collector that takes a connection and never answers."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        time.sleep(30)
        return SpanExportResult.FAILURE


def test_a_collector_that_hangs_does_not_keep_a_worker_from_stopping() -> None:
    """What could not be sent in a moment is lost; a stop may take ten seconds in all."""
    tracing = ExportingTracing(Hanging(), "test", "w1", sample_ratio=1.0)
    tracing.start("fetch").end()
    started = time.monotonic()
    tracing.close()
    assert time.monotonic() - started < FLUSH_S + 1
