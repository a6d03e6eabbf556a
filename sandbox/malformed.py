"""Kinds of records that must become dead letters, each with one fault, its error class and its JSON path.

The table is the contract of the intake seen from outside: a line here is refused for exactly the stated reason. Every
error class has its kinds, except `internal`, which no input may cause. `MALFORMED_AVRO_KINDS` are Avro in Confluent's
wire format with the writer schemas that `write_schema_dir` puts down; all other kinds need no settings.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro

from schemas.codecs import avro_schema
from schemas.errors import ErrorClass
from schemas.sources import EVENT_SCHEMAS, Source

RECORD_LIMIT_BYTES = 1 << 20
NESTING_LIMIT = 100

#: A faultless record of each source as JSON texts per field, so that a kind can replace a value by any text at all.
VALID: dict[Source, dict[str, str]] = {
    Source.ORDERS: {
        "event_id": '"malformed-1"',
        "site_id": '"UK-DC1"',
        "sku": '"85123A"',
        "event_time": '"2011-03-01T10:15:00+00:00"',
        "quantity": "6",
        "uom": '"EA"',
        "order_id": '"536365"',
        "line": "1",
        "channel": '"domestic"',
        "promo_id": "null",
    },
    Source.RETURNS: {
        "event_id": '"malformed-2"',
        "site_id": '"UK-DC1"',
        "sku": '"22423"',
        "event_time": '"2011-03-01T11:15:00+00:00"',
        "quantity": "2",
        "uom": '"EA"',
        "order_id": "null",
        "line": "null",
        "channel": "null",
        "return_id": '"C536379"',
        "reason": '"damaged"',
    },
    Source.CYCLE_COUNTS: {
        "event_id": '"malformed-3"',
        "site_id": '"UK-DC1"',
        "sku": '"21777"',
        "event_time": '"2011-03-01T12:15:00+00:00"',
        "uom": '"EA"',
        "count_id": '"536589"',
        "variance": "-10",
        "book_quantity": "120",
        "location_id": '"A-01"',
        "reason": "null",
    },
}


@dataclass(frozen=True, slots=True)
class MalformedKind:
    """One way to be wrong; `path` is the JSON path of the fault, `$` when the record as a whole is to blame."""

    name: str
    source: Source
    error_class: ErrorClass
    path: str
    build: Callable[[], bytes]

    @property
    def line(self) -> bytes:
        """The record's bytes, without a newline; built on demand, for one of them is over 1 MiB."""
        return self.build()


def json_line(source: Source, changes: Mapping[str, str | None] | None = None) -> bytes:
    """The faultless record of a source with some fields replaced by other JSON texts, or left out (None)."""
    fields = {**VALID[source], **(changes or {})}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items() if text is not None) + "}").encode()


def write_schema_dir(directory: Path) -> None:
    """Writes the writer schemas of `MALFORMED_AVRO_KINDS` as `<id>.avsc`, for the setting `schema_dir`."""
    directory.mkdir(parents=True, exist_ok=True)
    for schema_id, schema in _WRITER_SCHEMAS.items():
        (directory / f"{schema_id}.avsc").write_text(json.dumps(schema), "utf-8")


def _field(error_class: ErrorClass, source: Source, name: str, field: str, text: str | None) -> MalformedKind:
    """A record with one faulty field."""
    return MalformedKind(name, source, error_class, f"$.{field}", lambda: json_line(source, {field: text}))


def _whole(name: str, error_class: ErrorClass, line: bytes | Callable[[], bytes]) -> MalformedKind:
    """A record that is wrong as a whole."""
    return MalformedKind(name, Source.ORDERS, error_class, "$", line if callable(line) else lambda: line)


def _text(length: int) -> str:
    return f'"{"x" * length}"'


def _oversized() -> bytes:
    """A faultless order but for an unknown field, which is to be ignored, that makes it one byte too long."""
    bare = len(json_line(Source.ORDERS, {"padding": '""'}))
    return json_line(Source.ORDERS, {"padding": _text(RECORD_LIMIT_BYTES + 1 - bare)})


def _nested() -> bytes:
    depth = NESTING_LIMIT + 1
    return json_line(Source.ORDERS, {"padding": "[" * depth + "]" * depth})


def _order_with(field: str, raw: bytes) -> bytes:
    """An order one of whose texts is these bytes."""
    return json_line(Source.ORDERS, {field: '"@"'}).replace(b"@", raw)


def _avro(schema_id: int, body: bytes) -> bytes:
    """Confluent's wire format: a zero byte, the schema id in four bytes, the Avro body."""
    return b"\x00" + schema_id.to_bytes(4, "big") + body


def _avro_body(schema_id: int, **fields: Any) -> bytes:
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(dict(_WRITER_SCHEMAS[schema_id])), fields)
    return body.getvalue()


