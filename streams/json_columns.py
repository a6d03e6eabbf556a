"""A fetch of JSON records to columns, without a Python object per field: Arrow's JSON reader, kept honest.

Arrow reads concatenated objects and does not care where records end, so two things are seen to here. Every record
begins with `{` and ends with `}`, and there are as many objects as records. Then each record is exactly one object: a
newline lies between two records, which no JSON text may contain, and outside of texts a `}` that is followed by `{` can
only be the end of one object and the beginning of the next.

Arrow also lets pass what RFC 8259 does not: bytes that are not UTF-8, `NaN` and `Inf`, and any depth of nesting.

It refuses a block as a whole. Then those in braces are tried without the others, for what goes wrong most is a record
that was cut off. After that msgspec picks out the records that have the right shape, and if Arrow is still not content,
they are read in pieces.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json as pj

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

    def read(self, values: Sequence[bytes | None]) -> tuple[pa.Table, Positions]:
        """Those records that are certainly JSON objects with the right type in every field, and where they stood."""
        whole = self._table(values, strict=False) if all(values) else None  # most fetches are right as a whole
        if whole is not None:
            return whole, np.arange(len(values))
        braced = _in_braces([value or b"" for value in values])
        positions = np.flatnonzero(braced)
        texts: list[bytes | None] = list(compress(values, braced.tolist()))
        whole = self._table(texts, strict=False) if len(texts) < len(values) else None
        if whole is not None:
            return whole, positions
        positions = positions[np.array([self._shaped(text) for text in texts], np.bool_)]
        texts = [values[row] for row in positions.tolist()]
        return read_in_pieces(lambda piece: self._table(piece, strict=True), texts, positions, self._nothing)

    def _shaped(self, value: bytes | None) -> bool:
        try:
            self._has_shape(value or b"")
        except _NOT_A_SHAPE:
            return False
        return True

    def _table(self, texts: Sequence[Any], *, strict: bool) -> pa.Table | None:
        """All these records, or None where one of them is in doubt; `strict`: they are known to be strict JSON."""
        block = b"\n".join(texts)
        if not texts or not _unmistakable(block, texts) or not (strict or _finite(block)):
            return None
        options = pj.ReadOptions(use_threads=False, block_size=len(block) + 1)
        try:
            table = pj.read_json(pa.BufferReader(block), options, self._options)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        return table if table.num_rows == len(texts) else None


def _in_braces(values: Sequence[bytes]) -> Mask:
    """Which values begin with `{` and end with `}`."""
    characters = np.frombuffer(b"".join(values) + b" ", np.uint8)  # a blank, in case that there is nothing
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    ends = np.cumsum(lengths)
    # An empty value has no characters: what stands before it and behind it says nothing.
    return (lengths > 0) & (characters[ends - lengths] == _OPEN) & (characters[ends - 1] == _CLOSE)


def _unmistakable(block: bytes, texts: Sequence[bytes]) -> bool:
    """Whether each of these texts, none empty, is in braces, and none too long, too deep, or not UTF-8.

    `block` is the texts, joined by newlines. Errs on the side of doubt.
    """
    characters = np.frombuffer(block, np.uint8)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths + 1) - 1
    if (characters[ends - lengths] != _OPEN).any() or (characters[ends - 1] != _CLOSE).any():
        return False
    if lengths.max() > MAX_RECORD_BYTES:
        return False
    # Each object opens at least one bracket, so none can open more than what the others leave.
    brackets = np.count_nonzero(characters == _OPEN) + np.count_nonzero(characters == _OPEN_ARRAY)
    if brackets - len(texts) >= NESTING_LIMIT:
        return False
    try:  # a newline is no part of any longer character, so all are UTF-8 exactly if the whole is
        block.decode("utf-8")
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
