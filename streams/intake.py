"""The intake: judges records. Right ones become rows of a table, wrong ones rejections that say what is wrong where.

A verdict is a pure function of a record's bytes, its Kafka timestamp and the rules. Two gates give it: the careful one
(`Intake.judge`) knows every answer, the fast one (`FastGate`) accepts most of what is right at a tenth of the price.

The careful gate asks in this order, and the first fault is the verdict: is there a value, is it small enough, is it
Avro or JSON (`avro_input`, `json_input`), is it an object, is each field right in the order of the contract (`fields`),
and last, because it takes more than the record's own bytes to tell, is it from the future.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa

from schemas.errors import ErrorClass
from schemas.packed import Packed
from schemas.sources import FIELDS, Source
from schemas.topics import MAX_RECORD_BYTES
from streams.avro_input import MAGIC, AvroInput
from streams.columns import event_columns
from streams.event_times import format_time
from streams.fast_gate import Accepted, FastGate
from streams.fields import FieldGate
from streams.intake_rules import IntakeRules
from streams.json_input import read_json
from streams.pieces import Positions
from streams.record_fault import RecordFault, clipped, shown

DECODE, VALIDATE = "decode", "validate"

Row = tuple[Any, ...]  # the values of one event in the order of the source's fields


class Fault(NamedTuple):
    """Why a record is refused: the JSON path of the fault, and the stage (`decode` or `validate`) that found it."""

    error_class: ErrorClass
    path: str
    message: str
    stage: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """The fault of the record at `index` of the fetch."""

    index: int
    error_class: ErrorClass
    path: str
    message: str
    stage: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A fetch as the intake leaves it: every record is in exactly one of the two.

    `table` has the accepted rows in the order of the records: the source's fields (texts; `event_time` in UTC
    milliseconds and `line` as int64; quantities as float64), then `source_offset`.
    """

    table: pa.Table
    rejections: list[Rejection]
    judged: int  # records that the fast gate left to the careful one


class Intake:
    """Judges the records of one source."""

    def __init__(self, source: Source, rules: IntakeRules) -> None:
        self._schema = event_columns(source)
        self._fields = [FieldGate(field, rules) for field in FIELDS[source]]
        self._time_index = self._schema.get_field_index("event_time")
        self._max_future_skew_ms = rules.max_future_skew_ms
        self._avro = AvroInput(source, rules.avro_schemas)
        self._fast = FastGate(source, rules)

    def decode(
        self,
        values: Packed,
        timestamps_ms: Sequence[int] | Positions,
        offsets: Sequence[int] | Positions,
    ) -> Decoded:
        """Judge a fetch; all three have one element per record, `offsets` ascending."""
        accepted = self._accept(values, timestamps_ms)
        doubtful = np.delete(np.arange(len(values)), accepted.positions).tolist()
        rejections: list[Rejection] = []
        rows: dict[int, Row] = {}
        for position in doubtful:
            verdict = self.judge(values[position], int(timestamps_ms[position]))
            if isinstance(verdict, Fault):
                rejections.append(Rejection(position, *verdict))
            else:
                rows[position] = verdict
        if rows:
            accepted = self._with_rows(accepted, rows)
        source_offsets = np.asarray(offsets, np.int64)[accepted.positions]
        table = accepted.table.append_column(pa.field("source_offset", pa.int64(), False), pa.array(source_offsets))
        return Decoded(table, rejections, len(doubtful))

    def _accept(self, values: Packed, timestamps_ms: Sequence[int] | Positions) -> Accepted:
        try:
            return self._fast.accept(values, timestamps_ms)
        except MemoryError:
            raise
        except Exception:  # a fault of ours that some record brought to light: the careful gate finds out which
            return Accepted(self._schema.empty_table(), np.empty(0, np.int64))

    def _with_rows(self, accepted: Accepted, rows: Mapping[int, Row]) -> Accepted:
        """The accepted rows with those of further positions at their places."""
        columns = zip(*rows.values(), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        return accepted.merged(Accepted(pa.table(arrays, schema=self._schema), np.array(list(rows), np.int64)))

    def judge(self, value: bytes | None, timestamp_ms: int) -> Row | Fault:
        """The verdict on one record: its row, or its first fault."""
        stage = DECODE
        try:
            event = self._read(value)
            stage = VALIDATE
            row = tuple(field.read(event) for field in self._fields)
            self._refuse_future(row[self._time_index], timestamp_ms)
        except RecordFault as fault:
            return Fault(fault.error_class, fault.path, fault.message, stage)
        except (MemoryError, RecursionError):  # the host's trouble, not the record's: no verdict
            raise
        except Exception as error:
            message = clipped(f"{type(error).__name__}: {error}", 200).encode("utf-8", "backslashreplace").decode()
            return Fault(ErrorClass.INTERNAL, "$", message, stage)
        return row

    def _read(self, value: bytes | None) -> Mapping[str, Any]:
        if value is None:
            raise RecordFault(ErrorClass.NOT_JSON, "the record has no value")
        if len(value) > MAX_RECORD_BYTES:
            message = f"found {len(value)} bytes, expected at most {MAX_RECORD_BYTES}"
            raise RecordFault(ErrorClass.TOO_LARGE, message)
        if value.startswith(MAGIC):
            return self._avro.read(value)
        event = read_json(value)
        if not isinstance(event, dict):
            raise RecordFault(ErrorClass.NOT_OBJECT, f"found {shown(event)}, expected an object")
        return cast(Mapping[str, Any], event)

    def _refuse_future(self, event_time_ms: int, timestamp_ms: int) -> None:
        ahead_ms = event_time_ms - timestamp_ms
        if ahead_ms > self._max_future_skew_ms:
            found = f"found {format_time(event_time_ms)}, {ahead_ms} ms later than the record's Kafka timestamp"
            message = f"{found}; allowed are {self._max_future_skew_ms} ms"
            raise RecordFault(ErrorClass.FUTURE_EVENT_TIME, message, "$.event_time")
