"""Batches into facts, many at a time: each fact once, and the same facts in whatever order batches come."""

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batcher import catalogue, fact_sums
from batcher.known_keys import KnownKeys
from batcher.queries import Connection, load_queries, registered
from batcher.row_hash import Hashes, body_hashes, key_hashes
from schemas.records import Manifest
from schemas.sources import FIELDS, FieldKind

_QUERIES = load_queries("facts")
_TYPES = {FieldKind.TIME: pa.int64(), FieldKind.INTEGER: pa.int64(), FieldKind.DECIMAL: pa.float64()}
_INSERT = tuple(
    _QUERIES[step]
    for step in (
        "insert_fresh",
        "stage_none",
        "stage_contested",
        "remove_repeated",
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
    """A batch to be inserted: `rows` as `read_batch` gives them, and where its manifest stood on the batches topic.

    `facts` are the rows as they will be stored, with `key_hash` and `body_hash`, but for the number of the batch.

    Raises:
        BatchContradictsManifest: the manifest announces another number of rows, or a source that has other columns.
    """

    manifest: Manifest
    rows: InitVar[pa.Table]
    partition: int
    offset: int
    facts: pa.Table = field(init=False)

    def __post_init__(self, rows: pa.Table) -> None:
        announced = self.manifest.record_count
        if rows.num_rows != announced:
            raise BatchContradictsManifest(
                f"{self.manifest.path} has {rows.num_rows} records; its manifest announces {announced}"
            )
        wanted = {one.name: _TYPES.get(one.kind, pa.string()) for one in FIELDS[self.manifest.source]}
        found = dict(zip(rows.schema.names, rows.schema.types, strict=True))
        if wrong := [f"{name} ({kind})" for name, kind in wanted.items() if found.get(name) != kind]:
            raise BatchContradictsManifest(
                f"{self.manifest.path} lacks columns of {self.manifest.source.value}: {', '.join(wrong)}; "
                "another version of the program wrote it"
            )
        object.__setattr__(self, "facts", self._hashed(rows.select(sorted(wanted))))

    def _hashed(self, fields: pa.Table) -> pa.Table:
        """The fields of events, sorted by name, and the hashes of their ids and of themselves."""
        scope = f"{self.manifest.source}/{self.manifest.site_id}/"
        batches = fields.to_batches()
        keys = [pa.array(key_hashes(scope, batch.column("event_id"))) for batch in batches]
        bodies = [pa.array(body_hashes(batch.columns)) for batch in batches]
        facts = fields.rename_columns({"event_time": "event_time_ms"})
        facts = facts.append_column("key_hash", pa.chunked_array(keys, pa.uint64()))
        return facts.append_column("body_hash", pa.chunked_array(bodies, pa.uint64()))

    def numbered(self, batch_no: int) -> pa.Table:
        """The facts with the number of their batch, and their source."""
        rows = self.facts.num_rows
        source = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), [self.manifest.source.value])
        numbers = pa.array(np.full(rows, batch_no, np.int32))
        return self.facts.append_column("batch_no", numbers).append_column("source", source)


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


def insert(
    connection: Connection, keys: KnownKeys, loads: Sequence[Load], *, require_known_items: bool
) -> list[InsertResult]:
    """Insert batches, each once by its `batch_id`; results in the order of `loads`. Wants a transaction around it."""
    known = catalogue.known_batches(connection, [load.manifest.batch_id for load in loads])
    fresh = {load.manifest.batch_id: load for load in loads if load.manifest.batch_id not in known}
    results: dict[str, InsertResult] = {}
    if fresh:
        first_no = catalogue.next_batch_no(connection)
        numbered = dict(enumerate(fresh.values(), first_no))
        changes = _insert_rows(connection, keys, numbered)
        held = _held_by_batch(connection, first_no, require_known_items)
        for no, load in numbered.items():
            results[load.manifest.batch_id] = _result(load, changes.get(no, {}), held.get(no, 0))
        catalogue.insert(
            connection, [_catalogue_row(no, load, results[load.manifest.batch_id]) for no, load in numbered.items()]
        )
    return [results.pop(load.manifest.batch_id, _known(load)) for load in loads]  # one that stands twice is known then


def _known(load: Load) -> InsertResult:
    return InsertResult(load.manifest.batch_id, load.manifest.site_id, known=True)


def _insert_rows(connection: Connection, keys: KnownKeys, numbered: Mapping[int, Load]) -> dict[int, dict[str, Any]]:
    """Per batch number, but for those that change nothing: facts_new, conflicts, min_event_time_ms."""
    rows = pa.concat_tables([load.numbered(no) for no, load in numbered.items()], promote_options="default")
    hashes = np.asarray(rows.column("key_hash"))
    contested = _contested(hashes, keys.find(connection, hashes))
    fresh, others = (rows.filter(~contested), rows.filter(contested)) if contested.any() else (rows, rows.slice(0, 0))
    with registered(connection, "fresh_rows", fresh), registered(connection, "contested_rows", others):
        for step in _INSERT:
            step.rows(connection)
        fact_sums.keep_up(connection)
        outcomes = _QUERIES["outcomes"].table(connection).to_pylist()
    keys.add(hashes, np.asarray(rows.column("batch_no")).astype(np.int64))
    return {outcome.pop("batch_no"): outcome for outcome in outcomes}


def _contested(hashes: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Which of the hashes are known, or stand there more than once; shape (n,)."""
    ascending = np.sort(hashes)
    repeated = ascending[1:][ascending[1:] == ascending[:-1]]
    if not len(known) and not len(repeated):
        return np.zeros(len(hashes), np.bool_)
    return np.isin(hashes, np.concatenate((known, repeated)))


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


def statistics(connection: Connection, *, require_known_items: bool) -> pa.Table:
    """Per site and source: facts, held, conflicts, min_event_time_ms, max_event_time_ms."""
    return _QUERIES["statistics"].table(connection, require_known_items=require_known_items)
