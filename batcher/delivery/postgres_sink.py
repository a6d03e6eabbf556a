"""A table in PostgreSQL: a chunk is one transaction, which either happened or did not.

The rows are copied into a temporary table and merged from there; a chunk that comes again changes nothing. Columns are
those of `DeliveredRow` with the site, the horizon, the run and its instant before them.
"""

import asyncio
from typing import Any

import msgspec

from batcher.delivery.chunks import Chunk
from batcher.delivery.receipts import AttemptFailed, Drift
from batcher.delivery.retries import Failure, FailureKind
from runtime.crash_points import crash_point
from runtime.refusals import SettingsRefused
from schemas.delivery import DeliveredRow, DeliveryChunk

TIMEOUT_S = 30.0
CONNECT_S = 10.0
_TYPES = {
    int: "bigint",
    float: "double precision",
    float | None: "double precision",
    bool: "boolean",
    str: "text",
    str | None: "text",
}
_ROW = [(field.name, _TYPES[field.type]) for field in msgspec.structs.fields(DeliveredRow)]
_COLUMNS = [("site_id", "text"), ("horizon", "text"), *_ROW, ("run_id", "text"), ("as_of", "text")]
_KEY = ("site_id", "horizon", "sku")
_NAMES = [name for name, _ in _COLUMNS]

_LOCK = "SELECT pg_advisory_xact_lock(hashtext($1))"  # of workers that start at the same time
_THERE = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped"
_CREATE = f"""
CREATE TABLE {{table}} ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS)}, PRIMARY KEY ({", ".join(_KEY)}))
"""
_STAGE = "CREATE TEMPORARY TABLE delivered_chunk (LIKE {table}) ON COMMIT DROP"
_MERGE = f"""
INSERT INTO {{table}} ({", ".join(_NAMES)}) SELECT {", ".join(_NAMES)} FROM delivered_chunk
ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(f"{n} = excluded.{n}" for n in _NAMES if n not in _KEY)}
"""
_REMOVE = "DELETE FROM {table} WHERE site_id = $1 AND horizon = $2 AND sku = ANY($3::text[])"
_SWEEP = """
DELETE FROM {table} AS there WHERE site_id = $1 AND horizon = $2
    AND ($3::text IS NULL OR sku COLLATE "C" > $3) AND ($4::text IS NULL OR sku COLLATE "C" <= $4)
    AND NOT EXISTS (SELECT FROM delivered_chunk AS told WHERE told.sku = there.sku)
"""


def require_asyncpg(name: str) -> None:
    """
    Raises:
        SettingsRefused: asyncpg is not installed.
    """
    try:
        import asyncpg  # noqa: F401
    except ModuleNotFoundError as error:
        raise SettingsRefused(
            f"sinks.{name} is of kind postgres, but asyncpg is not installed: pip install 'velocity-slotting[postgres]'"
        ) from error


class PostgresEndpoint:
    """A table. It is created where it is not there, and gets columns that it lacks; further ones it keeps."""

    def __init__(self, dsn: str, table: str, connections: int) -> None:
        self._dsn, self._table, self._connections = dsn, table, connections
        self._pool: Any = None
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        """The server and the table."""
        return f"{self._dsn.rpartition('@')[2].partition('?')[0].rpartition('//')[2]}/{self._table}"

    async def send(self, chunk: Chunk, body: bytes, attempt: int, traceparent: str | None) -> None:
        """See `Endpoint`. A server that is away is waited for; what it refuses is refused.

        A table that is not as it should be, and that we may not change, is drift.
        """
        import asyncpg

        told = msgspec.json.decode(body, type=DeliveryChunk)
        try:
            async with asyncio.timeout(TIMEOUT_S), (await self._opened()).acquire() as connection:
                await self._merge(connection, told)
        except (asyncpg.DataError, asyncpg.SyntaxOrAccessError, asyncpg.IntegrityConstraintViolationError) as error:
            raise AttemptFailed(Failure(FailureKind.REFUSED, f"{type(error).__name__}: {error}")) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise AttemptFailed(Failure(FailureKind.TRANSIENT, f"{type(error).__name__}: {error}")) from error

    async def close(self) -> None:
        """See `Endpoint`."""
        if self._pool:
            self._pool.terminate()

    async def _opened(self) -> Any:
        import asyncpg

        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    self._dsn, min_size=0, max_size=self._connections, timeout=CONNECT_S, command_timeout=TIMEOUT_S
                )
                try:
                    async with pool.acquire() as connection, connection.transaction():
                        await self._make_ready(connection)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool = pool
            return self._pool

    async def _make_ready(self, connection: Any) -> None:
        """Create the table, or add the columns that a later version has; nothing is asked for that is there already."""
        import asyncpg

        await connection.execute(_LOCK, f"velocity {self._table}")
        there = {name for (name,) in await connection.fetch(_THERE, self._table)}
        missing = [f"{name} {kind}" for name, kind in _COLUMNS if name not in there]
        if not missing:
            return
        add = f"ALTER TABLE {self._table} {', '.join(f'ADD COLUMN {column}' for column in missing)}"
        change = add if there else _CREATE.format(table=self._table).strip()
        try:
            await connection.execute(change)
        except asyncpg.InsufficientPrivilegeError as error:
            lacks = f"it lacks {', '.join(missing)}" if there else "it is not there"
            raise Drift(f"{lacks}, and may not be changed ({error}); its owner has to run: {change}") from error

    async def _merge(self, connection: Any, told: DeliveryChunk) -> None:
        where, run = (told.site_id, told.horizon), (told.run_id, told.as_of)
        records = [(*where, *msgspec.structs.astuple(row), *run) for row in told.rows]
        async with connection.transaction():
            await connection.execute(_STAGE.format(table=self._table))
            await connection.copy_records_to_table("delivered_chunk", records=records, columns=_NAMES)
            crash_point("delivery.after_copy")
            await connection.execute(_MERGE.format(table=self._table))
            await connection.execute(_REMOVE.format(table=self._table), *where, told.removed)
            for span in told.covers:
                await connection.execute(_SWEEP.format(table=self._table), *where, span.after, span.until)
