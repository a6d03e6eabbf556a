"""`/velocity`: how SKUs fall into classes and what moved; every SKU by page; and one SKU taken apart."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from console.client import NotFound
from console.explain_view import sections
from console.insight.asking import Asking
from console.insight.classes import class_cells, migration_rows, share_of_first
from console.web.charts import Chart, Series
from console.web.keys import SETTINGS
from console.web.readings import ASKING
from console.web.rendering import csv_file, render
from console.web.site_choice import choose_site
from console.web.tables import Column, Table, TableQuery
from runtime.settings import Settings
from schemas.instants import parse_rfc3339

MOST_EXPORTED = 100_000  # SKUs of a CSV file; `velocity coefficients` has all
PORTION = 10_000

COLUMNS = (
    Column("sku", "SKU", link="/velocity/{site_id}/{sku}?horizon={horizon}&as_of={as_of}"),
    Column("velocity", "Picks a day, normalised", numeric=True),
    Column("change", "Change", numeric=True),
    Column("picks", "Order lines", numeric=True),
    Column("units", "Net units", numeric=True),
    Column("class", "Class"),
    Column("variation", "Variation", numeric=True),
    Column("accuracy", "Accuracy", numeric=True),
)


def add_velocity_routes(app: web.Application) -> None:
    """Routes of this module."""
    app.router.add_get("/velocity", show_velocity)
    app.router.add_get("/velocity/{site}/{sku:.+}", show_sku)


async def show_velocity(request: web.Request) -> web.Response:
    """The classes of a run and its SKUs."""
    asking, params = request.app[ASKING], request.query
    sites = await asking.sites()
    choice = choose_site(sites.rows, params)
    horizon = params.get("horizon") or _first_horizon(request.app[SETTINGS])
    context = {"choice": choice, "remarks": sites.remarks, "horizon": horizon, "told": None, "why": ""}
    context["horizons"] = request.app[SETTINGS].velocity.horizons
    if choice.chosen is None:
        return render(request, "velocity.html", context)
    run, query = {"horizon": horizon, "as_of": params.get("as_of") or None}, TableQuery.read(params)
    try:
        table = await sku_table(asking, choice.chosen, run, query)
    except NotFound as error:  # no calculation yet, or none of that instant any more
        return render(request, "velocity.html", {**context, "why": str(error)})
    if query.csv:
        return csv_file(table, "skus.csv")
    told = await asking.one("/api/v1/insight/classes", choice.chosen, **run)
    return render(request, "velocity.html", {**context, "told": told, "table": table, **class_context(told)})


def class_context(told: Mapping[str, Any]) -> dict[str, Any]:
    """What templates show of a run's summary."""
    columns, rows = migration_rows(told["migration"])
    return {
        "cells": class_cells(told["matrix"]),
        "pareto": pareto_chart(told),
        "first_80": share_of_first(told["pareto"], 0.8),
        "migration_columns": columns,
        "migration": rows,
        "moved": sum(row.moved for row in rows),
    }


def pareto_chart(told: Mapping[str, Any]) -> Chart:
    """Cumulative share of the demand over the share of SKUs, both in percent."""
    points = told["pareto"]
    shares = [0.0, *(round(100 * point["demand_share"], 3) for point in points)]
    return Chart(
        name="pareto",
        title="Pareto curve",
        x_label="share of SKUs, %",
        x=[0.0, *(round(100 * point["sku_share"], 3) for point in points)] if points else [],
        series=[Series("share of demand, %", shares if points else [], kind="area")],
        notes=[f"by {told['metric'].replace('_', ' ')}, the fastest SKU first"],
    )


async def sku_table(asking: Asking, site: str, run: Mapping[str, str | None], query: TableQuery) -> Table:
    """The SKUs that an address asks for; the database searches, sorts and cuts."""
    known = {column.key for column in COLUMNS}
    wanted = {
        **run,
        "search": query.text or None,
        "abc": query.params.get("abc") or None,
        "xyz": query.params.get("xyz") or None,
        "order": query.sort if query.sort in known else "velocity",
        "descending": "true" if query.sort not in known or query.descending else "false",
    }
    rows: list[dict[str, Any]] = []
    most = MOST_EXPORTED if query.csv else query.shown
    while True:
        limit = min(PORTION, most - len(rows))
        page = await asking.one("/api/v1/insight/skus", site, **wanted, limit=str(limit), offset=str(len(rows)))
        rows += [_sku_row(row, page["run"]) for row in page["rows"]]
        if len(page["rows"]) < limit or len(rows) >= most:
            break
    return Table(query.name, "SKUs", COLUMNS, query, rows, page["run"]["skus"], matching=page["total"])


def _sku_row(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    former = row["former_coefficient"]
    return {
        **{name: run[name] for name in ("site_id", "horizon", "as_of")},
        "sku": row["sku"],
        "velocity": round(row["velocity_coefficient"], 4),
        "change": None if former is None else round(row["velocity_coefficient"] - former, 4),
        "picks": row["order_lines"],
        "units": row["net_units"],
        "class": row["abc_class"] + row["xyz_class"],
        "variation": row["demand_cv"] and round(row["demand_cv"], 3),
        "accuracy": row["inventory_accuracy"] and round(row["inventory_accuracy"], 4),
        "stable_class": row["stable_class"],
        "former_class": row["former_class"],
        "provisional": row["provisional"],
    }


async def show_sku(request: web.Request) -> web.Response:
    """One SKU: its days, its history, and its coefficient taken apart."""
    asking, site, sku = request.app[ASKING], request.match_info["site"], request.match_info["sku"]
    horizon = request.query.get("horizon") or _first_horizon(request.app[SETTINGS])
    asked = {"sku": sku, "horizon": horizon, "as_of": request.query.get("as_of") or None}
    explained = (await asking.rows("/api/v1/explain", site, **asked)).rows[0]
    found = await asking.one("/api/v1/insight/days", site, **asked)
    context = {
        "told": explained,
        "sections": list(sections(explained)),
        "days": days_chart(found["days"]),
        "history": history_chart(found["history"]),
        "history_rows": found["history"],
    }
    return render(request, "sku.html", context)


def days_chart(days: list[dict[str, Any]]) -> Chart:
    """Units and order lines by day, named by the UTC date on which the day begins."""
    return Chart(
        name="days",
        title="Demand by day",
        x_label="day",
        x=[f"{datetime.fromisoformat(day['start']):%d %b}" for day in days],
        series=[
            Series("units ordered", [float(day["ordered"]) for day in days], kind="bars"),
            Series("units returned", [float(day["returned"]) for day in days], kind="bars", tone=5),
            Series("order lines", [day["lines"] for day in days], right=True, tone=2),
        ],
        y_label="base units",
        right_label="order lines",
        notes=["facts as they are now; held ones are left out"],
    )


def history_chart(history: list[dict[str, Any]]) -> Chart:
    """The coefficient in each run that is kept."""
    return Chart(
        name="history",
        title="Velocity by run",
        x_label="as of",
        x=[parse_rfc3339(row["as_of"]) / 1000 for row in history],
        series=[Series("normalised picks a day", [row["velocity_coefficient"] for row in history])],
        time_zone="UTC",
    )


def _first_horizon(settings: Settings) -> str:
    return settings.velocity.horizons[0]
