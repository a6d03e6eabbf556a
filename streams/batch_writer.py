"""One batch file in the making: blocks go to a temporary file until the window closes."""

import time
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
        self._form, self._source, self._partition, self._site_id = form, source, partition, site_id
        name = f"{source.value}-{partition}-{site_id}-{next(_SERIAL)}.avro"
        self._spool = store.spool(worker, name)
        self._sync = sync_marker(source.value, partition, site_id)
        self._unwritten: list[bytes] = [form.header(self._sync)]
        self.blocks = self.rows = 0

    def add(self, rows: pa.Table) -> None:
        """Encode rows, all or none, in blocks of at most `chunk_records`; `flush` writes them."""
        started = time.perf_counter()
        pieces = [rows.slice(start, self._chunk_records) for start in range(0, rows.num_rows, self._chunk_records)]
        blocks = [self._form.block(piece, self._partition, self._sync) for piece in pieces]
        self._unwritten += blocks
        metrics.ENCODE_SECONDS.observe(time.perf_counter() - started)
        self.blocks += len(blocks)
        self.rows += rows.num_rows

    def flush(self) -> None:
        """Write the blocks that are not written yet.

        Raises:
            StoreUnavailable: the blocks are kept; call again.
        """
        while self._unwritten:
            self._spool.append(self._unwritten[0])
            del self._unwritten[0]

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
            self._partition,
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
