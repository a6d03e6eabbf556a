"""What `velocity top` makes of two looks at a worker's metrics."""

from collections.abc import Iterator
from threading import Thread

import pytest
from aiohttp import web
from exported_metrics import exported_names
from typer.testing import CliRunner

from console.main import app
from console.vitals import BATCH, STREAM, Figure, Look, Reading, parse_metrics, readings, shown

EVENTS = Figure("events", "velocity_stream_records_total", "rate", "/s", per_source=True)
LAG = Figure("lag", "velocity_event_time_lag_seconds", "max", " s")
ALL = Figure("all events", "velocity_stream_records_total", "rate", "/s")


def scrape(orders: float, returns: float, lag: float = 3.0) -> str:
    """A scrape as a worker gives it."""
    return (
        "# TYPE velocity_stream_records_total counter\n"
        f'velocity_stream_records_total{{source="orders"}} {orders}\n'
        f'velocity_stream_records_total{{source="returns"}} {returns}\n'
        f"# TYPE velocity_event_time_lag_seconds gauge\nvelocity_event_time_lag_seconds {lag}\n"
    )


def look(at_s: float, orders: float, returns: float) -> Look:
    return Look(at_s, parse_metrics(scrape(orders, returns)))


def test_every_figure_is_of_a_metric_that_the_workers_export() -> None:
    """A figure of a metric that was renamed would be a dash for ever."""
    assert {figure.metric for figure in (*STREAM, *BATCH)} <= exported_names()


def test_rates_are_growth_by_time_and_come_with_the_second_look() -> None:
    """
    orders 100 → 500 in 2 s: 200/s; returns stand still
    """
    before, now = look(10, 100, 7), look(12, 500, 7)
    assert readings([EVENTS, ALL, LAG], before, now) == [
        Reading("events, orders", 200.0, "/s"),
        Reading("events, returns", 0.0, "/s"),
        Reading("all events", 200.0, "/s"),
        Reading("lag", 3.0, " s"),
    ]
    assert [one.value for one in readings([ALL, LAG], None, now)] == [None, 3.0]


def test_a_counter_that_has_fallen_began_anew() -> None:
    """A worker was restarted between two looks: it has counted at least what it says now."""
    assert readings([ALL], look(10, 900, 0), look(12, 50, 0)) == [Reading("all events", 25.0, "/s")]


def test_a_silent_worker_has_no_figures_and_a_missing_metric_no_value() -> None:
    """Nothing is shown as 0 that is not known."""
    assert readings(STREAM, None, Look(1, None)) == []
    assert readings([Figure("x", "velocity_open_windows", "sum")], None, look(1, 0, 0)) == [Reading("x", None, "")]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0/s"), (12345.6, "12,346/s"), (0.256, "0.26/s"), (3.0, "3/s")]
)
def test_values_are_shown_for_people(value: float | None, text: str) -> None:
    """Three digits say enough; whole numbers have no decimals."""
    assert shown(Reading("x", value, "/s")) == text


@pytest.fixture
def worker() -> Iterator[str]:
    """A stream worker's endpoints, which count 100 orders further with each scrape."""
    from asyncio import new_event_loop

    loop, scrapes, started = new_event_loop(), iter(range(100, 10_000, 100)), []

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=scrape(next(scrapes), 0))

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response({"ready": False, "reasons": {"store": "no space left"}}, status=503)

    async def serve() -> str:
        application = web.Application()
        application.router.add_get("/metrics", metrics)
        application.router.add_get("/readyz", readyz)
        runner = web.AppRunner(application)
        await runner.setup()
        started.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    url = loop.run_until_complete(serve())
    thread = Thread(target=loop.run_forever)
    thread.start()
    yield url
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(started[0].cleanup())
    loop.close()


def test_top_shows_once_what_a_worker_says_and_why_it_is_not_ready(worker: str) -> None:
    """Without a terminal: plain lines, and the worker that is silent is named."""
    shown_once = CliRunner().invoke(
        app, ["top", "--stream", worker, "--batch", "http://127.0.0.1:1", "--interval", "0.2"]
    )
    assert shown_once.exit_code == 0, shown_once.output
    assert f"stream worker at {worker}: not ready" in shown_once.stdout
    assert "store: no space left" in shown_once.stdout
    assert "batch worker at http://127.0.0.1:1: silent" in shown_once.stdout
    as_json = CliRunner().invoke(app, ["top", "--stream", worker, "--interval", "0.2", "--json"])
    assert '"answers": true' in as_json.stdout


def test_top_fails_where_nobody_answers() -> None:
    """With what to look at."""
    failed = CliRunner().invoke(app, ["top", "--batch", "http://127.0.0.1:1", "--interval", "0.2", "--once"])
    assert failed.exit_code == 1
    assert "no worker answers" in str(failed.exception)
