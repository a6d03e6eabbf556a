"""A fetch of Avro records to columns, without a Python loop over records.

Kafka says where each record begins and ends, so each field is read of all records at once. A record is certain if
every length and branch in it is what it may be, and its last field ends where the record does. (Something stands behind
each record, the last one included, so that what reads on beyond it ends beyond it, too.)

Writer schemas are resolved to ours for the plain cases: fields of the basic types by name, in any order, others among
them, nullable or not. Records of any other schema, and all that is not certain, go to the careful gate.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.avro_bytes import AvroBytes, Longs
from schemas.avro_fields import Column, Values
from schemas.codecs import avro_schema
from schemas.packed import Packed
from schemas.sources import EVENT_SCHEMAS, FIELDS, FieldKind, Source
from schemas.topics import MAX_RECORD_BYTES
from streams.avro_input import HEADER_BYTES, MAGIC, WriterSchema
from streams.pieces import Positions, read_in_pieces

_LONGEST_LENGTH = 9  # octets of a varint that are read for certain
_WIRE_TYPES: dict[FieldKind, str] = {FieldKind.TIME: "long", FieldKind.INTEGER: "long", FieldKind.DECIMAL: "double"}
#: What a writer may have where we want this, besides the same (Avro 1.12, Schema Resolution).
_PROMOTED: dict[str, frozenset[str]] = {"long": frozenset({"int"}), "double": frozenset({"int", "long"})}

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WriterField:
    """A field as a writer has it; `null_branch` is 0 or 1 in a union of null and one type, None where it is none."""

    column: Column
    null_branch: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How records of one writer schema are read: all its fields in order, and how many ticks make a millisecond."""

    fields: tuple[WriterField, ...]
    ticks_per_ms: int


class AvroColumns:
    """Reads Avro records of one source into a column per field, as the source's schema has them."""

    def __init__(self, source: Source, writers: Mapping[int, WriterSchema]) -> None:
        self._columns = tuple(Column(f.name, _WIRE_TYPES.get(f.kind, "string"), f.nullable) for f in FIELDS[source])
        record = avro_schema(EVENT_SCHEMAS[source])["name"]
        plans = {number: _plan(writer, record, self._columns) for number, writer in writers.items()}
        self._plans = {MAGIC + struct.pack(">i", number): plan for number, plan in plans.items() if plan}
        self._nothing = pa.schema([pa.field(c.name, c.arrow_type) for c in self._columns]).empty_table()

    @property
    def known(self) -> bool:
        """Whether there is any schema that it reads."""
        return bool(self._plans)

    def read(self, values: Packed) -> Iterator[tuple[pa.Table, Positions]]:
        """Those records that are certainly right, by schema, and where they stood."""
        candidates = np.flatnonzero((values.sizes >= HEADER_BYTES) & (values.sizes <= MAX_RECORD_BYTES))
        candidates = candidates[values.octets[values.starts[candidates]] == MAGIC[0]]
        if not len(candidates):
            return
        source = AvroBytes(values.data)
        headers = source.octets[values.starts[candidates, None] + np.arange(HEADER_BYTES)]
        for header, plan in self._plans.items():
            rows = candidates[(headers == np.frombuffer(header, np.uint8)).all(axis=1)]
            if len(rows):
                yield self._read(plan, source, values, rows)

    def _read(self, plan: Plan, source: AvroBytes, values: Packed, rows: Positions) -> tuple[pa.Table, Positions]:
        """Every field of these records at once, and of the sound ones columns."""
        at, sound = values.starts[rows] + HEADER_BYTES, np.ones(len(rows), np.bool_)
        found: dict[str, Values] = {}
        for field in plan.fields:
            found[field.column.name], at, fits = _read_field(field, source, at)
            sound &= fits
        kept = np.flatnonzero(sound & (at == values.ends[rows]))
        return read_in_pieces(lambda piece: self._table(plan, source, found, piece), kept, rows[kept], self._nothing)

    def _table(self, plan: Plan, source: AvroBytes, found: Mapping[str, Values], rows: Longs) -> pa.Table | None:
        """These of the records, which are sound; None where one of them has a text that is not UTF-8."""
        if not len(rows):
            return None
        try:
            arrays = [self._array(column, plan, source, found, rows) for column in self._columns]
        except pa.ArrowInvalid:
            return None
        return pa.table(arrays, names=[column.name for column in self._columns])

    @staticmethod
    def _array(column: Column, plan: Plan, source: AvroBytes, found: Mapping[str, Values], rows: Longs) -> pa.Array:
        values = found.get(column.name)
        if values is None:
            return pa.nulls(len(rows), column.arrow_type)
        if len(rows) < len(values.content):
            values = values.pick(rows)
        content = values.content
        if column.name == "event_time":
            content = content // plan.ticks_per_ms
        elif column.avro_type == "double":
            content = content.astype(np.float64)
        return Values(content, values.valid).to_arrow(column, source.octets)


def _read_field(field: WriterField, source: AvroBytes, at: Longs) -> tuple[Values, Longs, Flags]:
    """A field of all records, the positions behind it, and where it is as it may be."""
    if field.null_branch is None:
        return _read_value(field.column, source, at)
    branches, inside = source.longs(at)
    valid = branches == 1 - field.null_branch
    values, ends, fits = _read_value(field.column, source, inside)
    if values.content.ndim > 1:
        values.content[~valid] = inside[~valid, None]  # nothing, but in its place: positions must ascend
    fits = np.where(valid, fits, branches == field.null_branch)
    return Values(values.content, valid), np.where(valid, ends, inside), fits


def _read_value(column: Column, source: AvroBytes, at: Longs) -> tuple[Values, Longs, Flags]:
    if column.avro_type == "double":
        numbers, ends = source.doubles(at)
        return Values(numbers), ends, np.ones(len(at), np.bool_)
    numbers, ends = source.longs(at)
    certain = ends - at <= _LONGEST_LENGTH
    if column.avro_type != "string":
        return Values(numbers), ends, certain
    _, behind = source.texts(at)
    return Values(np.stack((ends, behind), axis=1)), behind, certain & (numbers >= 0) & (behind - ends == numbers)


def _plan(writer: WriterSchema, record: str, wanted: Sequence[Column]) -> Plan | None:
    """How to read a writer's records as those of our schema called `record`; None for the careful gate."""
    if writer.ticks_per_ms is None or writer.parsed["name"].rpartition(".")[2] != record:
        return None
    fields = [_writer_field(declared) for declared in writer.parsed["fields"]]
    known = {field.column.name: field for field in fields if field is not None}
    if len(known) < len(fields) or not all(_resolves(known.get(column.name), column) for column in wanted):
        return None
    return Plan(tuple(known.values()), writer.ticks_per_ms)


def _resolves(field: WriterField | None, wanted: Column) -> bool:
    """Whether a writer's field, or its absence, gives the column that we want."""
    if field is None:
        return wanted.nullable
    return field.column.avro_type in {wanted.avro_type, *_PROMOTED.get(wanted.avro_type, ())}


def _writer_field(declared: Mapping[str, Any]) -> WriterField | None:
    kind, null_branch = declared["type"], None
    branches = cast(list[Any], kind) if isinstance(kind, list) else []
    if len(branches) == 2 and "null" in branches:
        null_branch = branches.index("null")
        kind = branches[1 - null_branch]
    if isinstance(kind, dict):
        kind = cast(dict[str, Any], kind)["type"]
    if kind not in ("string", "int", "long", "double"):
        return None
    return WriterField(Column(declared["name"], kind, null_branch is not None), null_branch)
