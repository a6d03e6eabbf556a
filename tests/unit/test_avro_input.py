"""Avro in Confluent's wire format, read under writer schemas from a local directory."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pytest

from runtime.refusals import SettingsRefused
from runtime.settings import IntakeSettings
from sandbox.malformed import MALFORMED_AVRO_KINDS, MalformedKind, write_schema_dir
from schemas.codecs import avro_schema
from schemas.errors import ErrorClass
from schemas.packed import Packed
from schemas.sources import EVENT_SCHEMAS, FIELDS, Source
from streams.avro_input import WriterSchema
from streams.intake import Fault, Intake, IntakeRules
from streams.intake_rules import load_schema_dir

RULES = IntakeRules.from_settings(IntakeSettings())
NOW_MS = 1_767_225_600_000  # 2026-01-01
AT_MS = 1_298_974_500_123
EVENTS: dict[Source, dict[str, Any]] = {
    Source.ORDERS: {"quantity": 6.5, "uom": "EA", "order_id": "536365", "line": 1, "channel": "web", "promo_id": None},
    Source.RETURNS: {"quantity": 2.0, "uom": "EA", "order_id": None, "line": 3, "channel": None, "return_id": "C1"}
    | {"reason": ""},
    Source.CYCLE_COUNTS: {"uom": "EA", "count_id": "K1", "variance": -10.0, "book_quantity": None, "location_id": None}
    | {"reason": "fallen"},
}
for _event in EVENTS.values():
    _event |= {"event_id": "e-1", "site_id": "UK-DC1", "sku": " 85123a", "event_time": AT_MS}


def schema(source: Source = Source.ORDERS, **types: Any) -> dict[str, Any]:
    """The event schema of a source, some fields declared with other types."""
    declared = json.loads(json.dumps(avro_schema(EVENT_SCHEMAS[source])))
    for field in declared["fields"]:
        if field["name"] in types:
            field["type"] = types[field["name"]]
            field.pop("default", None)
    return declared


def bare(declared: Any) -> Any:
    """Without logical types, so that fastavro writes the numbers and texts it is given."""
    if isinstance(declared, dict):
        return {key: bare(value) for key, value in declared.items() if key != "logicalType"}
    return [bare(part) for part in declared] if isinstance(declared, list) else declared


def wire(writer: Mapping[str, Any], event: Mapping[str, Any], schema_id: int = 7) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(bare(writer)), event)
    return b"\x00" + schema_id.to_bytes(4, "big") + body.getvalue()


def judge(data: bytes, writer: Mapping[str, Any], source: Source = Source.ORDERS) -> dict[str, Any] | Fault:
    """The row by field, or the fault; `decode` agrees."""
    intake = Intake(source, replace(RULES, avro_schemas={7: WriterSchema.parse(writer)}))
    verdict = intake.judge(data, NOW_MS)
    decoded = intake.decode(Packed.of([data]), [NOW_MS], [0])
    if isinstance(verdict, Fault):
        (rejection,) = decoded.rejections
        assert (rejection.error_class, rejection.path, rejection.message, rejection.stage) == verdict
        return verdict
    row = dict(zip((field.name for field in FIELDS[source]), verdict, strict=True))
    assert decoded.table.drop_columns(["source_offset"]).to_pylist() == [row]
    return row


def fault(data: bytes, writer: Mapping[str, Any]) -> tuple[ErrorClass, str]:
    verdict = judge(data, writer)
    assert isinstance(verdict, Fault), verdict
    assert len(verdict.message) < 400
    return verdict.error_class, verdict.path


@pytest.mark.parametrize("source", Source)
def test_an_avro_event_is_the_row_that_its_json_would_be(source: Source) -> None:
    """Same fields, same rules; the time is milliseconds already."""
    assert judge(wire(schema(source), EVENTS[source]), schema(source), source) == EVENTS[source] | {"sku": "85123A"}


@pytest.mark.parametrize(
    ("types", "changes"),
    [
        ({"quantity": "int", "line": "int"}, {"quantity": 6, "line": 1}),
        ({"quantity": "float"}, {"quantity": 0.5}),
        ({"sku": "bytes"}, {"sku": b"85123A"}),
        ({"channel": "string"}, {"channel": "web"}),
        ({"order_id": ["null", "string"]}, {"order_id": "536365"}),
        ({"event_time": "long"}, {"event_time": AT_MS}),
        ({"event_time": ["null", {"type": "long", "logicalType": "timestamp-millis"}]}, {"event_time": AT_MS}),
        ({"event_time": {"type": "long", "logicalType": "timestamp-micros"}}, {"event_time": AT_MS * 1000 + 999}),
        ({"event_id": {"type": "string", "logicalType": "uuid"}}, {"event_id": "a8098c1a-f86e-11da-bd1a-00112444be1e"}),
    ],
    ids=",".join,
)
def test_types_that_avro_resolves_are_read(types: dict[str, Any], changes: dict[str, Any]) -> None:
    """Promotions, unions, microseconds; a logical type does not change what a text is."""
    writer = schema(**types)
    row = judge(wire(writer, EVENTS[Source.ORDERS] | changes), writer)
    assert isinstance(row, dict), row
    quantity = float(changes.get("quantity", 6.5))
    assert (row["event_time"], row["sku"], row["quantity"]) == (AT_MS, "85123A", quantity)
    assert row["event_id"] == changes.get("event_id", "e-1")


def test_fields_may_come_and_go_as_avro_allows() -> None:
    """An extra field is ignored, a nullable one that is missing is null, and names count without their namespace."""
    writer = schema()
    writer["namespace"] = "com.example.wms"
    writer["fields"] = [field for field in writer["fields"] if field["name"] != "promo_id"]
    writer["fields"].insert(2, {"name": "pickers", "type": {"type": "array", "items": "string"}})
    row = judge(wire(writer, EVENTS[Source.ORDERS] | {"pickers": ["a", "b"]}), writer)
    assert row == EVENTS[Source.ORDERS] | {"sku": "85123A"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": 0.0}, (ErrorClass.OUT_OF_RANGE, "$.quantity")),
        ({"quantity": float("nan")}, (ErrorClass.OUT_OF_RANGE, "$.quantity")),
        ({"quantity": float("inf")}, (ErrorClass.OUT_OF_RANGE, "$.quantity")),
        ({"sku": "!"}, (ErrorClass.BAD_FORMAT, "$.sku")),
        ({"uom": "ea"}, (ErrorClass.UNKNOWN_UNIT, "$.uom")),
        ({"line": 0}, (ErrorClass.OUT_OF_RANGE, "$.line")),
        ({"event_time": -1}, (ErrorClass.OUT_OF_RANGE, "$.event_time")),
        ({"event_time": 2**63 - 1}, (ErrorClass.OUT_OF_RANGE, "$.event_time")),
        ({"event_time": AT_MS * 1000}, (ErrorClass.OUT_OF_RANGE, "$.event_time")),
        ({"event_time": NOW_MS + 300_001}, (ErrorClass.FUTURE_EVENT_TIME, "$.event_time")),
    ],
)
def test_the_rules_of_fields_hold_for_avro_too(changes: dict[str, Any], expected: tuple[ErrorClass, str]) -> None:
    """Microseconds under a schema that says milliseconds are no time of ours."""
    assert fault(wire(schema(), EVENTS[Source.ORDERS] | changes), schema()) == expected


INCOMPATIBLE = (ErrorClass.INCOMPATIBLE_SCHEMA, "$")
_RIGHT = wire(schema(), EVENTS[Source.ORDERS])


@pytest.mark.parametrize(
    "data",
    [
        *(_RIGHT[:-1], _RIGHT[:5], _RIGHT + b"\x00", _RIGHT[:5] + b"\xff" * 30),
        *(_RIGHT[:5] + b"\x01" + _RIGHT[5:], _RIGHT.replace(b"85123a", b"8512\xff\xff")),
        _RIGHT[:5] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + _RIGHT[5:],
    ],
    ids=["cut", "empty", "trailing", "garbage", "negative length", "not UTF-8", "huge length"],
)
def test_bytes_that_do_not_fit_their_schema_are_incompatible(data: bytes) -> None:
    """Whatever the reader stumbles over."""
    assert fault(data, schema()) == INCOMPATIBLE


@pytest.mark.parametrize(
    ("types", "changes"),
    [
        ({"order_id": ["null", "string"]}, {"order_id": None}),
        ({"event_time": "string"}, {"event_time": "2011-03-01T10:15:00Z"}),
        ({"event_time": {"type": "long", "logicalType": "local-timestamp-millis"}}, {"event_time": AT_MS}),
        ({"event_time": {"type": "long", "logicalType": "timestamp-nanos"}}, {"event_time": AT_MS * 1_000_000}),
        ({"quantity": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3}}, {"quantity": b"\x06"}),
        ({"uom": {"type": "enum", "name": "Unit", "symbols": ["EA"]}}, {"uom": "EA"}),
    ],
    ids=",".join,
)
def test_types_that_avro_does_not_resolve_are_incompatible(types: dict[str, Any], changes: dict[str, Any]) -> None:
    """A time that is no UTC instant among them: local time has no offset."""
    writer = schema(**types)
    assert fault(wire(writer, EVENTS[Source.ORDERS] | changes), writer) == INCOMPATIBLE


def test_a_record_of_another_name_is_incompatible() -> None:
    """As Avro has it."""
    writer = schema() | {"name": "PickEvent"}
    assert fault(wire(writer, EVENTS[Source.ORDERS]), writer) == INCOMPATIBLE


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x00\x00\x07", wire(schema(), EVENTS[Source.ORDERS], schema_id=8)])
def test_an_id_that_is_not_known_here_is_an_unknown_schema(data: bytes) -> None:
    """Also one that is cut off."""
    assert fault(data, schema()) == (ErrorClass.UNKNOWN_SCHEMA, "$")


# -- the schema directory ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MALFORMED_AVRO_KINDS, ids=lambda kind: kind.name)
def test_each_malformed_avro_kind_is_refused_for_its_reason(kind: MalformedKind, tmp_path: Path) -> None:
    """Under the schemas that the sandbox puts into a directory."""
    write_schema_dir(tmp_path)
    intake = Intake(kind.source, IntakeRules.from_settings(IntakeSettings(schema_dir=tmp_path)))
    verdict = intake.judge(kind.line, NOW_MS)
    assert isinstance(verdict, Fault)
    assert (verdict.error_class, verdict.path) == (kind.error_class, kind.path)


def test_a_schema_directory_holds_schemas_by_id_and_may_hold_other_files(tmp_path: Path) -> None:
    """A README is none of ours."""
    (tmp_path / "README.md").write_text("Copied from the registry.")
    (tmp_path / "17.avsc").write_text(json.dumps(schema()))
    assert set(load_schema_dir(tmp_path)) == {17}


_RECURSIVE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
_RECURSIVE_DEEP = schema()
_RECURSIVE_DEEP["fields"].append({"name": "tree", "type": {"type": "array", "items": _RECURSIVE}, "default": []})


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("orders.avsc", json.dumps(schema()), "must be named after its schema id"),
        ("01.avsc", json.dumps(schema()), "must be named after its schema id"),
        ("-1.avsc", json.dumps(schema()), "must be named after its schema id"),
        ("2147483648.avsc", json.dumps(schema()), "must be named after its schema id"),
        ("1.avsc", "{", "1.avsc"),
        ("1.avsc", '"string"', "is a record"),
        ("1.avsc", '{"type": "record"}', "no Avro schema"),
        ("1.avsc", '{"type": "record", "name": "X", "fields": [{"name": "a", "type": "nothing"}]}', "no Avro schema"),
        ("1.avsc", json.dumps(_RECURSIVE), "Node contains itself"),
        ("1.avsc", json.dumps(_RECURSIVE_DEEP), "Node contains itself"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_at_start(tmp_path: Path, name: str, text: str, why: str) -> None:
    """The message names the file. A schema that contains itself would let a record overflow the stack."""
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsRefused, match=why) as refusal:
        IntakeRules.from_settings(IntakeSettings(schema_dir=tmp_path))
    assert name in str(refusal.value)


def test_a_schema_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """An empty one would be another matter."""
    with pytest.raises(SettingsRefused, match="nowhere"):
        load_schema_dir(tmp_path / "nowhere")
    assert load_schema_dir(tmp_path) == {}


def test_a_type_that_is_used_twice_is_not_recursion() -> None:
    """The second use is a name, not a nesting."""
    unit = {"type": "enum", "name": "Unit", "symbols": ["EA"]}
    fields = [{"name": "a", "type": unit}, {"name": "b", "type": "Unit"}]
    assert WriterSchema.parse({"type": "record", "name": "Pair", "fields": fields}).parsed["name"] == "Pair"


def test_writer_schemas_are_part_of_the_rules_content() -> None:
    """Their ids and all they say, logical types included; not the order of keys."""

    def content(schema_id: int, declared: dict[str, Any]) -> str:
        return json.dumps(replace(RULES, avro_schemas={schema_id: WriterSchema.parse(declared)}).content())

    micros = schema(event_time={"type": "long", "logicalType": "timestamp-micros"})
    assert len({content(1, schema()), content(2, schema()), content(1, micros), json.dumps(RULES.content())}) == 4
    assert content(1, dict(reversed(schema().items()))) == content(1, schema())
