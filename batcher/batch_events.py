"""A batch file's events: their fields, and the hashes that tell them and their ids apart."""

from collections.abc import Collection

import pyarrow as pa

from batcher.avro_reader import file_columns, scan_batch
from batcher.avro_records import SITE, Records
from batcher.row_hash import HashColumn, Texts, body_hashes, key_hashes
from schemas.avro_fields import Column
from schemas.sources import FIELDS, FieldKind, Source

_TYPES = {FieldKind.TIME: pa.int64(), FieldKind.INTEGER: pa.int64(), FieldKind.DECIMAL: pa.float64()}
_FIELDS = {
    source: {field.name: _TYPES.get(field.kind, pa.string()) for field in sorted(fields, key=lambda one: one.name)}
    for source, fields in FIELDS.items()
}
_RENAMED = {"event_time": "event_time_ms"}
_HASHES = {"key_hash": pa.uint64(), "body_hash": pa.uint64()}

#: Every column that `read_events` gives for one source or another.
COLUMNS = pa.schema(
    {_RENAMED.get(name, name): kind for fields in _FIELDS.values() for name, kind in fields.items()} | _HASHES
)


class OtherColumns(ValueError):
    """A batch file has not the columns of its source. The message names what is missing."""


def read_events(source: Source, site_id: str, file: bytes, names: Collection[str] | None = None) -> pa.Table:
    """The events of a file in their order: the source's fields sorted by name, then `key_hash` and `body_hash`.

    Of the fields those among `names`, if given, though hashes are of all. Times are `event_time_ms`. What the file has
    beside the fields is left out.

    Raises:
        BatchUnreadable: it is no batch file of the site.
        OtherColumns: it is one of another source, or of another version of the program.
    """
    _check(source, file_columns(file))
    fields, scope = _FIELDS[source], f"{source}/{site_id}/"
    chosen = [name for name in fields if names is None or name in names]
    schema = pa.schema({_RENAMED.get(name, name): fields[name] for name in chosen} | _HASHES)

    def take(records: Records) -> pa.RecordBatch:
        keys = key_hashes(scope, _texts(records, "event_id"))
        bodies = body_hashes(records.count, [_hashed(records, name) for name in fields])
        arrays = [*records.to_arrow(chosen).columns, pa.array(keys), pa.array(bodies)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    return pa.Table.from_batches(list(scan_batch(file, site_id, take)), schema)


def _check(source: Source, columns: Collection[Column]) -> None:
    found = {column.name: column.arrow_type for column in columns}
    if wrong := [f"{name} ({kind})" for name, kind in _FIELDS[source].items() if found.get(name) != kind]:
        raise OtherColumns(
            f"lacks columns of {source.value}: {', '.join(wrong)}; another version of the program wrote it"
        )


def _hashed(records: Records, name: str) -> HashColumn:
    if name == SITE:
        return HashColumn(Texts.of(records.site_id))
    is_text = records.columns[name].arrow_type == pa.string()
    values = records.fields[name]
    return HashColumn(_texts(records, name) if is_text else values.content, values.valid)


def _texts(records: Records, name: str) -> Texts:
    bounds = records.fields[name].content
    return Texts(records.octets, bounds[:, 0], bounds[:, 1])
