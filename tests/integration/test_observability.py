"""What is seen from outside of real workers on a real broker: one event's trace, and what `velocity top` says."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pipeline_world import PipelineWorld, until
from stream_worker_world import orders

from sandbox.kafka.probe import free_port
from sandbox.wms import FakeWms
from schemas.sources import Source

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "SKU-SECRET"


class Collector:
    """An OTLP/HTTP endpoint that keeps the spans it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ExportTraceServiceRequest.FromString(body)
                spans.extend(s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Any]:
        """The spans of a name that belong to the trace."""
        return [span for span in list(self.spans) if span.name == name and span.trace_id.hex() == TRACE]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Listening."""
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def wms() -> Iterator[FakeWms]:
    """A WMS that answers, in a thread of its own."""
    loop, wms = asyncio.new_event_loop(), FakeWms()
    loop.run_until_complete(wms.__aenter__())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield wms
    asyncio.run_coroutine_threadsafe(wms.__aexit__(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def order(event_id: str, sku: str, at: str) -> bytes:
    """A valid order."""
    return json.dumps({**json.loads(orders(1, at=at)[0]), "event_id": event_id, "sku": sku}).encode()


def test_one_trace_follows_an_event_from_kafka_to_its_coefficient_and_the_wms(
    world: PipelineWorld, collector: Collector, wms: FakeWms
) -> None:
    """Event → fetch → batch → facts → recalculation → publication and delivery → headers of record and request."""
    world.extra = {
        "VELOCITY_SINKS__WMS__KIND": "http",
        "VELOCITY_SINKS__WMS__URLS": wms.url,
        "VELOCITY_SINKS__WMS__WHEN": "always",
        "VELOCITY_API__URL": f"http://127.0.0.1:{free_port()}",
        "VELOCITY_TRACES__ENDPOINT": collector.url,
        "VELOCITY_TRACES__SAMPLE_RATIO": "0",
    }
    world.start("batch", "b1")
    world.start("stream", "s1")
    producer = Producer({"bootstrap.servers": world.bootstrap})
    topic, header = world.source_topic(Source.ORDERS), ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())
    producer.produce(topic, order("E1", SECRET, "2026-03-01T10:15:00Z"), key=b"K-SECRET", partition=0, headers=[header])
    producer.produce(topic, order("E2", "OTHER", "2026-03-01T10:20:00Z"), partition=1)
    producer.flush(10)
    world.drain()
    assert until(lambda: len(collector.named("publication")) == 1, 30), world.logs
    parent = SPAN
    for name in ("fetch", "batch", "facts", "recalculation", "publication"):
        assert until(lambda name=name: len(collector.named(name)) == 1, 10), (name, world.logs)
        (span,) = collector.named(name)
        assert span.parent_span_id.hex() == parent, name
        parent = span.span_id.hex()
    published = {m.key().decode(): m for m in world.read(world.topic("velocity.coefficients.v1"))}
    assert dict(published[f"S1/rolling_30d/{SECRET}"].headers()) == {"traceparent": f"00-{TRACE}-{parent}-01".encode()}
    assert until(lambda: len(collector.named("delivery")) == 1, 30), world.logs
    (calculated,), (delivered,) = collector.named("recalculation"), collector.named("delivery")
    assert delivered.parent_span_id == calculated.span_id
    assert f"00-{TRACE}-{delivered.span_id.hex()}-01" in [request.get("traceparent") for request in wms.headers]
    assert ("S1", SECRET) in wms.rows
    (manifest,) = [m for m in world.manifests() if m.source_partition == 0]
    assert manifest.traceparent == f"00-{TRACE}-{collector.named('batch')[0].span_id.hex()}-01"
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert not any(b"SECRET" in span.SerializeToString() for span in collector.spans)


def test_top_shows_both_workers_and_says_who_does_not_answer(world: PipelineWorld) -> None:
    """By their real /metrics; what it shows is what was sent. Every series that it asks for is there."""
    ports = free_port(), free_port()
    world.extra = {"VELOCITY_API__URL": f"http://127.0.0.1:{ports[0]}", "VELOCITY_STREAM__HTTP_PORT": str(ports[1])}
    world.start("batch", "b1")
    stream = world.start("stream", "s1")
    world.produce(Source.ORDERS, orders(50))
    world.drain()

    def seen() -> dict[str, Any]:
        said = {
            worker["stage"]: worker for worker in json.loads(world.run("top", "--json", check=False).stdout)["workers"]
        }
        return said if said["batch"].get("figures", {}).get("published") else {}

    assert until(lambda: bool(seen()), 30), world.logs
    said = seen()
    assert said["stream"]["ready"] and said["batch"]["ready"]
    assert said["stream"]["backpressure"] == "none"
    assert said["stream"]["sources"]["orders"]["lag"] == 0
    assert said["stream"]["figures"]["open windows"] == 0
    assert None not in [*said["stream"]["figures"].values(), *said["batch"]["figures"].values()]
    exported = "".join(urlopen(f"http://127.0.0.1:{port}/metrics").read().decode() for port in ports)
    assert 'velocity_stream_records_total{source="orders"} 50.0' in exported
    assert stream.terminate() == 0
    plain = world.run("top", "--once", "--interval", "0.2", check=False)
    assert plain.returncode == 1
    assert f"stream http://127.0.0.1:{ports[1]}: does not answer: nobody listens there" in plain.stdout
    assert "batch http" in plain.stdout
