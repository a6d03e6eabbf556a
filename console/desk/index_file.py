"""The index's file: one SQLite database in WAL mode that commands and the web console share.

It is only a cache of the topics: a file that another version wrote, or that is damaged, is put aside for a new one.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import structlog

from console.desk.statements import statement
from console.errors import CommandFailed
from runtime.settings import Settings

log = structlog.get_logger(__name__)

VERSION = 2  # of the tables, and of how letters are grouped: raise it with either
BUSY_S = 30.0
CACHE_KIB = 32 << 10
PAGE = 16_384  # bytes, forty letters: for smaller ones the log and the building of indexes take longer
_DAMAGED = ("malformed", "not a database", "disk image")


def index_path(settings: Settings) -> Path:
    """Where the index of a pipeline lies."""
    return settings.state_dir / "desk" / "letters.sqlite"


def open_file(path: Path) -> sqlite3.Connection:
    """A connection for one thread at a time, to a file that has the tables; what it holds may be empty.

    Raises:
        CommandFailed: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _opened(path)
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            put_aside(path, error)
            return _opened(path)
    except (sqlite3.OperationalError, OSError) as error:
        raise CommandFailed(f"the index of dead letters {path} cannot be used: {error}") from error


def is_damaged(error: Exception) -> bool:
    """Whether an error means that the file is no good, and not that it is busy or out of reach."""
    return isinstance(error, sqlite3.DatabaseError) and any(part in str(error) for part in _DAMAGED)


def put_aside(path: Path, why: Exception) -> None:
    """Remove a damaged file; a process that has it open goes on with it unharmed until it opens it again."""
    log.warning("the index of dead letters is damaged and is built again", path=str(path), error=str(why))
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with suppress(FileNotFoundError):
            name.unlink()


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE}")  # of a file that is made now; others keep theirs
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a crash of the machine may cost what can be read again
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if _version(connection) != VERSION:
            with writing(connection):
                if _version(connection) != VERSION:  # nobody else was quicker
                    make_anew(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("PRAGMA user_version")) as answer:
        return answer.fetchone()[0]


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that nobody else writes beside."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def make_anew(connection: sqlite3.Connection) -> None:
    """Drop every table and make ours, within the transaction that is open."""
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        connection.execute(f'DROP TABLE "{name}"')
    _run(connection, "schema")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def add_indexes(connection: sqlite3.Connection) -> None:
    """Index the letters by all that they are looked for by; costs nothing where they are."""
    _run(connection, "letter_indexes")


def _run(connection: sqlite3.Connection, name: str) -> None:
    for part in statement(name).split(";\n"):
        connection.execute(part)


def ask(connection: sqlite3.Connection, name: str, *values: object) -> list[tuple]:
    """The rows of a statement of `index.sql`."""
    return connection.execute(statement(name), values).fetchall()
