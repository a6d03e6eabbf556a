"""A run as a whole: how SKUs fall into classes, what the demand rests on, and what moved since the run before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batcher import runs
from batcher.queries import Connection, load_queries
from batcher.runs import Run

POINTS = 200  # of a Pareto curve
_QUERIES = load_queries("insight/classes")

#: What a page of SKUs may be sorted by → the SQL for it.
ORDERS: Mapping[str, str] = {
    "sku": "present.sku",
    "velocity": "present.velocity_coefficient",
    "picks": "present.order_lines",
    "units": "present.net_units",
    "class": "present.abc_class || present.xyz_class",
    "variation": "present.demand_cv",
    "accuracy": "present.inventory_accuracy",
    "change": "present.velocity_coefficient - coalesce(former.velocity_coefficient, 0)",
}


@dataclass(frozen=True, slots=True)
class SkuPage:
    """Which SKUs are meant, and which page of them. `search` is part of a SKU in its canonical form."""

    search: str | None = None
    abc: str | None = None
    xyz: str | None = None
    order: str = "velocity"
    descending: bool = True
    limit: int = 100
    offset: int = 0


def former_of(connection: Connection, run: Run) -> Run | None:
    """The run of the latest instant before whose results are kept; None without one."""
    return runs.find_newest(connection, run.site_id, run.horizon, run.as_of_ms - 1)


def summary(connection: Connection, run: Run, class_metric: str, limit: int) -> dict[str, Any]:
    """Classes, Pareto curve, the fastest `limit` SKUs; and against the run before, where it is kept, migration and
    movers."""
    former = former_of(connection, run)
    values = {"run_id": run.run_id, "class_metric": class_metric, "points": POINTS, "row_limit": limit}
    told = {name: _rows(connection, name, values) for name in ("matrix", "pareto", "fastest")}
    between: dict[str, list[dict[str, Any]]] = {"migration": [], "movers": []}
    if former is not None:
        values |= {"former_run_id": former.run_id}
        between = {name: _rows(connection, name, values) for name in between}
    return {**_named(run, former), "metric": class_metric, **told, **between}


def sku_page(connection: Connection, run: Run, page: SkuPage) -> dict[str, Any]:
    """The SKUs of one page, and how many are meant in `total`.

    Raises:
        KeyError: SKUs are not sorted by that.
    """
    former = former_of(connection, run)
    order = f"{ORDERS[page.order]} {'DESC' if page.descending else 'ASC'}"
    values = {
        "run_id": run.run_id,
        "former_run_id": former and former.run_id,
        **{name: getattr(page, name) for name in ("search", "abc", "xyz")},
        "row_limit": page.limit,
        "row_offset": page.offset,
    }
    return {
        **_named(run, former),
        "total": _QUERIES["count_skus"].value(connection, **values),
        "rows": _QUERIES["skus"].filled(order=order).table(connection, **values).to_pylist(),
    }


def _named(run: Run, former: Run | None) -> dict[str, Any]:
    return {"run": runs.described(run), "former": former and runs.described(former)}


def _rows(connection: Connection, name: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _QUERIES[name].table(connection, **values).to_pylist()
