"""Batches made by hand: a few events with a few words each, for tests that know the answer."""

import hashlib
import io
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro

from batcher.bodies import FileReader
from batcher.database import Database
from batcher.facts import Load
from runtime.settings import BatchSettings, Settings, VelocitySettings
from schemas.codecs import parsed_schema, schema_fingerprint
from schemas.instants import parse_rfc3339
from schemas.records import BatchKind, ClosedBy, Manifest, Window
from schemas.sources import BATCH_SCHEMAS, Source
from schemas.windows import SiteWindows, SiteZones, WindowSpec

SITE = "S1"
_files: dict[str, bytes] = {}  # of all batches made by hand, by path
_serial = itertools.count(1)

Event = dict[str, Any]
Sourced = tuple[Source, Event]
Schema = dict[str, Any]


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


def avro_file(source: Source, events: Iterable[Event], schema: Schema | None = None) -> bytes:
    """Events as the file of a batch, as another program writes it; of the source's schema if no other is given."""
    file, places = io.BytesIO(), {"source_partition": 0, "source_offset": 0, "window_start": 0}
    records = [event | places for event in events]
    fastavro.writer(file, schema or parsed_schema(BATCH_SCHEMAS[source]), records, codec="deflate")
    return file.getvalue()


def batch(source: Source, *events: Event, batch_id: str | None = None) -> tuple[Manifest, bytes]:
    """A batch of events of one site, under a new id if none is given: its manifest and its file."""
    file, number = avro_file(source, events), next(_serial)
    times = [event["event_time"] for event in events]
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
    _files[manifest.path] = file
    return manifest, file


def loads(events: Iterable[Sourced]) -> list[Load]:
    """The events in their order, as batches of one source and site each."""
    groups: dict[tuple[Source, str], list[Event]] = defaultdict(list)
    for source, event in events:
        groups[source, event["site_id"]].append(event)
    return [Load(*batch(source, *group), partition=0, offset=0) for (source, _), group in groups.items()]


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
    path: Path | None = None,
    *,
    spec: str = "PT1H",
    zone: str = "UTC",
    key_table_bytes: int = 1 << 20,
    kept_instants: int = 100,
    read_file: FileReader = lambda stored: _files[stored.path],
    **rules: Any,
) -> Database:
    """A database, in memory if no path is given; `zone` is that of all sites, `rules` are velocity settings.

    The files of batches that were made by hand are there, unless others are read.
    """
    limits = BatchSettings(
        threads=2, memory_limit="512MB", key_table_bytes=key_table_bytes, kept_instants=kept_instants
    )
    settings = Settings(velocity=VelocitySettings(**rules), batch=limits)
    windows = SiteWindows(WindowSpec.parse(spec), SiteZones({}, zone))
    return Database.open(path or Path(":memory:"), settings, windows, read_file)
