"""Batches made by hand: a few events with a few words each, for tests that know the answer."""

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from batcher.database import Database
from runtime.settings import BatchSettings, Settings, VelocitySettings
from schemas.codecs import schema_fingerprint
from schemas.instants import parse_rfc3339
from schemas.records import BatchKind, ClosedBy, Manifest, Window
from schemas.sources import BATCH_SCHEMAS, FIELDS, FieldKind, Source
from schemas.windows import SiteWindows, SiteZones, WindowSpec

SITE = "S1"
_ARROW = {FieldKind.TIME: pa.int64(), FieldKind.INTEGER: pa.int64(), FieldKind.DECIMAL: pa.float64()}
_serial = itertools.count(1)

Event = dict[str, Any]


def order(event_id: str, at: str, **fields: Any) -> Event:
    """An order of one piece of SKU `A` at site `S1`, but for `fields`. `at` is RFC 3339."""
    return _event(
        event_id, at, {"quantity": 1.0, "order_id": "O1", "line": 1, "channel": None, "promo_id": None} | fields
    )


def returned(event_id: str, at: str, **fields: Any) -> Event:
    """A return of one piece, likewise."""
    defaults = {"quantity": 1.0, "order_id": None, "line": None, "channel": None, "return_id": "R1", "reason": None}
    return _event(event_id, at, defaults | fields)


def counted(event_id: str, at: str, **fields: Any) -> Event:
    """A cycle count without a difference, likewise."""
    defaults = {"count_id": "C1", "variance": 0.0, "book_quantity": None, "location_id": None, "reason": None}
    return _event(event_id, at, defaults | fields)


def _event(event_id: str, at: str, fields: Mapping[str, Any]) -> Event:
    common = {"event_id": event_id, "site_id": SITE, "sku": "A", "event_time": parse_rfc3339(at), "uom": "EA"}
    return {**common, **fields}


def rows_of(source: Source, events: Iterable[Event]) -> pa.Table:
    """Events as the rows of a batch."""
    schema = pa.schema([(field.name, _ARROW.get(field.kind, pa.string())) for field in FIELDS[source]])
    return pa.Table.from_pylist(list(events), schema)


def batch(source: Source, *events: Event, batch_id: str | None = None) -> tuple[Manifest, pa.Table]:
    """A batch of events of one site, under a new id if none is given: its manifest and its rows."""
    rows, number = rows_of(source, events), next(_serial)
    times = rows.column("event_time").to_pylist()
    manifest = Manifest(
        batch_id=batch_id or f"batch-{number}",
        source=source,
        source_topic=f"wms.{source}.v1",
        source_partition=0,
        site_id=events[0]["site_id"],
        kind=BatchKind.CORRECTION,
        windows=(Window(min(times), max(times) + 1),),
        record_count=len(events),
        first_offset=0,
        last_offset=len(events) - 1,
        min_event_time=min(times),
        max_event_time=max(times),
        path=f"{source}/batch-{number}.avro",
        bytes=1,
        sha256="0" * 64,
        schema_fingerprint=schema_fingerprint(BATCH_SCHEMAS[source]),
        codec="deflate",
        block_count=1,
        closed_by=ClosedBy.WATERMARK,
        checkpoint_seq=number,
        settings_hash="0" * 16,
        pipeline_version="0",
    )
    return manifest, rows


def body_sha256(event: Event) -> str:
    """The contract, independently: fields sorted by name, compact JSON, null where null, quantities with 3 decimals."""
    parts = (f'"{name}":{_json_text(name, value)}' for name, value in sorted(event.items()))
    return hashlib.sha256(f"{{{','.join(parts)}}}".encode()).hexdigest()


def _json_text(name: str, value: Any) -> str:
    if name in {"quantity", "variance", "book_quantity"} and value is not None:
        return f"{Decimal(str(value)):.3f}"
    escaped = json.dumps(value, ensure_ascii=False)
    return re.sub(r"(?<!\\)((?:\\\\)*\\u)(00[01][0-9a-f])", lambda found: found[1] + found[2].upper(), escaped)


def open_database(
    path: Path | None = None, *, spec: str = "PT1H", zone: str = "UTC", keep_runs: int = 24, **rules: Any
) -> Database:
    """A database, in memory if no path is given; `zone` is that of all sites, `rules` are velocity settings."""
    batch_settings = BatchSettings(threads=2, memory_limit="512MB", keep_runs=keep_runs)
    settings = Settings(velocity=VelocitySettings(**rules), batch=batch_settings)
    windows = SiteWindows(WindowSpec.parse(spec), SiteZones({}, zone))
    return Database.open(path or Path(":memory:"), settings, windows)
