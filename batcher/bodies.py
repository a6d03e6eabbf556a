"""What facts leave out: whole events, read again from the files of their batches, which are kept for good."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from batcher.avro_reader import BatchUnreadable
from batcher.batch_events import COLUMNS, OtherColumns, read_events
from batcher.queries import Connection, load_queries, registered
from runtime.store import BatchMissing, StoredFile
from schemas.sources import Source

_QUERIES = load_queries("bodies")

#: The bytes of a batch file, as `BatchStore.read_verified` gives them; it may raise a `StoreError`.
FileReader = Callable[[StoredFile], bytes]


#: What `read` gives where nothing is wanted.
NONE = pa.schema([pa.field("batch_no", pa.int32()), *COLUMNS]).empty_table()


def no_files(file: StoredFile) -> bytes:
    """The reader of a process that has no batch store.

    Raises:
        BatchMissing: always.
    """
    raise BatchMissing(f"{file.path} is needed, but there is no batch store here")


def read(
    connection: Connection,
    wanted: pa.Table,
    read_file: FileReader,
    at_hand: Mapping[int, bytes] = MappingProxyType({}),
) -> pa.Table:
    """Whole events: `batch_no`, and the columns of `read_events`, null where their source has no such field.

    `wanted` names them by batch_no, key_hash and body_hash, once or more often, with their source and site_id; each
    comes once. `at_hand` has the files of batches that are not in the catalogue yet, by number.

    Raises:
        StoreError, BatchUnreadable: a file is not there, or not what it was.
    """
    with registered(connection, "wanted_bodies", wanted):
        return _read(connection, wanted, read_file, at_hand)


def _read(connection: Connection, wanted: pa.Table, read_file: FileReader, at_hand: Mapping[int, bytes]) -> pa.Table:
    found = [NONE]
    once = wanted.group_by(["batch_no", "source", "site_id", "key_hash", "body_hash"]).aggregate([])
    for batch in once.group_by(["batch_no", "source", "site_id"]).aggregate([([], "count_all")]).to_pylist():
        number = batch["batch_no"]
        if number in at_hand:
            name, file = f"batch number {number}", at_hand[number]
        else:
            place = _place(connection, number)
            name, file = place.path, read_file(place)
        try:
            events = read_events(Source(batch["source"]), batch["site_id"], file)
        except (BatchUnreadable, OtherColumns) as error:
            raise BatchUnreadable(f"{name}: {error}") from error
        numbers = pa.array(np.full(len(events), number, np.int32))
        with registered(connection, "told_events", events.add_column(0, "batch_no", numbers)):
            found.append(_QUERIES["pick"].table(connection))
        if missing := batch["count_all"] - len(found[-1]):
            raise BatchUnreadable(f"{name} has {missing} events no more that it had once")
    return pa.concat_tables(found, promote_options="default")


def _place(connection: Connection, batch_no: int) -> StoredFile:
    ((path, size, sha256),) = _QUERIES["place"].rows(connection, batch_no=batch_no)
    return StoredFile(path, size, sha256)
