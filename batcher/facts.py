"""Batches into facts, a set at a time: each fact once, and the same facts whatever order batches come in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import duckdb
import numpy as np
import pyarrow as pa

from batcher import catalogue
from batcher.queries import load_queries
from schemas.records import Manifest
from schemas.sources import FIELDS, Source

_QUERIES = load_queries("facts")
_STAGE = {
    Source.ORDERS: _QUERIES["stage_orders"],
    Source.RETURNS: _QUERIES["stage_returns"],
    Source.CYCLE_COUNTS: _QUERIES["stage_cycle_counts"],
}
_RESOLVE = tuple(
    _QUERIES[name]
    for name in (
        "find_contested",
        "insert_uncontested",
        "find_contenders",
        "remove_beaten",
        "insert_winners",
        "insert_losers",
    )
)


class BatchContradictsManifest(Exception):
    """A batch has other records than its manifest says."""


@dataclass(frozen=True, slots=True)
class Load:
    """A batch to be inserted: `rows` as `read_batch` gives them; where its manifest stood on the batches topic."""

    manifest: Manifest
    rows: pa.Table
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class InsertResult:
    """What became of a batch's records: record_count = facts_new + duplicates + conflicts, unless it was known already.

    `conflicts` are new bodies under ids that had another one, whichever counts now. `held` of its facts wait for
    reference data. `min_event_time_ms` is the earliest event time at which it changed anything, None where it did not.
    """

    batch_id: str
    site_id: str
    known: bool = False
    facts_new: int = 0
    duplicates: int = 0
    conflicts: int = 0
    held: int = 0
    min_event_time_ms: int | None = None


def insert(
    connection: duckdb.DuckDBPyConnection, loads: Sequence[Load], *, require_known_items: bool
) -> list[InsertResult]:
    """Insert batches, each once by its `batch_id`; results in the order of `loads`. The caller's transaction.

    Raises:
        BatchContradictsManifest: rows are not those that a manifest announces.
    """
    for load in loads:
        _check(load)
    first_no = catalogue.next_batch_no(connection)
    fresh = list(catalogue.unknown(connection, {load.manifest.batch_id: load for load in loads}).values())
    numbered = dict(enumerate(fresh, first_no))
    outcomes: dict[int, InsertResult] = {}
    by_source = sorted(numbered.items(), key=lambda entry: entry[1].manifest.source)
    for source, entries in groupby(by_source, key=lambda entry: entry[1].manifest.source):
        outcomes |= _insert_source(connection, source, dict(entries))
    ...
