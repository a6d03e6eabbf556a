"""A SKU's demand, day by day of the site's wall clock, and its coefficient in every run that is kept."""

from typing import Any
from zoneinfo import ZoneInfo

from batcher.horizon import HORIZONS, days_before
from batcher.queries import Connection, load_queries
from batcher.runs import Run
from schemas.instants import rfc3339

_QUERIES = load_queries("insight/classes")


def day_bounds(run: Run, zone: ZoneInfo) -> list[int]:
    """The instants that part the days of a run's horizon, one more than there are days, ascending."""
    return [*(days_before(run.as_of_ms, days, zone) for days in range(HORIZONS[run.horizon].days, 0, -1)), run.as_of_ms]


def sku_days(
    connection: Connection, run: Run, sku: str, zone: ZoneInfo, *, require_known_items: bool
) -> dict[str, Any]:
    """`days` (lines, units ordered and returned, by the facts of now) and `history` (a row per kept run), ascending."""
    bounds = day_bounds(run, zone)
    values = {
        "site_id": run.site_id,
        "horizon": run.horizon,
        "sku": sku,
        "start_ms": run.start_ms,
        "as_of_ms": run.as_of_ms,
        "starts_ms": bounds[:-1],
        "ends_ms": bounds[1:],
        "require_known_items": require_known_items,
    }
    days = _QUERIES["days"].table(connection, **values).to_pylist()
    return {
        "days": [_described(day) for day in days],
        "history": _QUERIES["history"].table(connection, **values).to_pylist(),
    }


def _described(day: dict[str, Any]) -> dict[str, Any]:
    bounds = {"start": rfc3339(day.pop("start_ms")), "end": rfc3339(day.pop("end_ms"))}
    return bounds | day
