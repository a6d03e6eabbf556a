"""The open windows of one source partition: rows on their way to a batch file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from schemas.offsets import add_hashes, hash_text, offsets_hash
from schemas.records import ClosedBy, OpenWindow, Window
from streams.event_times import Mask
from streams.windowing import WindowedRows

WindowKey = tuple[str, int]  # site, start


@dataclass(slots=True)
class WindowBuffer:
    """One window of one site. `buffered` rows are in memory; the rest of `count` went to its temporary file."""

    site_id: str
    window: Window
    first_offset: int
    last_offset: int = -1
    count: int = 0
    hash: int = 0
    min_event_time: int = 0
    max_event_time: int = 0
    buffered: list[pa.Table] = field(default_factory=list[pa.Table])
    buffered_rows: int = 0
    closed_by: ClosedBy | None = None

    @property
    def key(self) -> WindowKey:
        """What names the window among its partition's."""
        return self.site_id, self.window.start

    def add(self, rows: WindowedRows) -> None:
        """Take rows that all belong to this window, in offset order."""
        earliest, latest = int(rows.event_times.min()), int(rows.event_times.max())
        self.min_event_time = min(self.min_event_time, earliest) if self.count else earliest
        self.max_event_time = max(self.max_event_time, latest) if self.count else latest
        self.count += len(rows)
        self.last_offset = int(rows.offsets[-1])
        self.hash = add_hashes((self.hash, offsets_hash(rows.offsets)))
        self.buffered.append(rows.table)
        self.buffered_rows += len(rows)

    def rows(self) -> pa.Table:
        """The rows in memory, in offset order."""
        return pa.concat_tables(self.buffered)

    def clear(self) -> None:
        """Forget the rows in memory: they are in the temporary file now, or on their way."""
        self.buffered, self.buffered_rows = [], 0

    def take_rows(self) -> pa.Table:
        """Hand over the rows in memory, in offset order; the caller now keeps them."""
        rows = self.rows()
        self.clear()
        return rows

    def summary(self) -> OpenWindow:
        """What a frontier record says of the window."""
        return OpenWindow(
            site_id=self.site_id,
            start=self.window.start,
            end=self.window.end,
            first_offset=self.first_offset,
            count=self.count,
            offsets_hash=hash_text(self.hash),
        )


class OpenWindows:
    """All windows of a partition that are not settled: open ones, and closed ones whose batch is not committed yet."""

    def __init__(self) -> None:
        self._buffers: dict[WindowKey, WindowBuffer] = {}

    def __iter__(self) -> Iterator[WindowBuffer]:
        return iter(self._buffers.values())

    def __len__(self) -> int:
        return len(self._buffers)

    def add(self, rows: WindowedRows, on_time: Mask | None = None) -> None:
        """Take rows of any sites and windows; only those that are `on_time`, if given."""
        for group in rows.by_window(on_time):
            site, start = group.site_ids[int(group.sites[0])], int(group.starts[0])
            buffer = self._buffers.get((site, start))
            if buffer is None:
                window = Window(start, int(group.ends[0]))
                buffer = self._buffers[site, start] = WindowBuffer(site, window, int(group.offsets[0]))
            buffer.add(group)

    def close(self, frontier: int, cause: ClosedBy) -> None:
        """Mark the windows that end at or before `frontier` as closed, by `cause` if nothing closed them before."""
        for buffer in self._buffers.values():
            if buffer.closed_by is None and buffer.window.end <= frontier:
                buffer.closed_by = cause

    @property
    def any_closed(self) -> bool:
        """Whether a checkpoint has windows to take."""
        return any(buffer.closed_by is not None for buffer in self)

    def closed(self) -> list[WindowBuffer]:
        """Closed windows by site and start."""
        return sorted((b for b in self if b.closed_by is not None), key=lambda b: b.key)

    def open(self) -> list[WindowBuffer]:
        """Open windows by site and start."""
        return sorted((b for b in self if b.closed_by is None), key=lambda b: b.key)

    def settle(self, keys: list[WindowKey]) -> None:
        """Forget windows whose batches are committed."""
        for key in keys:
            del self._buffers[key]

    def to_spill(self, chunk_records: int) -> list[WindowBuffer]:
        """Windows with a whole block of rows in memory."""
        return [buffer for buffer in self if buffer.buffered_rows >= chunk_records]

    @property
    def buffered_rows(self) -> int:
        """Rows in memory over all windows."""
        return sum(buffer.buffered_rows for buffer in self)


def named(windows: Sequence[OpenWindow], most: int = 3) -> str:
    """Some of these windows, for a message."""
    shown = [f"{w.site_id}[{w.start}, {w.end}) {w.count} records, hash {w.offsets_hash}" for w in windows[:most]]
    return "; ".join(shown) or "none"
