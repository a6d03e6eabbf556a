"""What the database holds that an operator waits for: held facts, and coefficients that are not published yet."""

import asyncio
import time
from typing import Any, cast

import duckdb
import structlog

from batcher import metrics
from batcher.database import Database
from batcher.queries import Connection, load_queries
from batcher.workbench import Workbench

log = structlog.get_logger(__name__)

EVERY_S = 5.0
#: Counting held facts, if there are any, reads all facts: it may take one part in so many of the time, and only when
#: facts or reference data have changed.
REST = 20

_QUERIES = load_queries("gauges")


async def keep_gauges(bench: Workbench) -> None:
    """Measure for ever."""
    counted, require_known = cast(Any, None), bench.settings.velocity.require_known_items
    count_at = 0.0
    while True:
        try:
            metrics.OUTBOX.set(await bench.database.read(outbox_records))
            mark = await bench.database.read(content_mark)
            started = time.monotonic()
            if mark != counted and started >= count_at:
                metrics.HELD_FACTS.set(await bench.database.read(held_facts, require_known))
                counted, ended = mark, time.monotonic()
                count_at = ended + REST * (ended - started)
        except duckdb.Error as error:
            log.debug("gauges of the database not known yet", error=repr(error))
        await asyncio.sleep(EVERY_S)


def outbox_records(database: Database) -> int:
    """How many records wait to be published. Blocks."""
    return database.ask(_QUERIES["outbox_records"].value)


def held_facts(database: Database, require_known_items: bool) -> int:
    """How many facts wait for reference data. Blocks."""

    def count(connection: Connection) -> int:
        return _QUERIES["held_facts"].value(connection, require_known_items=require_known_items)

    return database.ask(count)


def content_mark(database: Database) -> tuple[Any, ...]:
    """Another value whenever batches were loaded or reference data has changed. Blocks."""
    return database.ask(lambda connection: _QUERIES["content_mark"].rows(connection)[0])
