"""Checkpoint of a source partition: files first, then one transaction that says they exist.

The steps are those of a crash test: after each, a kill leaves either nothing, or a file that no manifest names, or a
whole checkpoint. `write_files` can be called again after `StoreUnavailable` and goes on where it stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from runtime import VERSION
from runtime.crash_points import crash_point
from runtime.store import StoredFile
from schemas.records import BatchKind, ClosedBy, Frontier, Manifest, Window
from schemas.sources import Source
from streams.batch_file import BatchFormat
from streams.batch_writer import BatchWriter, add_each
from streams.ledger import Entry
from streams.open_windows import WindowBuffer, WindowKey
from streams.snapshot import Snapshot
from streams.windowing import WindowedRows

SMALL_ROWS = 1_000
WINDOWS_PER_PASS = 50


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose checkpoint it is, as its records say."""

    source: Source
    topic: str
    partition: int
    topic_id: str
    worker_id: str
    settings_hash: str


@dataclass(slots=True)
class Checkpoint:
    """One checkpoint on its way. `writers` holds the temporary files of windows that have spilled before."""

    identity: Identity
    snapshot: Snapshot
    form: BatchFormat
    writers: "WriterPool"
    manifests: list[Manifest] = field(default_factory=list[Manifest])

    def write_files(self) -> None:
        """Finish the file of every closing window and of each site's corrections. Blocks.

        Raises:
            StoreUnavailable: call again once the store is back.
        """
        done = {(manifest.kind, manifest.site_id, manifest.windows[0].start) for manifest in self.manifests}
        closing = [buffer for buffer in self.snapshot.closing if (BatchKind.ON_TIME, *buffer.key) not in done]
        self._encode_small(closing)
        for buffer in closing:
            self.manifests.append(self._finish_window(buffer))
        corrected = {site for kind, site, _ in done if kind is BatchKind.CORRECTION}
        for site_id, parts in _by_site(self.snapshot.pending.corrections).items():
            if site_id not in corrected:
                self.manifests.append(self._finish_corrections(site_id, parts))
        crash_point("stream.after_rename")

    def entry(self, announced: dict[int, int], now: int) -> Entry:
        """What the transaction says; `announced` holds the last manifest offset per batches partition so far."""
        snapshot, identity = self.snapshot, self.identity
        frontier = Frontier(
            source=identity.source,
            source_topic=identity.topic,
            source_partition=identity.partition,
            topic_id=identity.topic_id,
            checkpoint_seq=snapshot.seq,
            position=snapshot.position,
            frontier=snapshot.frontier,
            max_event_time=snapshot.max_event_time,
            committed=snapshot.committed,
            settings_hash=identity.settings_hash,
            manifests=announced,
            open_windows=snapshot.open_windows,
            counts=snapshot.counts,
            gaps=snapshot.gaps,
            idle=snapshot.idle,
            last_drain=snapshot.last_drain,
            worker_id=identity.worker_id,
            pipeline_version=VERSION,
            checkpoint_at=now,
        )
        return Entry(self.manifests, snapshot.pending.dead_letters, frontier)

    def _encode_small(self, closing: list[WindowBuffer]) -> None:
        """Encode what small windows hold in memory, many of them together: each pass over rows has its price."""
        small = [buffer for buffer in closing if 0 < buffer.buffered_rows <= SMALL_ROWS]
        for first in range(0, len(small), WINDOWS_PER_PASS):
            together = small[first : first + WINDOWS_PER_PASS]
            add_each([self.writers.of(buffer.key) for buffer in together], [buffer.rows() for buffer in together])
            for buffer in together:
                buffer.clear()

    def _finish_window(self, buffer: WindowBuffer) -> Manifest:
        writer = self.writers.of(buffer.key)
        if buffer.buffered:
            writer.add(buffer.rows())
            buffer.clear()
        crash_point("stream.after_file")
        batch_id, stored = writer.finish(buffer.window, self.snapshot.seq, buffer.first_offset, buffer.last_offset)
        manifest = self._manifest(
            batch_id,
            stored,
            writer,
            BatchKind.ON_TIME,
            buffer.site_id,
            (buffer.window,),
            buffer.count,
            (buffer.first_offset, buffer.last_offset),
            (buffer.min_event_time, buffer.max_event_time),
            buffer.closed_by or ClosedBy.WATERMARK,
        )
        self.writers.forget(buffer.key)
        return manifest

    def _finish_corrections(self, site_id: str, parts: list[WindowedRows]) -> Manifest:
        key = (site_id, -self.snapshot.seq)
        writer = self.writers.of(key)
        if not writer.blocks:
            writer.add(pa.concat_tables(part.table for part in parts))
        offsets = np.concatenate([part.offsets for part in parts])
        times = np.concatenate([part.event_times for part in parts])
        bounds = int(offsets.min()), int(offsets.max())
        crash_point("stream.after_file")
        batch_id, stored = writer.finish(None, self.snapshot.seq, *bounds)
        manifest = self._manifest(
            batch_id,
            stored,
            writer,
            BatchKind.CORRECTION,
            site_id,
            _windows_of(parts),
            len(offsets),
            bounds,
            (int(times.min()), int(times.max())),
            ClosedBy.WATERMARK,
        )
        self.writers.forget(key)
        return manifest

    def _manifest(
        self,
        batch_id: str,
        stored: StoredFile,
        writer: BatchWriter,
        kind: BatchKind,
        site_id: str,
        windows: tuple[Window, ...],
        count: int,
        offsets: tuple[int, int],
        times: tuple[int, int],
        closed_by: ClosedBy,
    ) -> Manifest:
        if writer.rows != count:
            raise RuntimeError(f"batch {batch_id} holds {writer.rows} rows of {count}; it must not be announced")
        identity = self.identity
        return Manifest(
            batch_id=batch_id,
            source=identity.source,
            source_topic=identity.topic,
            source_partition=identity.partition,
            site_id=site_id,
            kind=kind,
            windows=windows,
            record_count=count,
            first_offset=offsets[0],
            last_offset=offsets[1],
            min_event_time=times[0],
            max_event_time=times[1],
            path=stored.path,
            bytes=stored.bytes,
            sha256=stored.sha256,
            schema_fingerprint=self.form.schema_fingerprint,
            codec=self.form.codec,
            block_count=writer.blocks,
            closed_by=closed_by,
            checkpoint_seq=self.snapshot.seq,
            settings_hash=identity.settings_hash,
            pipeline_version=VERSION,
        )


