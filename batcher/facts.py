"""Batches into facts, many at a time: each fact once, and the same facts in whatever order batches come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from batcher import catalogue
from batcher.key_hash import key_hashes
from batcher.queries import Connection, load_queries, registered
from schemas.records import Manifest
from schemas.sources import FIELDS, FieldKind, Source

_QUERIES = load_queries("facts")
_TYPES = {FieldKind.TIME: pa.int64(), FieldKind.INTEGER: pa.int64(), FieldKind.DECIMAL: pa.float64()}
_STAGE = {
    Source.ORDERS: _QUERIES["stage_orders"],
    Source.RETURNS: _QUERIES["stage_returns"],
    Source.CYCLE_COUNTS: _QUERIES["stage_cycle_counts"],
}
_RESOLVE = tuple(
    _QUERIES[step]
    for step in (
        "find_known",
        "remove_repeated",
        "find_contested",
        "insert_uncontested",
        "find_contenders",
        "remove_beaten",
        "insert_winners",
        "insert_losers",
        "count_days",
        "find_earlier",
        "remove_later",
        "insert_earlier",
        "find_bereft",
        "remove_bereft",
        "insert_heirs",
    )
)


class BatchContradictsManifest(Exception):
    """A batch has other records than its manifest says."""


@dataclass(frozen=True, slots=True)
class Load:
    """A batch to be inserted: `rows` as `read_batch` gives them, and where its manifest stood on the batches topic.

    Raises:
        BatchContradictsManifest: the manifest announces another number of rows, or a source that has other columns.
    """

    manifest: Manifest
    rows: pa.Table
    partition: int
    offset: int

    def __post_init__(self) -> None:
        announced = self.manifest.record_count
        if self.rows.num_rows != announced:
            raise BatchContradictsManifest(
                f"{self.manifest.path} has {self.rows.num_rows} records; its manifest announces {announced}"
            )
        wanted = {field.name: _TYPES.get(field.kind, pa.string()) for field in FIELDS[self.manifest.source]}
        found = dict(zip(self.rows.schema.names, self.rows.schema.types, strict=True))
        if wrong := [f"{name} ({kind})" for name, kind in wanted.items() if found.get(name) != kind]:
            raise BatchContradictsManifest(
                f"{self.manifest.path} lacks columns of {self.manifest.source.value}: {', '.join(wrong)}; "
                "another version of the program wrote it"
            )

    def numbered_rows(self, batch_no: int) -> pa.Table:
        """What of the rows is stored, with columns `key_hash` and `batch_no`."""
        rows = self.rows.select([field.name for field in FIELDS[self.manifest.source]])
        scope = f"{self.manifest.source}/{self.manifest.site_id}/"
        hashes = pa.chunked_array([key_hashes(scope, ids) for ids in rows.column("event_id").chunks], pa.uint64())
        numbers = pa.array(np.full(rows.num_rows, batch_no, np.int32))
        return rows.append_column("key_hash", hashes).append_column("batch_no", numbers)


@dataclass(frozen=True, slots=True)
class InsertResult:
    """What became of the records of a batch: facts_new + duplicates + conflicts of them, none if it was known before.

    `conflicts` are further bodies of ids that had another one, whichever of them counts. `held` of its facts wait for
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


def insert(connection: Connection, loads: Sequence[Load], *, require_known_items: bool) -> list[InsertResult]:
    """Insert batches, each once by its `batch_id`; results in the order of `loads`. Wants a transaction around it."""
    known = catalogue.known_batches(connection, [load.manifest.batch_id for load in loads])
    fresh = {load.manifest.batch_id: load for load in loads if load.manifest.batch_id not in known}
    results: dict[str, InsertResult] = {}
    if fresh:
        first_no = catalogue.next_batch_no(connection)
        numbered = dict(enumerate(fresh.values(), first_no))
        changes = _insert_rows(connection, numbered)
        held = _held_by_batch(connection, first_no, require_known_items)
        for no, load in numbered.items():
            results[load.manifest.batch_id] = _result(load, changes.get(no, {}), held.get(no, 0))
        catalogue.insert(
            connection, [_catalogue_row(no, load, results[load.manifest.batch_id]) for no, load in numbered.items()]
        )
    return [results.pop(load.manifest.batch_id, _known(load)) for load in loads]  # one that stands twice is known then


def _known(load: Load) -> InsertResult:
    return InsertResult(load.manifest.batch_id, load.manifest.site_id, known=True)


def _insert_rows(connection: Connection, numbered: Mapping[int, Load]) -> dict[int, dict[str, Any]]:
    """Per batch number, but for those that change nothing: facts_new, conflicts, min_event_time_ms."""
    changes: dict[int, dict[str, Any]] = {}
    for source in Source:
        tables = [load.numbered_rows(no) for no, load in numbered.items() if load.manifest.source is source]
        if tables:
            with registered(connection, "batch_rows", pa.concat_tables(tables)):
                _STAGE[source].rows(connection)
            for step in _RESOLVE:
                step.rows(connection)
            outcomes = _QUERIES["outcomes"].table(connection).to_pylist()
            changes |= {outcome.pop("batch_no"): outcome for outcome in outcomes}
    return changes


def _held_by_batch(connection: Connection, first_batch_no: int, require_known_items: bool) -> dict[int, int]:
    query = _QUERIES["held_by_batch"]
    return dict(query.rows(connection, first_batch_no=first_batch_no, require_known_items=require_known_items))


def _result(load: Load, change: Mapping[str, Any], held: int) -> InsertResult:
    manifest = load.manifest
    duplicates = manifest.record_count - change.get("facts_new", 0) - change.get("conflicts", 0)
    return InsertResult(manifest.batch_id, manifest.site_id, duplicates=duplicates, held=held, **change)


def _catalogue_row(batch_no: int, load: Load, result: InsertResult) -> dict[str, Any]:
    outcome = {name: getattr(result, name) for name in ("facts_new", "duplicates", "conflicts")}
    place = {"batch_no": batch_no, "partition": load.partition, "offset": load.offset}
    return msgspec.to_builtins(load.manifest) | place | outcome


def held(connection: Connection, site_id: str | None, row_limit: int | None, *, require_known_items: bool) -> pa.Table:
    """Held facts by site and event time: source, site_id, event_id, sku, event_time_ms, uom, quantity, reason.

    `quantity` is a cycle count's variance.
    """
    values = {"site_id": site_id, "row_limit": row_limit, "require_known_items": require_known_items}
    return _QUERIES["held"].table(connection, **values)


def conflicts(connection: Connection, site_id: str | None, row_limit: int | None) -> pa.Table:
    """Bodies that do not count, and the `counted_…` one under the same id; by site, source, event id."""
    return _QUERIES["conflicts"].table(connection, site_id=site_id, row_limit=row_limit)


def first_event_time(connection: Connection, site_id: str) -> int | None:
    """Event time of the site's first fact, held ones included; None without one."""
    return _QUERIES["first_event_time"].value(connection, site_id=site_id)


def statistics(connection: Connection, *, require_known_items: bool) -> pa.Table:
    """Per site and source: facts, held, conflicts, min_event_time_ms, max_event_time_ms."""
    return _QUERIES["statistics"].table(connection, require_known_items=require_known_items)
