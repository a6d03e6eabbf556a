"""Traces by OpenTelemetry, over OTLP/HTTP. Off unless `traces.endpoint` is set; then nothing of it is even imported.

What is traced hangs on `Tracing`: the one that does nothing, or the one that exports. A span is told to other processes
by its W3C `traceparent`, which rides in Kafka headers and in manifests.
"""

import re
import time
from collections.abc import Iterable, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Literal

from runtime.refusals import SettingsRefused
from runtime.settings import TracesSettings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import SpanContext

TRACEPARENT = "traceparent"
FLUSH_S = 1.5  # at a stop, of the 10 s that it may take
EXPORT_S = 5
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")

Attribute = str | int | float | bool
Kind = Literal["consumer", "producer", "internal"]


def sampled_traceparent(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The `traceparent` of a record's headers, if it is well formed and says that its trace is recorded."""
    for name, value in headers:
        if name == TRACEPARENT and value:
            text = value.decode("ascii", "replace")
            return text if _is_sampled(text) else None
    return None


def _is_sampled(text: str) -> bool:
    found = _TRACEPARENT.fullmatch(text)
    return found is not None and bool(int(found[3], 16) & 1)


class Span:
    """A span that is not recorded. `traceparent` names it to others; None where there is nothing to name."""

    traceparent: str | None = None

    def end(self, **attributes: Attribute) -> None:
        """It is over; attributes say what became of it."""


NO_SPAN = Span()


class Tracing:
    """Traces nothing."""

    on = False

    def start(
        self,
        name: str,
        parents: Sequence[str] = (),
        *,
        kind: Kind = "internal",
        began_ns: int | None = None,
        **attributes: Attribute,
    ) -> Span:
        """Begin a span that continues the first of `parents` and links to the others; without any it may begin a trace.

        `began_ns` is when it began, by the wall clock, if that was earlier. Dots of attribute names are written `__`.
        """
        return NO_SPAN

    def close(self) -> None:
        """Send what has not been sent, within a moment. Blocks."""


OFF = Tracing()


def open_tracing(settings: TracesSettings, stage: str, worker_id: str) -> Tracing:
    """What the settings say.

    Raises:
        SettingsRefused: OpenTelemetry is not installed.
    """
    if settings.endpoint is None:
        return OFF
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError as error:
        raise SettingsRefused(
            "VELOCITY_TRACES__ENDPOINT is set, but OpenTelemetry is not installed: "
            "pip install 'velocity-slotting[traces]'"
        ) from error
    exporter = OTLPSpanExporter(endpoint=f"{settings.endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_S)
    return ExportingTracing(exporter, stage, worker_id, settings.sample_ratio)


class ExportingTracing(Tracing):
    """Hands spans to an exporter, in a thread of its own; an exporter that fails loses spans and nothing else."""

    on = True

    def __init__(self, exporter: "SpanExporter", stage: str, worker_id: str, sample_ratio: float) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

        resource = Resource.create({"service.name": f"velocity-{stage}", "service.instance.id": worker_id})
        sampler = ParentBasedTraceIdRatio(sample_ratio)
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1_000))
        self._tracer = self._provider.get_tracer("velocity")

    def start(
        self,
        name: str,
        parents: Sequence[str] = (),
        *,
        kind: Kind = "internal",
        began_ns: int | None = None,
        **attributes: Attribute,
    ) -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, SpanKind

        contexts = [context for parent in dict.fromkeys(parents) if (context := _context_of(parent))]
        span = self._tracer.start_span(
            name,
            context=_within(contexts[0]) if contexts else Context(),
            kind=SpanKind[kind.upper()],
            attributes=_dotted(attributes),
            links=[Link(context) for context in contexts[1:]],
            start_time=began_ns,
        )
        return _Recorded(span)

    def close(self) -> None:
        flushing = Thread(target=self._provider.force_flush, daemon=True)  # it takes its time, whatever it is told
        flushing.start()
        flushing.join(FLUSH_S)


class _Recorded(Span):
    def __init__(self, span: "OtelSpan") -> None:
        self._span = span
        context = span.get_span_context()
        sampled = context.trace_flags.sampled
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01" if sampled else None

    def end(self, **attributes: Attribute) -> None:
        self._span.set_attributes(_dotted(attributes))
        self._span.end(time.time_ns())


def _context_of(traceparent: str) -> "SpanContext | None":
    from opentelemetry.trace import SpanContext, TraceFlags

    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16)))


def _within(context: "SpanContext") -> "Context":
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    return set_span_in_context(NonRecordingSpan(context), Context())


def _dotted(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {name.replace("__", "."): value for name, value in attributes.items()}
