"""Avro in Confluent's wire format: a zero byte, the id of the writer's schema in four bytes, the record.

The ids that are known are settings, so that a verdict needs no registry. A record is resolved to our event schema by
Avro's own rules: fields of the same names, promotions, defaults, the same unqualified name of the record.

Logical types play no part in that (Avro 1.12, Logical Types), with one exception: the writer's `event_time` says
whether it counts milliseconds or microseconds.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

from fastavro import schemaless_reader
from fastavro.schema import parse_schema

from schemas.codecs import parsed_schema
from schemas.errors import ErrorClass
from schemas.sources import EVENT_SCHEMAS, Source
from streams.event_times import Milliseconds
from streams.record_fault import RecordFault, clipped

MAGIC = b"\x00"
HEADER_BYTES = 5
_TIME_FIELD = "event_time"
_OBJECT = re.compile(r"( from)? <[^<>]* at 0x[0-9a-f]+>")
_TICKS_PER_MS = {None: 1, "timestamp-millis": 1, "timestamp-micros": 1000}


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """A schema that records were written with; `ticks_per_ms` is None where `event_time` is no UTC instant."""

    text: str  # as configured, with sorted keys: part of the settings hash
    parsed: Mapping[str, Any]
    ticks_per_ms: int | None

    @classmethod
    def parse(cls, declared: Any) -> Self:
        """From the JSON value of an `.avsc`.

        Raises:
            ValueError: it is no Avro record schema, or one that contains itself.
        """
        text = json.dumps(declared, sort_keys=True)
        try:
            parsed = parse_schema(_without_logical_types(json.loads(text)))
        except Exception as error:  # fastavro raises whatever it stumbles over
            raise ValueError(f"no Avro schema: {type(error).__name__}: {clipped(str(error), 200)}") from error
        if not isinstance(parsed, dict) or parsed.get("type") != "record":
            raise ValueError("the schema of an event is a record")
        _refuse_recursion(parsed, ())
        return cls(text, parsed, _ticks_per_ms(declared))


class AvroInput:
    """Reads Avro records of one source."""

    def __init__(self, source: Source, writers: Mapping[int, WriterSchema]) -> None:
        self._writers = writers
        self._reader: Any = parsed_schema(EVENT_SCHEMAS[source])

    def read(self, data: bytes) -> dict[str, Any]:
        """The event as the source's schema has it; `event_time` is `Milliseconds`.

        Raises:
            RecordFault: `unknown_schema` or `incompatible_schema`, at `$`.
        """
        writer = self._writer_of(data)
        body = BytesIO(data[HEADER_BYTES:])
        try:
            event: Any = schemaless_reader(body, writer.parsed, self._reader)  # pyright: ignore[reportArgumentType]
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # on bytes of another schema fastavro may stumble over anything
            # fastavro names the object it read from by its address, and a verdict must repeat itself.
            found = _OBJECT.sub("", str(error))
            raise _incompatible(f"{type(error).__name__}: {clipped(found, 200)}") from None
        if rest := len(data) - HEADER_BYTES - body.tell():
            raise _incompatible(f"{rest} bytes are left over")
        if writer.ticks_per_ms is None:
            raise _incompatible(f"{_TIME_FIELD} must be timestamp-millis or timestamp-micros")
        event[_TIME_FIELD] = Milliseconds(event[_TIME_FIELD] // writer.ticks_per_ms)
        return event

    def _writer_of(self, data: bytes) -> WriterSchema:
        if len(data) < HEADER_BYTES:
            raise RecordFault(ErrorClass.UNKNOWN_SCHEMA, "the record ends before the id of its Avro schema")
        schema_id = int.from_bytes(data[len(MAGIC) : HEADER_BYTES], "big")
        if schema_id not in self._writers:
            known = clipped(", ".join(map(str, sorted(self._writers)))) or "none"
            raise RecordFault(ErrorClass.UNKNOWN_SCHEMA, f"found Avro schema id {schema_id}, known are: {known}")
        return self._writers[schema_id]


def _incompatible(why: str) -> RecordFault:
    return RecordFault(ErrorClass.INCOMPATIBLE_SCHEMA, f"the bytes do not resolve to the event's schema: {why}")


def _without_logical_types(declared: Any) -> Any:
    """The schema with base types only, as resolution wants it: fastavro would hand on UUIDs, decimals and datetimes."""
    if isinstance(declared, list):
        return [_without_logical_types(branch) for branch in declared]
    if not isinstance(declared, dict):
        return declared
    return {
        key: _without_logical_types(value) if key in ("type", "items", "values", "fields") else value
        for key, value in declared.items()
        if key != "logicalType"
    }


def _ticks_per_ms(declared: Any) -> int | None:
    """What one millisecond is in the unit of `event_time`; where a union has several units, none can be told."""
    types = [field["type"] for field in declared["fields"] if field["name"] == _TIME_FIELD]
    ticks = {_TICKS_PER_MS.get(name) for declared_type in types for name in _logical_types(declared_type)}
    return ticks.pop() if len(ticks) == 1 else None


def _logical_types(declared: Any) -> set[str | None]:
    """Those of a type, or of the branches of a union but null; None stands for a type without."""
    if isinstance(declared, list):
        return {name for branch in declared if branch != "null" for name in _logical_types(branch)}
    if isinstance(declared, dict):
        return {declared["logicalType"]} if "logicalType" in declared else _logical_types(declared["type"])
    return {None}


def _refuse_recursion(parsed: Any, inside: tuple[str, ...]) -> None:
    """Records of a schema that contains itself nest as deep as their bytes say, and fastavro overflows the C stack."""
    if isinstance(parsed, str) and parsed in inside:
        raise ValueError(f"{parsed} contains itself, so its records have no bounded depth")
    if isinstance(parsed, dict) and "name" in parsed:
        inside = (*inside, parsed["name"])
    for part in _parts(parsed):
        _refuse_recursion(part, inside)


def _parts(parsed: Any) -> Iterator[Any]:
    """The types that a parsed type is made of."""
    if isinstance(parsed, list):
        yield from parsed
    elif isinstance(parsed, dict):
        yield from (field["type"] for field in parsed.get("fields", ()))
        yield from (parsed[key] for key in ("type", "items", "values") if key in parsed)
