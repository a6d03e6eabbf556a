"""Avro records to Arrow columns, without a Python loop over records.

A record says nowhere how long it is: where the next one begins is known once this one has been read. But all records of
a batch file name the same site, right behind their event id:

    [len] event_id | [len] site_id | [len] sku ...
                   ^ a candidate: wherever the bytes of the site's encoding stand

So the rest of the record is read at every candidate at once, field by field. Candidates that the chain of records
passes, each beginning where the one before it ended, are the records; the others are the same bytes by chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batcher.avro_bytes import AvroBytes, Longs, Octets

_VALUE_BRANCH = 1  # our unions are ["null", T]
_ADDRESSABLE = (1 << 31) - 1  # by the 32-bit positions of an Arrow column
_ARROW_TYPES = {"string": pa.string(), "int": pa.int64(), "long": pa.int64(), "double": pa.float64()}


class RecordsDamaged(ValueError):
    """Bytes are not the records that they should be."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a record: its Avro type (`string`, `int`, `long` or `double`) and whether it may be null."""

    name: str
    avro_type: str
    nullable: bool


def columns_of(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """The fields of a batch record's schema, in order; a logical type stands for its base type.

    Raises:
        ValueError: a field is neither one of the four types nor a union `["null", T]` of one, or the record does not
            begin with event id and site.
    """
    columns = tuple(_column(field["name"], field["type"]) for field in schema["fields"])
    if [c.name for c in columns[:2]] != ["event_id", "site_id"]:
        raise ValueError("a batch record begins with event_id and site_id")
    return columns


def _column(name: str, declared: Any) -> Column:
    nullable = isinstance(declared, list) and len(declared) == 2 and declared[0] == "null"
    inner = declared[1] if nullable else declared
    avro_type = inner["type"] if isinstance(inner, dict) else inner
    if not isinstance(avro_type, str) or avro_type not in _ARROW_TYPES:
        raise ValueError(f"field {name!r}: Avro type {declared!r} has no column decoding")
    return Column(name, avro_type, nullable)


@dataclass(frozen=True, slots=True)
class Values:
    """A field of n records: its `content`, and which of them is not null (None: all).

    `content` has shape (n,) for numbers, and (n, 2) for texts: the positions where each begins and ends.
    """

    content: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_] | None = None

    def pick(self, rows: Longs) -> "Values":
        """The field of some of the records."""
        return Values(self.content[rows], None if self.valid is None else self.valid[rows])

    def to_arrow(self, column: Column, octets: Octets) -> pa.Array:
        """As a column of Arrow."""
        nulls = None if self.valid is None else ~self.valid
        if column.avro_type != "string":
            return pa.array(self.content, _ARROW_TYPES[column.avro_type], mask=nulls)
        # The bytes between one text and the next are cut out, too, so nothing has to be moved: texts have even numbers.
        cuts = np.append(self.content.ravel(), self.content[-1, 1]).astype(np.int32)
        pieces = pa.Array.from_buffers(pa.binary(), len(cuts) - 1, [None, pa.py_buffer(cuts), pa.py_buffer(octets)])
        return pieces.take(pa.array(np.arange(0, len(cuts) - 1, 2), mask=nulls)).cast(pa.string())


def decode_records(columns: Sequence[Column], data: bytes, counts: Longs, ends: Longs, site_id: str) -> pa.RecordBatch:
    """The records of whole blocks, all of one site: columns of string, int64 and float64.

    Block i has `counts[i]` records, at least one, and its last byte is the one before `ends[i]`; shape (blocks,).

    Raises:
        RecordsDamaged: the blocks are not made of such records, or are too large to be addressed together.
    """
    if len(data) > _ADDRESSABLE:
        raise RecordsDamaged(f"{len(data)} bytes of records in one block are too many")
    source = AvroBytes(data)
    site = site_id.encode()
    sites = source.occurrences(bytes((2 * len(site),)) + site)
    site_texts = Values(np.stack((sites + 1, sites + 1 + len(site)), axis=1))
    rest, record_ends = _read_on(columns[2:], source, site_texts.content[:, 1])
    rows = _chain(source, sites, record_ends)
    last = np.cumsum(counts) - 1  # the last record of each block
    if last[-1] + 1 != len(rows) or (record_ends[rows[last]] != ends).any():
        raise RecordsDamaged(f"{len(rows)} records of the site do not fill blocks of {last[-1] + 1}")
    ids = Values(np.stack(source.texts(np.append(0, record_ends[rows[:-1]])), axis=1))
    fields = [ids, *(values.pick(rows) for values in (site_texts, *rest))]
    arrays = [values.to_arrow(column, source.octets) for column, values in zip(columns, fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(columns))


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """What `decode_records` makes of them."""
    return pa.schema([pa.field(column.name, _ARROW_TYPES[column.avro_type], column.nullable) for column in columns])


def _read_on(columns: Sequence[Column], source: AvroBytes, at: Longs) -> tuple[list[Values], Longs]:
    """The fields `columns` of records, the first of which begins at each position, and where the last one ends."""
    fields: list[Values] = []
    for column in columns:
        values, at = _read(column, source, at)
        fields.append(values)
    return fields, at


def _read(column: Column, source: AvroBytes, at: Longs) -> tuple[Values, Longs]:
    if not column.nullable:
        return _read_value(column, source, at)
    branches, behind = source.longs(at)
    valid = branches == _VALUE_BRANCH
    values, ends = _read_value(column, source, behind)
    if values.content.ndim > 1:
        values.content[~valid] = behind[~valid, None]  # nothing, but in its place: positions must ascend
    return Values(values.content, valid), np.where(valid, ends, behind)


def _read_value(column: Column, source: AvroBytes, at: Longs) -> tuple[Values, Longs]:
    if column.avro_type == "string":
        starts, ends = source.texts(at)
        return Values(np.stack((starts, ends), axis=1)), ends
    numbers, ends = source.doubles(at) if column.avro_type == "double" else source.longs(at)
    return Values(numbers), ends


def _chain(source: AvroBytes, sites: Longs, ends: Longs) -> Longs:
    """Which candidates are records, ascending: the first begins at 0, each further one where the one before it ended.

    `sites` and `ends`, shape (candidates,): where each has its site, and where it would end.

    Raises:
        RecordsDamaged: the chain breaks before the end of the bytes.
    """
    _, first = source.texts(np.zeros(1, np.int64))
    _, following = source.texts(ends)
    if not len(sites):
        raise RecordsDamaged("no record names the site")
    if np.array_equal(np.append(first, following[:-1]), sites) and ends[-1] == source.size:
        return np.arange(len(sites))
    return _walk(sites.tolist(), ends.tolist(), int(first[0]), following.tolist(), source.size)


def _walk(sites: list[int], ends: list[int], site: int, following: list[int], size: int) -> Longs:
    """The same, candidate by candidate: the rare case that some are not records, because a text holds the site, too."""
    numbers = {position: number for number, position in enumerate(sites)}
    rows: list[int] = []
    while site in numbers and (not rows or site > sites[rows[-1]]):
        rows.append(numbers[site])
        if ends[rows[-1]] == size:
            return np.array(rows)
        site = following[rows[-1]]
    raise RecordsDamaged(f"the record behind number {len(rows)} does not name the site where it should")
