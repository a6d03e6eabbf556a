"""What a batch file holds, decoded by fastavro under the schema it was written with, against what its manifest says.

No I/O: bytes in, findings out.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, cast

import fastavro
import numpy as np
from fastavro.schema import to_parsing_canonical_form

from console.evidence import Offsets
from schemas.records import BatchKind, Manifest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class BatchUnreadable(Exception):
    """A batch file is not Avro as it should be."""


@dataclass(slots=True)
class BatchContent:
    """A decoded file. `offsets` and `id_hashes` have shape (records,); `windows`: start to (earliest, latest) event."""

    fingerprint: str
    codec: str
    blocks: int = 0
    offsets: Offsets = field(default_factory=lambda: np.empty(0, np.int64))
    id_hashes: Offsets = field(default_factory=lambda: np.empty(0, np.int64))
    sites: set[str] = field(default_factory=set[str])
    source_partitions: set[int] = field(default_factory=set[int])
    windows: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])


def read_content(data: bytes) -> BatchContent:
    """Decode a whole file.

    Raises:
        BatchUnreadable: it cannot be decoded; says why.
    """
    try:
        return _read(data)
    except Exception as error:  # fastavro raises what it happens to stumble over
        raise BatchUnreadable(f"it cannot be read as Avro: {error!r}") from error


def _read(data: bytes) -> BatchContent:
    reader = fastavro.block_reader(BytesIO(data))
    schema = json.loads(reader.metadata["avro.schema"])
    content = BatchContent(hashlib.sha256(to_parsing_canonical_form(schema).encode()).hexdigest(), reader.codec)
    offsets: list[int] = []
    ids: list[int] = []
    spans: dict[datetime, tuple[datetime, datetime]] = {}
    for block in reader:
        content.blocks += 1
        for record in cast("Iterable[dict[str, Any]]", block):
            offsets.append(record["source_offset"])
            ids.append(hash(record["event_id"]))
            content.sites.add(record["site_id"])
            content.source_partitions.add(record["source_partition"])
            start, at = record["window_start"], record["event_time"]
            earliest, latest = spans.get(start, (at, at))
            spans[start] = (min(earliest, at), max(latest, at))
    content.offsets, content.id_hashes = np.array(offsets, np.int64), np.array(ids, np.int64)
    content.windows = {_ms(start): (_ms(earliest), _ms(latest)) for start, (earliest, latest) in spans.items()}
    return content


def _ms(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND


def contradictions(manifest: Manifest, content: BatchContent) -> Iterator[str]:
    """Everything in which a file is not what its manifest says."""
    offsets = content.offsets
    bounds = (int(offsets.min()), int(offsets.max())) if len(offsets) else None
    said_and_found = (
        ("schema fingerprint", manifest.schema_fingerprint, content.fingerprint),
        ("codec", manifest.codec, content.codec),
        ("blocks", manifest.block_count, content.blocks),
        ("records", manifest.record_count, len(offsets)),
        ("first and last offset", (manifest.first_offset, manifest.last_offset), bounds),
        ("sites", {manifest.site_id}, content.sites),
        ("source partitions", {manifest.source_partition}, content.source_partitions),
        ("windows", {window.start for window in manifest.windows}, set(content.windows)),
    )
    yield from (
        f"{name}: the manifest says {said}, the file {found}" for name, said, found in said_and_found if said != found
    )
    if len(np.unique(offsets)) != len(offsets):
        yield "it holds an offset twice"
    yield from _time_contradictions(manifest, content)


def _time_contradictions(manifest: Manifest, content: BatchContent) -> Iterator[str]:
    if manifest.kind is BatchKind.ON_TIME and len(manifest.windows) != 1:
        yield f"an on-time batch has one window, not {len(manifest.windows)}"
    for window in manifest.windows:
        earliest, latest = content.windows.get(window.start, (window.start, window.start))
        if not window.start <= earliest <= latest < window.end:
            yield f"events of [{earliest}, {latest}] are filed under the window [{window.start}, {window.end})"
    if content.windows:
        earliest = min(first for first, _ in content.windows.values())
        latest = max(last for _, last in content.windows.values())
        if (earliest, latest) != (manifest.min_event_time, manifest.max_event_time):
            yield f"events lie in [{earliest}, {latest}], not [{manifest.min_event_time}, {manifest.max_event_time}]"
