"""`velocity top`: from samples to rates and rows, and whom it asks."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge

from console.errors import UsageError
from console.readings import read_all, samples_of, workers_of
from console.top import Reading, as_json, backpressure, rate, shown, table, total
from runtime.health import Health, add_health_routes, serve_http
from runtime.settings import ApiSettings, Settings, StreamSettings

RECORDS = "velocity_stream_records_total"


def reading(at_s: float, samples: Mapping[tuple[str, str], float], *, error: str | None = None) -> Reading:
    """A stream worker's, of (metric, source)."""
    found = {
        (name, frozenset({("source", source)} if source else ())): value for (name, source), value in samples.items()
    }
    return Reading("stream", "http://w:1", at_s, found, ready=True, error=error)


def test_a_rate_is_the_rise_between_two_readings_per_second() -> None:
    """Of one source, or of all."""
    before = reading(10.0, {(RECORDS, "orders"): 100, (RECORDS, "returns"): 5})
    now = reading(12.0, {(RECORDS, "orders"): 300, (RECORDS, "returns"): 9})
    assert rate(before, now, RECORDS, source="orders") == 100.0
    assert rate(before, now, RECORDS) == 102.0


def test_a_counter_that_went_back_was_begun_anew() -> None:
    """A restarted worker has read what it shows; the rate is neither negative nor that of its earlier life."""
    before = reading(10.0, {(RECORDS, "orders"): 1_000_000, (RECORDS, "returns"): 10})
    now = reading(12.0, {(RECORDS, "orders"): 50, (RECORDS, "returns"): 30})
    assert rate(before, now, RECORDS, source="orders") == 25.0
    assert rate(before, now, RECORDS) == 35.0


def test_a_series_that_has_just_begun_rose_from_zero() -> None:
    """A first dead letter of a class."""
    assert rate(reading(1.0, {}), reading(2.0, {(RECORDS, "orders"): 7}), RECORDS) == 7.0


def test_without_an_earlier_answer_there_is_no_rate() -> None:
    """Nor where the clock stands; totals are there."""
    now = reading(2.0, {(RECORDS, "orders"): 7})
    assert rate(None, now, RECORDS) is None
    assert rate(reading(1.0, {}, error="refused"), now, RECORDS) is None
    assert rate(now, now, RECORDS) is None
    assert total(now.samples, RECORDS) == 7
    assert total(now.samples, "velocity_open_windows") is None


def test_a_row_per_source_and_figures_of_the_whole() -> None:
    """What is not known is a dash in the table, and null for machines."""
    before = reading(0.0, {(RECORDS, "orders"): 0})
    now = reading(
        2.0, {(RECORDS, "orders"): 5, ("velocity_source_lag_records", "orders"): 1234, ("velocity_open_windows", ""): 3}
    )
    shape = table(before, now)
    assert shape.columns[:4] == ("source", "records/s", "bytes/s", "lag")
    assert shape.rows[0][:4] == ("orders", "2.5", "0", "1,234")
    assert shape.figures["open windows"] == "3"
    assert shape.figures["rows in memory"] == "-"
    said = as_json(None, now)
    assert said["figures"]["open windows"] == 3  # type: ignore[index]
    assert said["sources"]["orders"]["records/s"] is None  # type: ignore[index]


def test_a_worker_that_does_not_answer_is_said_to() -> None:
    """Instead of empty tables."""
    gone = reading(1.0, {}, error="Connection refused")
    assert table(None, gone).state == "does not answer: Connection refused"
    assert table(None, gone).rows == []
    assert as_json(None, gone) == {
        "stage": "stream",
        "url": "http://w:1",
        "answers": False,
        "error": "Connection refused",
    }


def test_backpressure_is_said_by_kind() -> None:
    """Kinds without a reason are not."""
    samples = {
        ("velocity_backpressure_reasons", frozenset({("kind", kind)})): value
        for kind, value in (("store", 2.0), ("backlog", 0.0))
    }
    assert backpressure(Reading("stream", "u", 0.0, samples)) == "store"
    assert backpressure(Reading("stream", "u", 0.0)) == "none"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0"), (2.25, "2.2"), (9.0, "9"), (12.6, "13"), (123456.0, "123,456")]
)
def test_figures_are_short(value: float | None, text: str) -> None:
    """Nobody reads decimals of a thousand."""
    assert shown(value) == text


# -- who is asked ------------------------------------------------------------------------------------------------------


def test_addresses_come_from_the_settings_unless_given() -> None:
    """One that listens everywhere is asked on this machine."""
    settings = Settings(
        stream=StreamSettings(http_host="0.0.0.0", http_port=1), api=ApiSettings(url="http://0.0.0.0:2")
    )
    assert workers_of(settings, [], []) == [("stream", "http://127.0.0.1:1"), ("batch", "http://127.0.0.1:2")]
    given = workers_of(settings, ["http://a:1/", "http://b:1"], ["http://c:1"])
    assert given == [("stream", "http://a:1"), ("stream", "http://b:1"), ("batch", "http://c:1")]


def test_what_is_no_address_is_refused() -> None:
    """And a port that only the worker's log tells has to be given."""
    with pytest.raises(UsageError, match="--stream"):
        workers_of(Settings(stream=StreamSettings(http_port=0)), [], [])
    with pytest.raises(UsageError, match="no address"):
        workers_of(Settings(), ["localhost:8081"], [])


@pytest.fixture
async def worker() -> AsyncIterator[str]:
    """A worker's HTTP side: two metrics, and a reason for not being ready."""
    registry, health = CollectorRegistry(), Health()
    Counter(RECORDS, "Records", ["source"], registry=registry).labels("orders").inc(3)
    Gauge("velocity_open_windows", "Windows", registry=registry).set(2)
    health.raise_reason("store check", "disk full")
    app = web.Application()
    add_health_routes(app, health, registry)
    runner, port = await serve_http(app, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_a_reading_is_what_the_worker_exports_and_why_it_is_not_ready(worker: str) -> None:
    """One that is not there does not keep the others from being read."""
    there, gone = await asyncio.wait_for(read_all([("stream", worker), ("batch", "http://127.0.0.1:9")]), 20)
    assert total(there.samples, RECORDS, source="orders") == 3
    assert (there.ready, dict(there.reasons), there.error) == (False, {"store check": "disk full"}, None)
    assert gone.error


def test_what_is_no_exposition_is_an_error() -> None:
    """Another server may listen there."""
    with pytest.raises(ValueError, match=r".+"):
        samples_of("<html>not metrics</html>")


def test_a_batch_worker_says_how_many_files_it_reads_at_once_and_why() -> None:
    """The limit, and what moved it last; nothing has moved that of a worker that has just begun."""
    moved = "velocity_batch_concurrency_reason"
    samples = {
        ("velocity_read_concurrency_limit", frozenset[tuple[str, str]]()): 3.0,
        (moved, frozenset({("reason", "queue")})): 0.0,
        (moved, frozenset({("reason", "loop_lag")})): 1.0,
    }
    now = Reading("batch", "http://w:2", 1.0, samples, ready=True)
    shown_now = table(None, now).figures
    assert (shown_now["readers at most"], shown_now["readers moved by"]) == ("3", "loop_lag")
    assert as_json(None, now)["readers_moved_by"] == "loop_lag"
    assert as_json(None, Reading("batch", "http://w:2", 1.0))["readers_moved_by"] == "nothing"
