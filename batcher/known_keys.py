"""Which facts came before under the ids of new ones: by a table in memory, and a look at the few facts it names."""

import numpy as np
import pyarrow as pa

from batcher.key_table import KeyTable, Numbers, TableFull
from batcher.queries import Connection, load_queries, registered
from batcher.row_hash import Hashes

_QUERIES = load_queries("known_keys")
_LEAST = 1 << 21  # facts that there is room for from the start, in 16 MiB: a young table would be made again and again
_MOST_SPANS = 32  # further ones are read as one, with what lies between them
_LAST_BATCH_NO = (1 << 31) - 1


class KnownKeys:
    """The key hashes of one file's facts, as far as `memory_bytes` allow; beyond that, the newest facts are read.

    The table is made of the facts when it is first needed, and again, twice as large, when it is full. It may know more
    than the facts, of transactions that were rolled back, and never less.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._most = KeyTable.capacity_within(memory_bytes)
        self._table: KeyTable | None = None
        self._unlisted_from = _LAST_BATCH_NO  # facts of this batch and later ones have found no room

    def find(self, connection: Connection, hashes: Hashes, newest_batch_no: int) -> Hashes:
        """Those of the hashes that facts have; the facts themselves are in a table `known` then.

        `newest_batch_no` is that of the last batch that the hashes are from, new facts or none.
        """
        table = self._table or self._fill(connection, newest_batch_no)
        _QUERIES["no_known"].rows(connection)
        spans = [(span.first, span.last, hashes[span.rows]) for span in table.look_up(hashes)]
        if len(spans) > _MOST_SPANS:
            spans = [(spans[0][0], spans[-1][1], hashes)]
        for first, last, suspects in spans:
            self._check(connection, first, min(last, self._unlisted_from - 1), suspects)
        if self._unlisted_from < _LAST_BATCH_NO:
            self._check(connection, self._unlisted_from, _LAST_BATCH_NO, hashes)
        return _hashes(_QUERIES["known_hashes"].table(connection))

    def add(self, hashes: Hashes, batch_nos: Numbers) -> None:
        """Rows with these hashes, of these batches, both of shape (n,), are facts or conflicts now."""
        if self._table is None or self._unlisted_from < _LAST_BATCH_NO:
            return
        try:
            self._table.add(hashes, batch_nos)
        except TableFull:
            self._table = None  # the next one is made of the facts, these among them

    def shrink(self) -> None:
        """Take half the memory from now on, down to that of the smallest table; facts without room are read instead."""
        if self._most > (least := KeyTable.capacity_within(0)):
            self._most = max(least, self._most // 2)
            self._table, self._unlisted_from = None, _LAST_BATCH_NO

    def _check(self, connection: Connection, first: int, last: int, suspects: Hashes) -> None:
        with registered(connection, "suspects", pa.table({"key_hash": suspects})):
            _QUERIES["add_known"].rows(connection, first=first, last=last)

    def _fill(self, connection: Connection, newest_batch_no: int) -> KeyTable:
        per_batch = _QUERIES["facts_per_batch"].table(connection)
        batch_nos, ends = _numbers(per_batch, "batch_no"), np.cumsum(_numbers(per_batch, "facts"))
        listed = int(np.searchsorted(ends, self._most, "right"))
        self._unlisted_from = int(batch_nos[listed]) if listed < len(batch_nos) else _LAST_BATCH_NO
        facts = int(ends[-1]) if len(ends) else 0
        self._table = KeyTable(min(self._most, max(_LEAST, 2 * facts + 1)), 2 * newest_batch_no)
        stored = _QUERIES["listed_hashes"].reader(connection, unlisted_from=self._unlisted_from)
        for rows in stored:
            self._table.add(_hashes(rows), _numbers(rows, "batch_no"))
        return self._table


def _hashes(rows: pa.Table | pa.RecordBatch) -> Hashes:
    return np.asarray(rows.column("key_hash")).astype(np.uint64, copy=False)


def _numbers(rows: pa.Table | pa.RecordBatch, name: str) -> Numbers:
    return np.asarray(rows.column(name)).astype(np.int64, copy=False)
