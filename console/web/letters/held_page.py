"""`/letters/held`: facts that were counted in no result yet, because their item or unit is not known."""

from aiohttp import web

from console.client import BatchApi, Question
from console.desk.held import HeldGroup, group_held
from console.web.keys import SETTINGS
from console.web.rendering import csv_file, render
from console.web.tables import Column, Row, TableQuery, arrange
from console.web.visible import clipped, visible
from schemas.instants import rfc3339

MOST = 10_000

GROUPS = (
    Column("reason", "Reason"),
    Column("site_id", "Site"),
    Column("sku", "SKU"),
    Column("uom", "Unit"),
    Column("facts", "Facts", numeric=True),
    Column("first", "First (UTC)"),
    Column("last", "Last (UTC)"),
    Column("remedy", "What lets them count"),
)
FACTS = (
    Column("site_id", "Site"),
    Column("source", "Source"),
    Column("event_id", "Event", code=True),
    Column("sku", "SKU"),
    Column("event_time", "Event time (UTC)"),
    Column("quantity", "Quantity", numeric=True),
    Column("uom", "Unit"),
    Column("reason", "Reason"),
)


def add_held_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/letters/held", show_held)


async def show_held(request: web.Request) -> web.Response:
    """Held facts by what they lack, and one by one."""
    async with BatchApi(request.app[SETTINGS]) as api:
        found = await api.rows(Question("/api/v1/facts/held", {"limit": str(MOST)}), None)
    lacks, facts = [group_row(one) for one in group_held(found)], [fact_row(row) for row in found]
    groups = arrange(lacks, GROUPS, TableQuery.read(request.query, "groups"), "What they lack")
    table = arrange(facts, FACTS, TableQuery.read(request.query, "facts"), "Held facts")
    if groups.query.csv:
        return csv_file(groups, "held-groups.csv")
    if table.query.csv:
        return csv_file(table, "held-facts.csv")
    return render(request, "letters/held.html", {"tab": "held", "groups": groups, "table": table, "most": MOST})


def group_row(group: HeldGroup) -> Row:
    """Facts that lack the same, and the row that they lack."""
    return {
        "reason": group.reason,
        "site_id": visible(group.site_id),
        "sku": visible(group.sku),
        "uom": visible(group.uom),
        "facts": group.facts,
        "first": rfc3339(group.first),
        "last": rfc3339(group.last),
        "remedy": visible(group.remedy),
    }


def fact_row(row: Row) -> Row:
    """A held fact as the worker says it, its texts such that they may be shown."""
    texts = {name: clipped(visible(value)) if isinstance(value, str) else value for name, value in row.items()}
    return {**texts, "event_time": rfc3339(row["event_time_ms"])}
