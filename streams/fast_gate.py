"""The fast gate: judges whole fetches, and only ever accepts. What it is not certain of goes to the careful gate.

Each record is decoded by msgspec into a struct whose types hold the contract's bounds; the rest is checked by column.
What it accepts, the careful gate accepts with the same row: a property test holds the two together.

msgspec reads JSON as strictly as RFC 8259, and half a surrogate pair is an error to it. Two things it lets pass, which
`_unmistakable` sees to: bytes that are not UTF-8 in what it skips, and nesting as deep as the stack allows.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.sources import FIELDS, Field, FieldKind, Source
from schemas.topics import MAX_RECORD_BYTES
from streams.columns import column_readers, event_columns
from streams.intake_rules import IntakeRules
from streams.json_input import NESTING_LIMIT

_UNCERTAIN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Positions = npt.NDArray[np.int64]  # indices of records in the fetch, ascending


class Accepted(NamedTuple):
    """Rows in the order of their records, and the position of each row's record."""

    table: pa.Table
    positions: Positions


class FastGate:
    """Accepts records of one source."""

    def __init__(self, source: Source, rules: IntakeRules) -> None:
        self._schema = event_columns(source)
        self._decode = msgspec.json.Decoder(_struct_of(source)).decode
        readers = column_readers(rules)
        self._readers = [(readers[field.kind], attrgetter(field.name)) for field in FIELDS[source]]
        self._max_future_skew_ms = rules.max_future_skew_ms

    def accept(self, values: Sequence[bytes | None], timestamps_ms: Sequence[int]) -> Accepted:
        """Those records that are certainly right; both sequences have one element per record."""
        events, positions = self._decode_all(values)
        if not events:
            return Accepted(self._schema.empty_table(), positions)
        columns = [read([field(event) for event in events]) for read, field in self._readers]
        table = pa.table([column.values for column in columns], schema=self._schema)
        latest = np.array(timestamps_ms, np.int64)[positions] + self._max_future_skew_ms
        masks = [column.certain for column in columns if column.certain is not None]
        certain = np.logical_and.reduce([*masks, table.column("event_time").to_numpy() <= latest])
        if certain.all():
            return Accepted(table, positions)
        return Accepted(table.filter(pa.array(certain)), positions[certain])

    def _decode_all(self, values: Sequence[bytes | None]) -> tuple[list[Any], Positions]:
        """Structs of the records that are JSON of the right shape, and their positions."""
        decode = self._decode
        try:  # most fetches are right as a whole
            everything = [decode(value) for value in values if value is not None]
            if len(everything) == len(values) and _unmistakable(values):  # type: ignore[arg-type]  # none is None
                return everything, np.arange(len(values))
        except _UNCERTAIN:
            pass
        events: list[Any] = []
        positions: list[int] = []
        decoded: list[bytes] = []
        for position, value in enumerate(values):
            if value is None:
                continue
            try:
                events.append(decode(value))
            except _UNCERTAIN:
                continue
            positions.append(position)
            decoded.append(value)
        if not _unmistakable(decoded):
            kept = [row for row, value in enumerate(decoded) if _unmistakable([value])]
            events, positions = [events[row] for row in kept], [positions[row] for row in kept]
        return events, np.array(positions, np.int64)


def _unmistakable(objects: Sequence[bytes]) -> bool:
    """Whether none of these JSON objects is too long, too deep, or not UTF-8. Errs on the side of doubt."""
    text = b"\n".join(objects)
    if len(text) > MAX_RECORD_BYTES and max(map(len, objects)) > MAX_RECORD_BYTES:
        return False
    # Each object opens at least one bracket, so none can open more than what the others leave.
    if text.count(b"{") + text.count(b"[") - len(objects) >= NESTING_LIMIT:
        return False
    try:  # a newline is no part of any longer character, so all are UTF-8 exactly if the whole is
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _struct_of(source: Source) -> type[msgspec.Struct]:
    """The shape of a source's events, with every bound that a type can hold."""
    fields: list[Any] = [
        (field.name, _type_of(field) | None, None) if field.nullable else (field.name, _type_of(field))
        for field in FIELDS[source]
    ]
    return msgspec.defstruct(f"{source.name.title()}Event", fields, kw_only=True, gc=False)


def _type_of(field: Field) -> Any:
    match field.kind:
        case FieldKind.IDENTIFIER:
            return Annotated[str, msgspec.Meta(min_length=_whole(field.minimum), max_length=_whole(field.maximum))]
        case FieldKind.INTEGER:
            return Annotated[int, msgspec.Meta(ge=_whole(field.minimum), le=_whole(field.maximum))]
        case FieldKind.DECIMAL:
            bounds: dict[str, Any] = {"gt": field.above, "ge": field.minimum, "le": field.maximum}
            return Annotated[float, msgspec.Meta(**bounds)]
        case _:
            return str


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)
