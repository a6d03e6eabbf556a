"""The DuckDB file of a batch worker: one connection that writes, a transaction at a time, and cursors that read.

What reads sees what is committed; what a transaction has done is seen by its own thread alone before that. A commit is
on disk when it returns.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import duckdb

from batcher.queries import Connection, load_queries
from runtime.refusals import Refusal
from runtime.settings import BatchSettings

#: Each takes the schema from one version to the next.
_STEPS = tuple(load_queries("schema").values())
_OLDEST = 4  # the version that the first step leaves; earlier ones had texts in facts, and came before any release
_NEWEST = _OLDEST + len(_STEPS) - 1
#: After one of these the database is of no more use to its process, or the worker is being stopped.
BEYOND_USE = (duckdb.FatalException, duckdb.InternalException, duckdb.InterruptException)
#: Views and macros, in an order in which each knows those that it uses.
_DEFINITIONS = tuple(
    query
    for stem in ("series", "units", "facts", "fact_sums", "demand", "stability", "runs", "outbox", "deliveries")
    for name, query in load_queries(stem).items()
    if name.startswith("define_")
)
_HELD = load_queries("memory")["held_bytes"]


class DatabaseRefused(Refusal):
    """The file cannot be used by this process."""


class Interruption:
    """Ends a read from another thread; one that has not begun by then does not begin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._wanted = False

    def interrupt(self) -> None:
        """Let the read fail with `duckdb.InterruptException`."""
        with self._lock:
            self._wanted = True
            if self._connection is not None:
                self._connection.interrupt()

    @contextmanager
    def reaching(self, connection: Connection) -> Iterator[None]:
        """What the connection does within can be interrupted.

        Raises:
            duckdb.InterruptException: it was, before it began.
        """
        with self._lock:
            if self._wanted:
                raise duckdb.InterruptException("interrupted before it began")
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None


class DatabaseFile:
    """An open file."""

    def __init__(self, connection: Connection, memory_bytes: int) -> None:
        """Use `open`."""
        self._connection, self._memory_bytes = connection, memory_bytes
        self._writer = connection.cursor()
        self._meter, self._metering = connection.cursor(), threading.Lock()
        self._at_work: set[Connection] = {self._writer}
        self._lock = threading.RLock()
        self._owner: int | None = None  # the thread whose transaction is open

    @classmethod
    def open(cls, path: Path, settings: BatchSettings) -> Self:
        """Open the file, or create it; one of an older version is brought up to date.

        Raises:
            DatabaseRefused: another process has it open, it is no such file, or another version wrote it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = duckdb.connect(path, config=_config(settings))
        except duckdb.Error as error:
            raise DatabaseRefused(f"{path} cannot be opened: {error}") from error
        try:
            _bring_up_to_date(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(connection, settings.database_bytes)

    def close(self) -> None:
        """Wait for the transaction in hand, then close the file."""
        with self._lock, self._metering:
            self._meter.close()
            self._writer.close()
            self._connection.close()

    def set_memory_limit(self, limit_bytes: int) -> None:
        """Let DuckDB hold so much from now on; it drops pages of the file beyond that, and never what is in use."""
        with self._metering, suppress(duckdb.OutOfMemoryException):  # then more is in use
            self._meter.execute(f"SET memory_limit = '{limit_bytes}B'")

    def held_bytes(self) -> int:
        """Memory of queries and transactions: what DuckDB could not drop, as it could pages of its file."""
        with self._metering:
            try:
                return int(_HELD.value(self._meter))
            except duckdb.OutOfMemoryException:  # so full that there is no room for the answer
                return self._memory_bytes

    def interrupt(self) -> None:
        """Let whatever is running fail with `duckdb.InterruptException`."""
        for connection in tuple(self._at_work):
            connection.interrupt()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all that is done within is committed together, or, after an exception, not at all.

        Another one of the same thread within it is part of it: no exception may be caught between the two.
        """
        with self._lock:
            if self._owner is not None:
                yield self._writer
                return
            self._writer.begin()
            self._owner = threading.get_ident()
            try:
                yield self._writer
                self._writer.commit()
            except BaseException:
                with suppress(duckdb.Error):  # a commit that failed has left nothing to roll back
                    self._writer.rollback()
                raise
            finally:
                self._owner = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """What is committed; within the same thread's transaction, what is there."""
        if self._owner == threading.get_ident():
            yield self._writer
            return
        with self._connection.cursor() as cursor:
            self._at_work.add(cursor)
            try:
                yield cursor
            finally:
                self._at_work.discard(cursor)

    @contextmanager
    def snapshot(self, interruption: Interruption | None = None) -> Iterator[Connection]:
        """Like `reading`, but all questions are answered by one state, and temporary tables are let go at the end."""
        with self.reading() as connection, (interruption or Interruption()).reaching(connection):
            if self._owner == threading.get_ident():
                yield connection
                return
            connection.begin()
            try:
                yield connection
            finally:
                with suppress(duckdb.Error):  # after an interruption there may be nothing to end
                    connection.rollback()


def _config(settings: BatchSettings) -> dict[str, Any]:
    return {
        "TimeZone": "UTC",
        "memory_limit": f"{settings.database_bytes}B",
        "preserve_insertion_order": False,  # a query that an order matters to says so
        # Groups by numbers of so many bits are places of an array: sums by series take a third of the time, and 10 MB
        # for each thread. Where a site has more than 130,000 series of a source, they are summed up by hashes.
        "perfect_ht_threshold": 17,
        "autoinstall_known_extensions": False,
        "python_enable_replacements": False,  # a Python variable is never taken for a table
        **({"threads": settings.threads} if settings.threads else {}),
    }


def _bring_up_to_date(connection: Connection, path: Path) -> None:
    """Take the steps of the schema that are missing, and define views and macros as this program has them."""
    connection.begin()
    known = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'meta'").fetchall()
    rows = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall() if known else []
    version = int(rows[0][0]) if rows else 0
    if version > _NEWEST:
        raise DatabaseRefused(f"{path} has version {version}, but this program knows {_NEWEST}: use a newer one")
    if 0 < version < _OLDEST:
        raise DatabaseRefused(
            f"{path} has version {version}, which no release had: remove it, "
            "and the worker builds it again from the batches topic and the batch store"
        )
    for step in _STEPS[version - _OLDEST + 1 if version else 0 :]:
        connection.execute(step.sql)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', $version)", {"version": str(_NEWEST)})
    for definition in _DEFINITIONS:
        connection.execute(definition.sql)
    connection.commit()
