"""A fetch of JSON records to columns, without a Python object per field: Arrow's JSON reader, kept honest.

Arrow reads concatenated objects and does not care where records end, so two things are seen to here. Every record
begins with `{` and ends with `}`, and there are as many objects as records. Then each record is exactly one object: a
newline lies between two records, which no JSON text may contain, and outside of texts a `}` that is followed by `{` can
only be the end of one object and the beginning of the next.

Arrow also lets pass what RFC 8259 does not: bytes that are not UTF-8, `NaN` and `Inf`, and any depth of nesting.

It refuses a block as a whole. So what is not in braces is left out from the beginning, for most records that go wrong
were cut off. If it refuses the others, msgspec picks out those of the right shape, and if Arrow is still not content,
they are read in pieces.
"""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from schemas.packed import Packed
from schemas.sources import FIELDS, Field, FieldKind, Source
from schemas.topics import MAX_RECORD_BYTES
from streams.event_times import Mask
from streams.json_input import NESTING_LIMIT
from streams.pieces import Positions, read_in_pieces

_OPEN, _CLOSE, _OPEN_ARRAY = b"{}["

_NOT_A_SHAPE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_WIRE_TYPES: dict[FieldKind, pa.DataType] = {FieldKind.INTEGER: pa.int64(), FieldKind.DECIMAL: pa.float64()}


class JsonColumns:
    """Reads records of one source into a column per field: texts, int64 and float64, null where null or missing."""

    def __init__(self, source: Source) -> None:
        schema = pa.schema([pa.field(field.name, _WIRE_TYPES.get(field.kind, pa.string())) for field in FIELDS[source]])
        self._options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        self._has_shape = msgspec.json.Decoder(_shape_of(source)).decode
        self._nothing = schema.empty_table()

    def read(self, values: Packed) -> tuple[pa.Table, Positions]:
        """Those records that are certainly JSON objects with the right type in every field, and where they stood."""
        braced = _in_braces(values)
        positions, values = np.flatnonzero(braced), values.pick(braced)
        whole = self._table(values, strict=False)  # most fetches are right but for what was cut off
        if whole is not None:
            return whole, positions
        shaped = np.fromiter(map(self._shaped, values), np.bool_, len(values))
        positions, values = positions[shaped], values.pick(shaped)
        return read_in_pieces(lambda piece: self._table(piece, strict=True), values, positions, self._nothing)

    def _shaped(self, value: bytes | None) -> bool:
        try:
            self._has_shape(value or b"")
        except _NOT_A_SHAPE:
            return False
        return True

    def _table(self, values: Packed, *, strict: bool) -> pa.Table | None:
        """All these records, which are in braces; None where one is in doubt. `strict`: they are strict JSON."""
        if not len(values) or not _unmistakable(values) or not (strict or _finite(values.data)):
            return None
        options = pj.ReadOptions(use_threads=False, block_size=len(values.data) + 1)
        try:
            table = pj.read_json(pa.BufferReader(values.data), options, self._options)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        return table if table.num_rows == len(values) else None


def _in_braces(values: Packed) -> Mask:
    """Which values begin with `{` and end with `}`; of none or an empty one, what is looked at is not its own."""
    octets = values.octets
    return (values.sizes > 0) & (octets[values.starts] == _OPEN) & (octets[values.ends - 1] == _CLOSE)


def _unmistakable(values: Packed) -> bool:
    """Whether none of these values, each in braces, is too long, too deep, or not UTF-8. Errs on the side of doubt."""
    if values.sizes.max() > MAX_RECORD_BYTES:
        return False
    # Each object opens at least one bracket, so none can open more than what the others leave.
    brackets = np.count_nonzero(values.octets == _OPEN) + np.count_nonzero(values.octets == _OPEN_ARRAY)
    if brackets - len(values) >= NESTING_LIMIT:
        return False
    try:  # a newline is no part of any longer character, so all are UTF-8 exactly if the whole is
        values.data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _finite(block: bytes) -> bool:
    """Whether there is no `NaN` and no `Inf` anywhere; in a text they would be right, and only cost a second look."""
    return not any(_has_pair(block, word[:2]) and word in block for word in (b"NaN", b"Inf"))


def _has_pair(block: bytes, pair: bytes) -> bool:
    """Whether two bytes stand side by side: at a fifth of the price of `in`, for a pair that is mostly absent."""
    wanted = np.frombuffer(pair, np.uint16)[0]
    aligned = (np.frombuffer(block, np.uint16, (len(block) - skip) // 2, skip) for skip in (0, 1))
    return any((pairs == wanted).any() for pairs in aligned)


def _shape_of(source: Source) -> type[msgspec.Struct]:
    """The types of a source's fields; bounds are a matter of the columns."""
    fields: list[Any] = [
        (field.name, _type_of(field) | None, None) if field.nullable else (field.name, _type_of(field))
        for field in FIELDS[source]
    ]
    return msgspec.defstruct(f"{source.name.title()}Event", fields, kw_only=True, gc=False)


def _type_of(field: Field) -> Any:
    match field.kind:
        case FieldKind.INTEGER:
            return int
        case FieldKind.DECIMAL:
            return float
        case _:
            return str