class WriterPool:
    """The batch files that one partition has under way, by (site, window start)."""

    def __init__(self, make: Callable[[str], BatchWriter]) -> None:
        self._make = make
        self._writers: dict[WindowKey, BatchWriter] = {}

    def of(self, key: WindowKey) -> BatchWriter:
        """The writer of a window, made at first use."""
        if key not in self._writers:
            self._writers[key] = self._make(key[0])
        return self._writers[key]

    def forget(self, key: WindowKey) -> None:
        """Its file is finished."""
        self._writers.pop(key, None)

    def discard(self) -> None:
        """Remove every temporary file."""
        for writer in self._writers.values():
            writer.discard()
        self._writers.clear()


def _by_site(corrections: list[WindowedRows]) -> dict[str, list[WindowedRows]]:
    parts: dict[str, list[WindowedRows]] = {}
    for rows in corrections:
        for group in rows.by_site():
            parts.setdefault(group.site_ids[int(group.sites[0])], []).append(group)
    return dict(sorted(parts.items()))


def _windows_of(parts: list[WindowedRows]) -> tuple[Window, ...]:
    bounds = {(int(start), int(end)) for part in parts for start, end in zip(part.starts, part.ends, strict=True)}
    return tuple(Window(start, end) for start, end in sorted(bounds))
