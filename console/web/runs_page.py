"""`/runs`: calculations, how deliveries stand, chunks that failed, and when sites may be worked on."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from batcher.schedule.file import load_calendar
from console.errors import CommandFailed, UsageError
from console.insight.asking import Answer
from console.insight.deliveries import chunk_rows, heat_rows, sink_rows
from console.insight.week import Week, week_of
from console.times import parse_day
from console.web.keys import SETTINGS
from console.web.readings import ASKING, LOGS
from console.web.rendering import csv_file, render
from console.web.tables import Column, Table, TableQuery, arrange
from runtime.refusals import Refusal
from runtime.settings import Settings
from runtime.sites import site_windows
from schemas.wall_spans import local_date

MOST_RUNS = 500
NIGHTS = 60
MOST_WEEKS = 12  # sites whose week is drawn; one alone by ?site=

RUN_COLUMNS = (
    Column("site_id", "Site"),
    Column("horizon", "Horizon"),
    Column("as_of", "As of", link="/velocity?site={site_id}&horizon={horizon}&as_of={as_of}"),
    Column("calculated_at", "Calculated at"),
    Column("trigger", "Trigger"),
    Column("skus", "SKUs", numeric=True),
    Column("complete_windows", "Complete windows", numeric=True),
    Column("windows", "of", numeric=True),
    Column("current", "Results kept"),
    Column("run_id", "Run", code=True),
)
SINK_COLUMNS = (
    Column("sink", "Sink"),
    Column("kind", "Kind"),
    Column("site_id", "Site"),
    Column("horizon", "Horizon"),
    Column("state", "State"),
    Column("waiting", "Waits for"),
    Column("circuits", "Circuits"),
    Column("backlog_skus", "SKUs to go", numeric=True),
    Column("chunks", "Chunks in hand", numeric=True),
    Column("acknowledged_as_of", "Has all as of"),
    Column("acknowledged_at", "Acknowledged at"),
)
CHUNK_COLUMNS = (
    Column("chunk_id", "Chunk", code=True),
    Column("state", "State"),
    Column("sink", "Sink"),
    Column("site_id", "Site"),
    Column("skus", "SKUs", numeric=True),
    Column("first_skus", "Such as"),
    Column("retries", "Retries", numeric=True),
    Column("error", "Error"),
    Column("at", "Since"),
    Column("reason", "Reason"),
)


def add_runs_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/runs", show_runs)


async def show_runs(request: web.Request) -> web.Response:
    """The page, or one of its tables as CSV. A part that cannot be read says why, and the others are shown."""
    asking, logs = request.app[ASKING], request.app[LOGS]
    site = request.query.get("site") or None
    runs, sinks, chunks, nights = await asyncio.gather(
        _or_why(asking.rows("/api/v1/runs", site, limit=str(MOST_RUNS))),
        _or_why(asking.rows("/api/v1/sinks")),
        _or_why(_chunks(logs.failed_chunks())),
        _or_why(asking.rows("/api/v1/schedule", site, nights=str(NIGHTS))),
    )
    tables = [
        _table(request, "runs", "Runs", RUN_COLUMNS, _latest_first(runs.rows)),
        _table(request, "sinks", "Sinks", SINK_COLUMNS, sink_rows(sinks.rows)),
        _table(request, "chunks", "Failed chunks", CHUNK_COLUMNS, chunks.rows),
    ]
    for table in tables:
        if table.query.csv:
            return csv_file(table, f"{table.name}.csv")
    drawn: list[Week] = []
    try:
        drawn = await asyncio.to_thread(weeks, request.app[SETTINGS], nights.rows, site, request.query.get("week"))
    except Refusal as error:
        nights = Answer(nights.rows, [*nights.remarks, str(error)])
    said = {"runs": runs, "sinks": sinks, "chunks": chunks, "schedule": nights}
    context = {
        **{table.name: table for table in tables},
        "heat": heat_rows(sinks.rows),
        "weeks": drawn,
        "site": site,
        "troubles": {name: answer.remarks for name, answer in said.items()},
    }
    return render(request, "runs.html", context)


async def _or_why(asked: Any) -> Answer:
    """What was asked for, or an empty answer that says why."""
    try:
        return await asked
    except UsageError:
        raise
    except CommandFailed as error:
        return Answer([], [str(error)])


async def _chunks(asked: Any) -> Answer:
    return Answer(chunk_rows(await asked))


def _latest_first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["calculated_at"], row["as_of"]), reverse=True)[:MOST_RUNS]


def _table(
    request: web.Request, name: str, title: str, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]
) -> Table:
    return arrange(rows, columns, TableQuery.read(request.query, name), title)


def weeks(settings: Settings, standings: Sequence[Mapping[str, Any]], site: str | None, week: str | None) -> list[Week]:
    """The week of each site that its worker speaks of or the schedule names. Blocks.

    Raises:
        UsageError: the week is none.
        SettingsRefused: the schedule file is wrong.
    """
    calendar = load_calendar(settings, site_windows(settings).zones)
    by_site = {row["site_id"]: row for row in standings}
    sites = [site] if site else (sorted(by_site) or sorted(calendar.named_sites))[:MOST_WEEKS]
    first = parse_day("week", week) if week else None
    now_ms = time.time_ns() // 1_000_000
    return [
        week_of(calendar, one, first or local_date(now_ms, calendar.zone_of(one)), by_site.get(one)) for one in sites
    ]
