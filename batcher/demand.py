"""Factors of demand: what a line of a site counts, by channel, season and promotion."""

from typing import Any
from zoneinfo import ZoneInfo

from batcher.horizon import days_after, month_spans
from batcher.queries import Connection, load_queries

#: Over how many local days from `as_of` on the season index of `forward_lines` is averaged.
DAYS_AHEAD = 30

_QUERIES = load_queries("demand")
_WEIGHING = ("make_weight_spans", "make_demand_spans", "make_quotients", "make_line_spans", "name_weighed_facts")


def days_ahead(as_of_ms: int, zone: ZoneInfo) -> list[int]:
    """The instants from `as_of` on, a local day apart, at which the season index is taken."""
    return [days_after(as_of_ms, days, zone) for days in range(DAYS_AHEAD)]


def month_values(start_ms: int, as_of_ms: int, zone: ZoneInfo) -> dict[str, list[int]]:
    """The months of the site's wall clock over the horizon and the days ahead, as the parameters of queries."""
    spans = month_spans(start_ms, days_after(as_of_ms, DAYS_AHEAD, zone), zone)
    return {
        "month_starts_ms": [span.start_ms for span in spans],
        "month_ends_ms": [span.end_ms for span in spans],
        "months": [span.month for span in spans],
    }


def weigh(
    connection: Connection, site_id: str, start_ms: int, as_of_ms: int, zone: ZoneInfo, *, require_known_items: bool
) -> None:
    """Let `weighed_facts` be the site's facts of a horizon, with what they count, by the reference data of the moment.

    `line_spans` says what facts count when, and `demand_spans` has the seasons and promotions in effect over the
    horizon and the days ahead. All of these are of this connection alone.
    """
    values: dict[str, Any] = {
        "site_id": site_id,
        "start_ms": start_ms,
        "as_of_ms": as_of_ms,
        "end_ms": days_after(as_of_ms, DAYS_AHEAD, zone),
        "require_known_items": require_known_items,
        **month_values(start_ms, as_of_ms, zone),
    }
    for step in _WEIGHING:
        _QUERIES[step].rows(connection, **values)


def forget(connection: Connection) -> None:
    """Let go of what `weigh` has made: it takes memory."""
    connection.execute(_QUERIES["forget"].sql)
