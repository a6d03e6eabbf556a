"""`/flow`: source partitions, open windows, accounts, and what holds workers up; renewed while one looks."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from console.errors import CommandFailed
from console.insight.drawing import Drawing, Span, timeline
from console.insight.flow import Flow, OpenSpan, as_row
from console.insight.kafka_failures import kafka_failures
from console.web.keys import SETTINGS
from console.web.live import Parts, add_live_feed
from console.web.readings import FLOW
from console.web.rendering import csv_file, fragment, instant, render
from console.web.tables import Column, TableQuery, arrange

EVERY_S = 2.0
SOURCE_TONES = {"orders": 1, "returns": 2, "cycle-counts": 3}

COLUMNS = (
    Column("partition", "Source partition"),
    Column("state", "State"),
    Column("position", "Position", numeric=True),
    Column("lag_records", "Lag, records", numeric=True),
    Column("frontier", "Frontier (UTC)"),
    Column("event_lag_s", "Event-time lag", numeric=True),
    Column("open_windows", "Open windows", numeric=True),
    Column("open_records", "Open records", numeric=True),
    Column("corrected", "In corrections", numeric=True),
    Column("dead", "Dead letters", numeric=True),
    Column("gaps", "Lost offsets", numeric=True),
    Column("checkpoint_age_s", "Checkpoint", numeric=True),
    Column("worker", "Worker"),
)


def add_flow_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/flow", show_flow)
    add_live_feed(app, "/flow/live", live_flow, EVERY_S)


async def show_flow(request: web.Request) -> web.Response:
    """The page, or its partitions as CSV."""
    context = flow_context(await look(request.app), request.query)
    if context["table"].query.csv:
        return csv_file(context["table"], "source-partitions.csv")
    return render(request, "flow.html", context)


async def live_flow(app: web.Application, params: Mapping[str, str]) -> Parts:
    """The page's changing part; where the flow cannot be seen, why not."""
    try:
        context = flow_context(await look(app), params)
    except CommandFailed as error:
        return {"flow": fragment(app, "fragments/failed.html", {"message": str(error)})}
    return {"flow": fragment(app, "fragments/flow.html", context)}


async def look(app: web.Application) -> Flow:
    """
    Raises:
        CommandFailed: the brokers do not answer.
    """
    with kafka_failures(app[SETTINGS]):
        return await app[FLOW].look()


def flow_context(flow: Flow, params: Mapping[str, str]) -> dict[str, Any]:
    """What the templates show of a flow."""
    rows = [as_row(row) for row in flow.partitions]
    return {
        "flow": flow,
        "table": arrange(rows, COLUMNS, TableQuery.read(params), "Source partitions"),
        "windows": open_windows(flow),
        "live": f"/flow/live?{_address(params)}",
    }


def open_windows(flow: Flow) -> Drawing | None:
    """The timeline of open windows and the watermark; None without an open window."""
    if not flow.spans:
        return None
    marks = [] if flow.watermark is None else [(flow.watermark, "watermark")]
    return timeline("Open windows in event time, UTC", [_drawn(span) for span in flow.spans], marks)


def _drawn(span: OpenSpan) -> Span:
    said = (
        f"{span.site_id} {span.source}, {instant(span.start)} to {instant(span.end)}: "
        f"{span.records:,} records in {span.partitions} partitions"
    )
    return Span(f"{span.site_id} {span.source}", span.start, span.end, SOURCE_TONES.get(span.source, 6), said)


def _address(params: Mapping[str, str]) -> str:
    return urlencode({name: value for name, value in params.items() if name in ("sort", "desc")})
