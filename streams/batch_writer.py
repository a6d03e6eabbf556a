"""One batch file in the making: blocks go to a temporary file until the window closes."""

import time
from collections.abc import Sequence
from itertools import count

import pyarrow as pa

from runtime.store import BatchStore, StoredFile
from schemas.records import Window
from schemas.sources import Source
from streams import metrics
from streams.batch_file import BatchFormat, batch_path, sync_marker

_SERIAL = count(1)  # a partition that was lost and came back must not meet its own leftovers


class BatchWriter:
    """Writes rows of one site, and of one window unless they are corrections. Its methods block: call in a thread.

    After `StoreUnavailable` every method can be called again; nothing is lost and nothing is written twice.
    """

    def __init__(
        self,
        form: BatchFormat,
        store: BatchStore,
        worker: str,
        source: Source,
        partition: int,
        site_id: str,
        chunk_records: int,
    ) -> None:
        self._chunk_records = chunk_records
        self.form, self._source, self.partition, self._site_id = form, source, partition, site_id
        name = f"{source.value}-{partition}-{site_id}-{next(_SERIAL)}.avro"
        self._spool = store.spool(worker, name)
        self.sync = sync_marker(source.value, partition, site_id)
        self._unwritten: list[bytes] = [form.header(self.sync)]
        self.blocks = self.rows = 0

    def add(self, rows: pa.Table) -> None:
        """Encode rows, all or none, in blocks of at most `chunk_records`; `flush` writes them."""
        add_each([self], [rows])

    def take(self, block: bytes, rows: int) -> None:
        """A block of so many rows comes next in the file."""
        self._unwritten.append(block)
        self.blocks += 1
        self.rows += rows

    def flush(self) -> None:
        """Write the blocks that are not written yet.

        Raises:
            StoreUnavailable: the blocks are kept; call again.
        """
        if self._unwritten:
            self._spool.append(b"".join(self._unwritten))
            self._unwritten.clear()

    def finish(self, window: Window | None, seq: int, first_offset: int, last_offset: int) -> tuple[str, StoredFile]:
        """Make the file durable under its immutable name; `window` is None for corrections.

        Returns:
            The batch id, and what was stored.
        """
        started = time.perf_counter()
        self.flush()
        batch_id, path = batch_path(
            self._source,
            self._site_id,
            window,
            self.partition,
            seq,
            first_offset,
            last_offset,
            self._spool.sha256[:8],
        )
        stored = self._spool.finish(path)
        metrics.FINISH_SECONDS.observe(time.perf_counter() - started)
        return batch_id, stored

    def discard(self) -> None:
        """Remove the temporary file; the rows will be read from the log again."""
        self._spool.discard()

    def pieces(self, rows: pa.Table) -> list[pa.Table]:
        """The rows, cut as they will be in blocks."""
        return [rows.slice(start, self._chunk_records) for start in range(0, rows.num_rows, self._chunk_records)]


def add_each(writers: Sequence[BatchWriter], tables: Sequence[pa.Table]) -> None:
    """`add` each table to its writer, with one pass over all rows. The writers are of one source partition."""
    started, first = time.perf_counter(), writers[0]
    pieces = [(writer, piece) for writer, rows in zip(writers, tables, strict=True) for piece in writer.pieces(rows)]
    syncs = [writer.sync for writer, _ in pieces]
    blocks = first.form.blocks([piece for _, piece in pieces], first.partition, syncs)
    metrics.ENCODE_SECONDS.observe(time.perf_counter() - started)
    for (writer, piece), block in zip(pieces, blocks, strict=True):
        writer.take(block, piece.num_rows)