def _avro_order(**changes: Any) -> bytes:
    fields = {name: json.loads(text) for name, text in VALID[Source.ORDERS].items()}
    return _avro_body(_ORDER_SCHEMA, **{**fields, "event_time": 1_298_974_500_000, **changes})


_UNKNOWN_SCHEMA, _ORDER_SCHEMA, _PALLET_SCHEMA = 2**31 - 1, 1, 2
_WRITER_SCHEMAS: dict[int, Mapping[str, Any]] = {
    _ORDER_SCHEMA: avro_schema(EVENT_SCHEMAS[Source.ORDERS]),
    _PALLET_SCHEMA: {"type": "record", "name": "Pallet", "fields": [{"name": "pallet_id", "type": "string"}]},
}

_E = ErrorClass
_O, _R, _C = Source.ORDERS, Source.RETURNS, Source.CYCLE_COUNTS
_ORDER = json_line(_O)

_WHOLE_RECORD: tuple[MalformedKind, ...] = (
    _whole("one_byte_over_1_mib", _E.TOO_LARGE, _oversized),
    _whole("byte_that_utf8_never_has", _E.ENCODING, _order_with("order_id", b"5\xff")),
    _whole("latin1_text", _E.ENCODING, _order_with("channel", "Köln".encode("latin-1"))),
    _whole("cut_multibyte_character", _E.ENCODING, _order_with("promo_id", "é".encode()[:1])),
    _whole("overlong_encoding", _E.ENCODING, _order_with("order_id", b"\xc0\xaf")),
    _whole("encoded_surrogate", _E.ENCODING, _order_with("order_id", b"\xed\xa0\x80")),
    _whole("utf16_document", _E.ENCODING, b"\xff\xfe" + _ORDER.decode().encode("utf-16-le")),
    _whole("empty", _E.NOT_JSON, b""),
    _whole("blank", _E.NOT_JSON, b"   "),
    _whole("truncated", _E.NOT_JSON, _ORDER[:-20]),
    _whole("trailing_garbage", _E.NOT_JSON, _ORDER + b" x"),
    _whole("two_records_in_one", _E.NOT_JSON, _ORDER + _ORDER),
    _whole("nan", _E.NOT_JSON, json_line(_O, {"quantity": "NaN"})),
    _whole("infinity", _E.NOT_JSON, json_line(_O, {"quantity": "Infinity"})),
    _whole("minus_infinity", _E.NOT_JSON, json_line(_O, {"quantity": "-Infinity"})),
    _whole("single_quotes", _E.NOT_JSON, _ORDER.replace(b'"', b"'")),
    _whole("trailing_comma", _E.NOT_JSON, _ORDER[:-1] + b",}"),
    _whole("leading_zero", _E.NOT_JSON, json_line(_O, {"quantity": "06"})),
    _whole("raw_control_character", _E.NOT_JSON, _order_with("order_id", b"5\x01")),
    _whole("csv", _E.NOT_JSON, b"malformed-1,UK-DC1,85123A,2011-03-01T10:15:00+00:00,6,EA"),
    _whole("nested_too_deep", _E.NOT_JSON, _nested),
    _whole("array", _E.NOT_OBJECT, b"[" + _ORDER + b"]"),
    _whole("number", _E.NOT_OBJECT, b"42"),
    _whole("string", _E.NOT_OBJECT, b'"hello"'),
    _whole("null", _E.NOT_OBJECT, b"null"),
    _whole("boolean", _E.NOT_OBJECT, b"true"),
    _whole("unknown_schema_id", _E.UNKNOWN_SCHEMA, _avro(_UNKNOWN_SCHEMA, b"\x02\x04")),
)

