"""A batch worker's database after days of history: filled once, by DuckDB itself, and used again by every run.

One site, a batch per 10,000 facts, the last fact where a feed begins. What a lane does to the file is taken back.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from batcher import catalogue
from batcher.database import Database
from benchmarks.feed import SITE, START_MS
from benchmarks.made_facts import make_facts
from runtime.settings import Settings
from runtime.sites import site_windows
from schemas.records import BatchKind, ClosedBy, Manifest, Window
from schemas.sources import Source

END_MS = START_MS
FACTS_PER_BATCH = 10_000

_DAY_MS = 86_400_000
_MEMORY = "2GB"


def ensure_history(days: int, facts_per_day: int, skus: int, cache: Path) -> Path:
    """The database with so much history, filled now unless it was before."""
    schema = hashlib.sha256(files("batcher").joinpath("schema.sql").read_bytes()).hexdigest()[:8]
    file = cache / f"history-{days}d-{facts_per_day}-{skus}-{schema}.duckdb"
    if not file.exists():
        draft = file.with_suffix(".part")
        draft.unlink(missing_ok=True)
        open_history(draft).close()
        with duckdb.connect(draft, config={"memory_limit": _MEMORY}) as connection:
            _fill(connection, days, days * facts_per_day, skus)
        draft.rename(file)
    return file


def open_history(file: Path) -> Database:
    """The database as a batch worker opens it."""
    settings = Settings()
    return Database.open(file, settings, site_windows(settings))


@contextmanager
def taken_back(database: Database) -> Iterator[None]:
    """A transaction that is rolled back at its end: the next run finds what this one has found."""
    with suppress(_TakenBack), database.transaction():
        yield
        raise _TakenBack


class _TakenBack(Exception):
    """Ends the transaction."""


def _fill(connection: duckdb.DuckDBPyConnection, days: int, facts: int, skus: int) -> None:
    span = {"end_ms": END_MS, "span_ms": days * _DAY_MS}
    make_facts(connection, SITE, facts=facts, skus=skus, per_batch=FACTS_PER_BATCH, **span)
    catalogue.insert(connection, [_batch(number) for number in range(1, -(-facts // FACTS_PER_BATCH) + 1)])


def _batch(number: int) -> dict[str, Any]:
    """A row of the catalogue: the numbers of new batches go on from the last one."""
    manifest = Manifest(
        batch_id=f"history.{number:09}",
        source=Source.ORDERS,
        source_topic="bench.history",
        source_partition=0,
        site_id=SITE,
        kind=BatchKind.ON_TIME,
        windows=(Window(0, 1),),
        record_count=FACTS_PER_BATCH,
        first_offset=0,
        last_offset=FACTS_PER_BATCH - 1,
        min_event_time=0,
        max_event_time=0,
        path=f"history/{number:09}.avro",
        bytes=1,
        sha256="",
        schema_fingerprint="",
        codec="deflate",
        block_count=1,
        closed_by=ClosedBy.WATERMARK,
        checkpoint_seq=number,
        settings_hash="",
        pipeline_version="",
    )
    outcome = {"facts_new": FACTS_PER_BATCH, "duplicates": 0, "conflicts": 0}
    return msgspec.to_builtins(manifest) | outcome | {"batch_no": number, "partition": 0, "offset": number}
