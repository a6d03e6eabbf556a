"""What calculations need of all history, kept up with the facts so that none of them has to read it."""

from typing import Any

from batcher.queries import Connection, load_queries, registered
from batcher.summing import FactSums
from schemas.windows import DAY_MS

_QUERIES = load_queries("fact_sums")
_ADD = ("name_changes", "add_to_days", "bring_firsts_forward")
_TAKE_AWAY = ("remove_empty_days", "find_lost_firsts", "forget_lost_firsts", "find_firsts_again")


def keep_up(connection: Connection, fresh: FactSums, *, some_contested: bool) -> None:
    """Take over what an insertion has changed; the facts are as they will be, and `contenders` says what else became.

    `some_contested` is whether there are contenders, so that some facts may count no longer.
    """
    with registered(connection, "fresh_days", fresh.days), registered(connection, "fresh_firsts", fresh.firsts):
        for step in (*_ADD, *(_TAKE_AWAY if some_contested else ())):
            _QUERIES[step].rows(connection)


def dataset(connection: Connection, site_id: str, as_of_ms: int) -> list[tuple[Any, ...]]:
    """The site's facts before `as_of_ms`: source, how many, and the sum of their hashes, by source."""
    day = as_of_ms // DAY_MS
    values = {"site_id": site_id, "as_of_ms": as_of_ms, "day": day, "day_start_ms": day * DAY_MS}
    return _QUERIES["dataset"].rows(connection, **values)


def first_event_time(connection: Connection, site_id: str) -> int | None:
    """Event time of the site's first fact, held ones included; None without one."""
    return _QUERIES["first_event_time"].value(connection, site_id=site_id)
