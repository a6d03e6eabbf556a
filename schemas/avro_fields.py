"""Fields of flat Avro records, and how to read a field of many records at once: no Python loop over records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.avro_bytes import AvroBytes, Longs, Octets

_VALUE_BRANCH = 1  # our unions are ["null", T]
ARROW_TYPES = {"string": pa.string(), "int": pa.int64(), "long": pa.int64(), "double": pa.float64()}


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a record: its Avro type (`string`, `int`, `long` or `double`) and whether it may be null."""

    name: str
    avro_type: str
    nullable: bool

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type that carries it. An int is carried as a long: the encodings are the same."""
        return ARROW_TYPES[self.avro_type]


def columns_of(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """The fields of a flat record schema, in order; a logical type stands for its base type.

    Raises:
        ValueError: a field is neither one of the four types nor a union `["null", T]` of one.
    """
    return tuple(_column_of(field["name"], field["type"]) for field in schema["fields"])


def _column_of(name: str, declared: Any) -> Column:
    branches = cast(list[Any], declared) if isinstance(declared, list) else []
    nullable = len(branches) == 2 and branches[0] == "null"
    inner = cast(Any, branches[1] if nullable else declared)
    avro_type = cast(Any, inner["type"] if isinstance(inner, dict) else inner)
    if not isinstance(avro_type, str) or avro_type not in ARROW_TYPES:
        raise ValueError(f"field {name!r}: Avro type {declared!r} has no column encoding")
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
            return pa.array(self.content, ARROW_TYPES[column.avro_type], mask=nulls)
        # The bytes between one text and the next are cut out, too, so nothing has to be moved: texts have even numbers.
        cuts = np.append(self.content.ravel(), self.content[-1, 1]).astype(np.int32)
        pieces = pa.Array.from_buffers(pa.binary(), len(cuts) - 1, [None, pa.py_buffer(cuts), pa.py_buffer(octets)])
        return pieces.take(pa.array(np.arange(0, len(cuts) - 1, 2), mask=nulls)).cast(pa.string())


def read_fields(columns: Sequence[Column], source: AvroBytes, at: Longs) -> tuple[list[Values], Longs]:
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