_ONE_FIELD: tuple[MalformedKind, ...] = (
    _field(_E.MISSING_FIELD, _O, "without_event_id", "event_id", None),
    _field(_E.MISSING_FIELD, _O, "without_quantity", "quantity", None),
    _field(_E.MISSING_FIELD, _R, "without_return_id", "return_id", None),
    _field(_E.MISSING_FIELD, _C, "without_uom", "uom", None),
    _field(_E.MISSING_FIELD, _C, "without_variance", "variance", None),
    _field(_E.NULL_FIELD, _O, "null_sku", "sku", "null"),
    _field(_E.NULL_FIELD, _O, "null_line", "line", "null"),
    _field(_E.NULL_FIELD, _R, "null_event_time", "event_time", "null"),
    _field(_E.NULL_FIELD, _C, "null_count_id", "count_id", "null"),
    _field(_E.WRONG_TYPE, _O, "quantity_as_text", "quantity", '"3"'),
    _field(_E.WRONG_TYPE, _O, "quantity_as_boolean", "quantity", "true"),
    _field(_E.WRONG_TYPE, _O, "sku_as_number", "sku", "85123"),
    _field(_E.WRONG_TYPE, _O, "event_time_as_number", "event_time", "1298974500000"),
    _field(_E.WRONG_TYPE, _O, "site_id_as_object", "site_id", "{}"),
    _field(_E.WRONG_TYPE, _O, "line_with_a_fraction", "line", "1.5"),
    _field(_E.WRONG_TYPE, _O, "line_as_text", "line", '"1"'),
    _field(_E.WRONG_TYPE, _O, "channel_as_array", "channel", '["domestic"]'),
    _field(_E.WRONG_TYPE, _R, "reason_as_number", "reason", "7"),
    _field(_E.WRONG_TYPE, _C, "variance_as_text", "variance", '"-10"'),
    _field(_E.WRONG_TYPE, _C, "uom_as_number", "uom", "1"),
    _field(_E.BAD_FORMAT, _O, "empty_event_id", "event_id", '""'),
    _field(_E.BAD_FORMAT, _O, "event_id_of_65", "event_id", _text(65)),
    _field(_E.BAD_FORMAT, _O, "site_id_with_blank", "site_id", '"UK DC1"'),
    _field(_E.BAD_FORMAT, _O, "site_id_of_33", "site_id", _text(33)),
    _field(_E.BAD_FORMAT, _O, "sku_with_forbidden_character", "sku", '"85123A!"'),
    _field(_E.BAD_FORMAT, _O, "sku_of_blanks", "sku", '"   "'),
    _field(_E.BAD_FORMAT, _O, "sku_of_65", "sku", _text(65)),
    _field(_E.BAD_FORMAT, _O, "event_time_without_offset", "event_time", '"2011-03-01T10:15:00"'),
    _field(_E.BAD_FORMAT, _O, "event_time_in_words", "event_time", '"yesterday"'),
    _field(_E.BAD_FORMAT, _O, "event_time_date_only", "event_time", '"2011-03-01"'),
    _field(_E.BAD_FORMAT, _O, "event_time_month_13", "event_time", '"2011-13-01T10:15:00Z"'),
    _field(_E.BAD_FORMAT, _O, "empty_order_id", "order_id", '""'),
    _field(_E.BAD_FORMAT, _O, "channel_of_33", "channel", _text(33)),
    _field(_E.BAD_FORMAT, _R, "reason_of_257", "reason", _text(257)),
    _field(_E.BAD_FORMAT, _C, "location_id_of_65", "location_id", _text(65)),
    _field(_E.OUT_OF_RANGE, _O, "quantity_zero", "quantity", "0"),
    _field(_E.OUT_OF_RANGE, _O, "quantity_negative", "quantity", "-6"),
    _field(_E.OUT_OF_RANGE, _O, "quantity_over_1e9", "quantity", "1000000000.001"),
    _field(_E.OUT_OF_RANGE, _O, "quantity_with_four_decimals", "quantity", "1.2345"),
    _field(_E.OUT_OF_RANGE, _O, "quantity_no_double_holds", "quantity", "1e999"),
    _field(_E.OUT_OF_RANGE, _O, "line_zero", "line", "0"),
    _field(_E.OUT_OF_RANGE, _O, "year_1969", "event_time", '"1969-06-01T00:00:00Z"'),
    _field(_E.OUT_OF_RANGE, _O, "year_3000", "event_time", '"3000-06-01T00:00:00Z"'),
    _field(_E.OUT_OF_RANGE, _R, "return_line_zero", "line", "0"),
    _field(_E.OUT_OF_RANGE, _C, "variance_below_minus_1e9", "variance", "-1000000001"),
    _field(_E.OUT_OF_RANGE, _C, "variance_with_four_decimals", "variance", "-0.0005"),
    _field(_E.OUT_OF_RANGE, _C, "book_quantity_negative", "book_quantity", "-1"),
    _field(_E.UNKNOWN_UNIT, _O, "uom_unknown", "uom", '"CRATE"'),
    _field(_E.UNKNOWN_UNIT, _R, "uom_in_lower_case", "uom", '"ea"'),
    _field(_E.FUTURE_EVENT_TIME, _O, "event_time_in_2999", "event_time", '"2999-12-30T00:00:00Z"'),
)

#: Kinds that are refused under any settings.
MALFORMED_KINDS: tuple[MalformedKind, ...] = (*_WHOLE_RECORD, *_ONE_FIELD)

#: Kinds that are refused for these reasons when `schema_dir` is what `write_schema_dir` wrote.
MALFORMED_AVRO_KINDS: tuple[MalformedKind, ...] = (
    _whole("avro_cut_short", _E.INCOMPATIBLE_SCHEMA, lambda: _avro(_ORDER_SCHEMA, _avro_order()[:10])),
    _whole(
        "avro_of_another_record",
        _E.INCOMPATIBLE_SCHEMA,
        lambda: _avro(_PALLET_SCHEMA, _avro_body(_PALLET_SCHEMA, pallet_id="P-1")),
    ),
    MalformedKind(
        "avro_quantity_zero", _O, _E.OUT_OF_RANGE, "$.quantity", lambda: _avro(_ORDER_SCHEMA, _avro_order(quantity=0.0))
    ),
)
