"""Ids that have more than one body: the lowest SHA-256 decides which one is the fact, whatever came first."""

from collections.abc import Mapping

from batcher import bodies
from batcher.bodies import FileReader
from batcher.queries import Connection, load_queries, registered

_QUERIES = load_queries("contest")


def none(connection: Connection) -> None:
    """Nothing is contested: let `contenders` be empty."""
    _QUERIES["no_contenders"].rows(connection)


def settle(connection: Connection, read_file: FileReader, at_hand: Mapping[int, bytes]) -> None:
    """Decide between the `contested_rows` and what is there under their ids; see `bodies.read` for the files.

    Afterwards facts and conflicts are as they should be, and a table `contenders` says what has become of each body.

    Raises:
        StoreError, BatchUnreadable: the file of a body is not there, or not what it was.
    """
    for step in ("stage_none", "stage", "find_rivals"):
        _QUERIES[step].rows(connection)
    wanted = _QUERIES["wanted_bodies"].table(connection)
    with registered(connection, "bodies", bodies.read(connection, wanted, read_file, at_hand)):
        _QUERIES["judge"].rows(connection)
    for step in ("remove_beaten", "insert_winners", "insert_losers"):
        _QUERIES[step].rows(connection)
