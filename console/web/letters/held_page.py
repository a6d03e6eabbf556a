"""`/letters/held`: facts that were counted in no result yet, because their item or unit is not known."""

from typing import Any

from aiohttp import web

from console.client import BatchApi, Question
from console.web.keys import SETTINGS
from console.web.rendering import csv_file, render
from console.web.tables import Column, TableQuery, arrange
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
    facts = [shown(row) for row in found]
    groups = arrange(grouped(facts), GROUPS, TableQuery.read(request.query, "groups"), "What they lack")
    table = arrange(facts, FACTS, TableQuery.read(request.query, "facts"), "Held facts")
    if groups.query.csv:
        return csv_file(groups, "held-groups.csv")
    if table.query.csv:
        return csv_file(table, "held-facts.csv")
    return render(request, "letters/held.html", {"tab": "held", "groups": groups, "table": table, "most": MOST})


def grouped(facts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Facts that lack the same, most of them first: reason, site, SKU, unit, count, first and last event time."""
    keys = ("reason", "site_id", "sku", "uom")
    times: dict[tuple[Any, ...], list[str]] = {}
    for fact in facts:
        times.setdefault(tuple(fact[key] for key in keys), []).append(fact["event_time"])
    rows = [
        {**dict(zip(keys, key, strict=True)), "facts": len(found), "first": min(found), "last": max(found)}
        for key, found in times.items()
    ]
    return sorted(rows, key=lambda row: -row["facts"])


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A held fact as the worker says it, its texts such that they may be shown."""
    texts = {name: clipped(visible(value)) if isinstance(value, str) else value for name, value in row.items()}
    return {**texts, "event_time": texts["event_time"] if "event_time" in texts else rfc3339(row["event_time_ms"])}
