"""Batches into facts, many at a time: each fact once, and the same facts in whatever order batches come."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batcher import bodies, catalogue, contest, fact_sums, series
from batcher.avro_reader import BatchUnreadable
from batcher.batch_events import OtherColumns, read_events
from batcher.bodies import FileReader
from batcher.known_keys import KnownKeys
from batcher.queries import Connection, load_queries, registered
from batcher.row_hash import Hashes
from batcher.summing import sum_up
from runtime.store import StoreError
from schemas.records import Manifest
from schemas.sources import Source

#: Files of so many records together are read, at most, to name the ids of held facts: what decides about these is in
#: the database.
NAMED_RECORDS = 1_000_000

_QUERIES = load_queries("facts")
_READ = frozenset({"event_time", "quantity", "variance", "book_quantity", *series.TEXTS})


class BatchContradictsManifest(Exception):
    """A batch has other records than its manifest says."""


@dataclass(frozen=True, slots=True)
class Load:
    """A batch to be inserted: its `file`, and where its manifest stood on the batches topic.

    `facts` are its events as they will be stored, but for the number of the batch, and with the texts of their series
    in place of its number.

    Raises:
        BatchUnreadable: it is no batch file of the site.
        BatchContradictsManifest: the manifest announces another number of records, or a source that has other columns.
    """

    manifest: Manifest
    file: bytes
    partition: int
    offset: int
    facts: pa.Table = field(init=False)

    def __post_init__(self) -> None:
        manifest = self.manifest
        try:
            events = read_events(manifest.source, manifest.site_id, self.file, _READ)
        except OtherColumns as error:
            raise BatchContradictsManifest(f"{manifest.path} {error}") from error
        if len(events) != manifest.record_count:
            raise BatchContradictsManifest(
                f"{manifest.path} has {len(events)} records; its manifest announces {manifest.record_count}"
            )
        if manifest.source is Source.CYCLE_COUNTS:
            events = events.rename_columns({"variance": "quantity"})
        object.__setattr__(self, "facts", events)

    def numbered(self, batch_no: int) -> pa.Table:
        """The facts with the number of their batch."""
        return self.facts.append_column("batch_no", pa.array(np.full(len(self.facts), batch_no, np.int32)))


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
    connection: Connection, keys: KnownKeys, loads: Sequence[Load], read_file: FileReader, *, require_known_items: bool
) -> list[InsertResult]:
    """Insert batches, each once by its `batch_id`; results in the order of `loads`. Wants a transaction around it.

    Raises:
        StoreError, BatchUnreadable: an event has another body under its id, and that one's file is not
            there, or not what it was.
    """
    known = catalogue.known_batches(connection, [load.manifest.batch_id for load in loads])
    fresh = {load.manifest.batch_id: load for load in loads if load.manifest.batch_id not in known}
    results: dict[str, InsertResult] = {}
    if fresh:
        first_no = catalogue.next_batch_no(connection)
        numbered = dict(enumerate(fresh.values(), first_no))
        changes = _insert_rows(connection, keys, numbered, read_file)
        held = _held_by_batch(connection, first_no, require_known_items)
        for no, load in numbered.items():
            results[load.manifest.batch_id] = _result(load, changes.get(no, {}), held.get(no, 0))
        catalogue.insert(
            connection, [_catalogue_row(no, load, results[load.manifest.batch_id]) for no, load in numbered.items()]
        )
    return [results.pop(load.manifest.batch_id, _known(load)) for load in loads]  # one that stands twice is known then


def _known(load: Load) -> InsertResult:
    return InsertResult(load.manifest.batch_id, load.manifest.site_id, known=True)


def _insert_rows(
    connection: Connection, keys: KnownKeys, numbered: Mapping[int, Load], read_file: FileReader
) -> dict[int, dict[str, Any]]:
    """Per batch number, but for those that change nothing: facts_new, conflicts, min_event_time_ms."""
    rows = _rows(connection, numbered)
    hashes = np.asarray(rows.column("key_hash"))
    fresh, contested = _split(rows, hashes, keys.find(connection, hashes, max(numbered)))
    with registered(connection, "fresh_rows", fresh):
        _QUERIES["insert_fresh"].rows(connection)
    if len(contested):
        with registered(connection, "contested_rows", contested):
            contest.settle(connection, read_file, {no: load.file for no, load in numbered.items()})
    else:
        contest.none(connection)
    sums = sum_up(fresh)
    fact_sums.keep_up(connection, sums, some_contested=len(contested) > 0)
    with registered(connection, "fresh_batches", sums.batches):
        outcomes = _QUERIES["outcomes"].table(connection).to_pylist()
    keys.add(hashes, np.asarray(rows.column("batch_no")).astype(np.int64))
    return {outcome.pop("batch_no"): outcome for outcome in outcomes}


def _rows(connection: Connection, numbered: Mapping[int, Load]) -> pa.Table:
    """The facts of all loads, with the numbers of their batches and series; side by side by site and source."""
    kinds: dict[tuple[Source, str], list[pa.Table]] = {}
    for no, load in numbered.items():
        kinds.setdefault((load.manifest.source, load.manifest.site_id), []).append(load.numbered(no))
    tables = [pa.concat_tables(parts) for parts in kinds.values()]
    told = [series.tell_apart(*kind, table) for kind, table in zip(kinds, tables, strict=True)]
    numbers = series.number(connection, [distinct for distinct, _ in told])
    numbered_tables = [
        table.drop_columns([name for name in series.TEXTS if name in table.column_names]).append_column(
            "series_no", pa.array(nos[places])
        )
        for table, (_, places), nos in zip(tables, told, numbers, strict=True)
    ]
    return pa.concat_tables(numbered_tables, promote_options="default")


def _split(rows: pa.Table, hashes: Hashes, known: Hashes) -> tuple[pa.Table, pa.Table]:
    """Rows whose ids nothing else has, and those that must be compared; a body that stands there twice comes once."""
    ascending = np.sort(hashes)
    suspect = np.isin(hashes, np.concatenate((known, ascending[1:][ascending[1:] == ascending[:-1]])))
    if not suspect.any():
        return rows, rows.slice(0, 0)
    at = np.flatnonzero(suspect)
    bodies_of = np.asarray(rows.column("body_hash"))
    _, first = np.unique(np.stack((hashes[at], bodies_of[at])), axis=1, return_index=True)
    at = at[np.sort(first)]
    _, places, counts = np.unique(hashes[at], return_inverse=True, return_counts=True)
    contested = (counts[places] > 1) | np.isin(hashes[at], known)
    fresh = ~suspect
    fresh[at[~contested]] = True
    return rows.filter(fresh), rows.take(at[contested])


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


def held(
    connection: Connection,
    site_id: str | None,
    row_limit: int | None,
    read_file: FileReader,
    *,
    require_known_items: bool,
) -> pa.Table:
    """Held facts by site and event time: source, site_id, event_id, sku, event_time_ms, uom, quantity, reason.

    `quantity` is a cycle count's variance. `event_id` is null beyond the first batches, which have `NAMED_RECORDS`, and
    where the file of a batch cannot be read: ids are in the files alone.
    """
    values = {"site_id": site_id, "row_limit": row_limit, "require_known_items": require_known_items}
    rows = _QUERIES["held"].table(connection, **values)
    sizes = dict(zip(rows.column("batch_no").to_pylist(), rows.column("record_count").to_pylist(), strict=True))
    named, budget = [bodies.NONE], NAMED_RECORDS
    for number, size in sizes.items():
        if budget <= 0:
            break
        budget -= size
        with suppress(StoreError, BatchUnreadable):
            named.append(bodies.read(connection, rows.filter(pc.equal(rows.column("batch_no"), number)), read_file))
    with registered(connection, "held_rows", rows), registered(connection, "bodies", pa.concat_tables(named)):
        return _QUERIES["name_held"].table(connection)


def conflicts(connection: Connection, site_id: str | None, row_limit: int | None, read_file: FileReader) -> pa.Table:
    """Bodies that do not count, and the `counted_…` one under the same id; by site, source, event id.

    Raises what `bodies.read` does, though files are hardly ever needed: only where hashes of ids are equal by chance.
    """
    values = {"site_id": site_id, "row_limit": row_limit}
    events = bodies.read(connection, _QUERIES["ambiguous"].table(connection, **values), read_file)
    with registered(connection, "bodies", events):
        return _QUERIES["conflicts"].table(connection, **values)


def statistics(connection: Connection, *, require_known_items: bool) -> pa.Table:
    """Per site and source: facts, held, conflicts, min_event_time_ms, max_event_time_ms."""
    return _QUERIES["statistics"].table(connection, require_known_items=require_known_items)
