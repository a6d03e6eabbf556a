"""The catalogue: batches as they were announced, the sites they name, the windows that are complete, and offsets."""

from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from batcher.queries import load_queries, registered
from schemas.codecs import encode
from schemas.records import BatchKind, Manifest, Window

_QUERIES = load_queries("catalogue")


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of the catalogue: its manifest, where that stood on the batches topic, and what became of its records."""

    batch_no: int
    manifest: Manifest
    partition: int
    offset: int
    facts_new: int
    duplicates: int
    conflicts: int

    def to_row(self) -> dict[str, Any]:
        """A row of `batches`. The window of a correction is null: it may span several."""
        manifest = self.manifest
        window = manifest.windows[0] if manifest.kind is BatchKind.ON_TIME else None
        return {
            **{name: getattr(manifest, name) for name in _AS_ANNOUNCED},
            "batch_no": self.batch_no,
            "window_start_ms": window and window.start,
            "window_end_ms": window and window.end,
            "min_event_time_ms": manifest.min_event_time,
            "max_event_time_ms": manifest.max_event_time,
            "manifest": encode(manifest).decode(),
            "partition": self.partition,
            "offset": self.offset,
            "facts_new": self.facts_new,
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
        }
