"""Arrow columns to Avro records, without a Python loop over records.

An Avro record is the encodings of its fields one after another (Avro 1.12, Binary Encoding). Where a field is text, its
bytes are the column's own; everything else is short: numbers, branches of unions, lengths of texts. So a record is
texts with *glue* in between,

    [len] event_id [len] site_id [len] sku [event_time quantity len] uom ...

numpy computes the glue of all rows at once as matrices of bytes, and one Arrow kernel joins glue and texts row by row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.avro_fields import Column

Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NULL_BRANCH, _VALUE_BRANCH = 0, 2  # zig-zag of 0 and 1: our unions are ["null", T]
_GROUP_BITS, _MORE = 7, 0x80

_join = pc.binary_join_element_wise  # pyright: ignore[reportAttributeAccessIssue]: made at run time
_length = pc.binary_length  # pyright: ignore[reportAttributeAccessIssue]


@dataclass(frozen=True, slots=True)
class Glue:
    """The encodings of one value per row: row i is `cells[i, :lengths[i]]`.

    `cells` has shape (n, width), `lengths` shape (n,); it is None where every row fills its cells.
    """

    cells: npt.NDArray[np.uint8]
    lengths: Longs | None = None

    @property
    def sizes(self) -> Longs:
        """Bytes of each row, shape (n,)."""
        rows, width = self.cells.shape
        return np.full(rows, width) if self.lengths is None else self.lengths

    @property
    def kept(self) -> Flags:
        """Which cells count, shape (n, width)."""
        if self.lengths is None:
            return np.ones(self.cells.shape, np.bool_)
        return np.arange(self.cells.shape[1]) < self.lengths[:, None]


Piece = Glue | pa.Array  # what a record is made of: glue, or a column of binary


def varints(values: Longs) -> Glue:
    """Numbers, shape (n,) with n > 0, as Avro ints or longs: zig-zag, then base 128, least significant group first."""
    if values.min() == values.max():
        return _repeated(varint(int(values[0])), len(values))
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    width = -(-int(zigzag.max()).bit_length() // _GROUP_BITS)
    cells = np.empty((len(values), width), np.uint8)
    lengths = np.ones(len(values), np.int64)
    for group in range(width):
        rest = zigzag >> np.uint64(_GROUP_BITS * group)
        more = rest >= _MORE
        cells[:, group] = rest.astype(np.uint8) & (_MORE - 1) | more * np.uint8(_MORE)
        lengths += more
    return Glue(cells, None if lengths.min() == width else lengths)


def varint(value: int) -> bytes:
    """One signed 64-bit number as an Avro long: 1 to 10 bytes."""
    rest = (value << 1) ^ (value >> 63)
    groups = bytearray()
    while rest >= _MORE:
        groups.append(rest & (_MORE - 1) | _MORE)
        rest >>= _GROUP_BITS
    return bytes((*groups, rest))


def record_column(columns: Sequence[Column], rows: pa.Table, constants: Mapping[str, int]) -> pa.Array:
    """The Avro encoding of each row, as a column of binary.

    `rows` has every column that is not in `constants`, exactly of its `arrow_type`, and at least one row; a column of
    `constants` has one number in every row.

    Raises:
        ValueError: a column is missing, has another type, or has a null where none is allowed.
    """
    pieces: list[Piece] = []
    for column in columns:
        if column.name in constants:
            pieces.append(_repeated(varint(constants[column.name]), rows.num_rows))
        else:
            pieces.extend(_encode(column, _values(column, rows)))
    return _join(*_stuck_together(pieces), b"", null_handling="replace", null_replacement=b"")


def _values(column: Column, rows: pa.Table) -> pa.Array:
    """The column as one array, checked."""
    if column.name not in rows.column_names:
        raise ValueError(f"rows have no column {column.name!r}")
    values = rows.column(column.name).combine_chunks()
    if values.type != column.arrow_type:
        raise ValueError(f"column {column.name!r} must be {column.arrow_type}, not {values.type}")
    if values.null_count and not column.nullable:
        raise ValueError(f"column {column.name!r} has {values.null_count} nulls; the schema allows none")
    return values


def _encode(column: Column, values: pa.Array) -> Iterator[Piece]:
    if column.avro_type == "string":
        glue = varints(_numbers(_length(values)).astype(np.int64))
    elif column.avro_type == "double":
        glue = Glue(_numbers(values).astype("<f8").view(np.uint8).reshape(-1, 8))
    else:
        glue = varints(_numbers(values))
    yield _union(glue, values.is_valid().to_numpy(zero_copy_only=False)) if column.nullable else glue
    if column.avro_type == "string":
        yield values.view(pa.binary())  # a null among them is joined as nothing


def _numbers(values: pa.Array) -> npt.NDArray[Any]:
    """As numpy, with 0 in place of null."""
    whole = values.fill_null(0) if values.null_count else values
    return whole.to_numpy(zero_copy_only=False)


def _union(glue: Glue, valid: Flags) -> Glue:
    """Put the branch of `["null", T]` before each value; a null, which `valid` of shape (n,) denies, is its branch."""
    branches = np.where(valid, _VALUE_BRANCH, _NULL_BRANCH).astype(np.uint8)
    cells = np.concatenate([branches[:, None], glue.cells], axis=1)
    return Glue(cells, np.where(valid, 1 + glue.sizes, 1))


def _repeated(encoding: bytes, rows: int) -> Glue:
    return Glue(np.broadcast_to(np.frombuffer(encoding, np.uint8), (rows, len(encoding))))


def _stuck_together(pieces: Sequence[Piece]) -> Iterator[pa.Array]:
    """The pieces as columns of binary, neighbouring glue as one."""
    for is_glue, run in groupby(pieces, lambda piece: isinstance(piece, Glue)):
        if is_glue:
            yield _as_column(list(run))
        else:
            yield from run


def _as_column(run: Sequence[Glue]) -> pa.Array:
    """Neighbouring glue as one column of binary."""
    # A matrix of repeated rows has no strides to tell its order, and concatenate may then choose the other one.
    cells = np.ascontiguousarray(np.concatenate([glue.cells for glue in run], axis=1))
    if any(glue.lengths is not None for glue in run):
        cells = cells[np.concatenate([glue.kept for glue in run], axis=1)]
    offsets = np.zeros(1 + len(run[0].cells), np.int32)
    np.cumsum(sum(glue.sizes for glue in run), out=offsets[1:])
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(cells)])


def record_bytes(column: pa.Array) -> memoryview:
    """The bytes of all rows of a column of binary, one after another, without copying them."""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32)[[column.offset, column.offset + len(column)]]
    return memoryview(data)[bounds[0] : bounds[1]]
