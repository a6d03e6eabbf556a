"""The nights of the database. Calls block."""

from collections.abc import Iterable
from dataclasses import asdict, replace

from batcher.database import Database
from batcher.queries import Connection, load_queries
from batcher.schedule.nights import REMEMBERED_NIGHTS, Night, State

_QUERIES = load_queries("schedule/nights")


def read_nights(database: Database, site_id: str, row_limit: int = 2 * REMEMBERED_NIGHTS) -> list[Night]:
    """The newest nights of a site, the last one first."""
    rows = database.ask(lambda connection: _QUERIES["newest"].rows(connection, site_id=site_id, row_limit=row_limit))
    nights = [Night(*row) for row in rows]
    return [replace(night, state=State(night.state)) for night in nights]


def write_nights(database: Database, nights: Iterable[Night]) -> None:
    """Enter nights, each instead of what was known of it, in one transaction."""

    def put(connection: Connection) -> None:
        for night in nights:
            _QUERIES["put"].rows(connection, **asdict(night))

    database.change(put)


def remove_night(database: Database, entry: Night) -> None:
    """Forget a night."""
    database.change(lambda connection: _QUERIES["remove"].rows(connection, site_id=entry.site_id, night=entry.night))
