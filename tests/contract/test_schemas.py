"""The wire contract says one thing: every `.avsc`, and whatever mirrors it in code, agree field by field."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from msgspec import inspect

from runtime.settings import TopicSettings
from schemas.codecs import avro_schema, decode, encode, parsed_schema, schema_fingerprint
from schemas.coefficients import Coefficient
from schemas.dead_letters import PREFIX, DeadLetter
from schemas.errors import ErrorClass
from schemas.records import CommitMetadata, ControlRecord, Counts, Frontier, Manifest
from schemas.sources import BATCH_EXTRAS, BATCH_SCHEMAS, EVENT_SCHEMAS, FIELDS, Field, FieldKind, Source
from schemas.topics import TOPICS, TopicRole

NAMES = sorted(Path(file.name).stem for file in resources.files("schemas").joinpath("avro").iterdir())
MIRRORS = {"manifest": Manifest, "frontier": Frontier, "coefficient": Coefficient}

#: The Avro type of each kind of field, where it may not be null.
KINDS: dict[FieldKind, Any] = {
    FieldKind.IDENTIFIER: "string",
    FieldKind.SITE: "string",
    FieldKind.SKU: "string",
    FieldKind.UNIT: "string",
    FieldKind.TIME: {"type": "long", "logicalType": "timestamp-millis"},
    FieldKind.INTEGER: "long",
    FieldKind.DECIMAL: "double",
}

LETTER = DeadLetter(
    value=b"{",
    headers=(),
    topic="wms.orders.v1",
    partition=0,
    offset=1,
    timestamp=2,
    key=b"k",
    error_class=ErrorClass("not_json"),
    stage="intake",
    path="$",
    message="cut off",
    attempts=1,
    root="wms.orders.v1/0/1",
    first_failed_at=3,
    pipeline_version="0",
)


def shape_of_avro(avro: Any) -> Any:
    """What a value of this Avro type looks like in JSON: names of primitives, and nested dictionaries and lists."""
    match avro:
        case ["null", other]:
            return ["null", shape_of_avro(other)]
        case {"type": "record", "fields": fields}:
            return {field["name"]: shape_of_avro(field["type"]) for field in fields}
        case {"type": "array", "items": items}:
            return ["array", shape_of_avro(items)]
        case {"type": "map", "values": values}:
            return ["map", shape_of_avro(values)]
        case {"type": name} | str(name):
            return {"int": "integer", "long": "integer", "double": "number"}.get(name, name)
        case _:
            raise AssertionError(f"no shape for {avro}")


def shape_of_struct(kind: inspect.Type) -> Any:
    """The same for a type of a msgspec record."""
    match kind:
        case inspect.UnionType(types=(other, inspect.NoneType())):
            return ["null", shape_of_struct(other)]
        case inspect.StructType(fields=fields):
            return {field.encode_name: shape_of_struct(field.type) for field in fields}
        case inspect.VarTupleType(item_type=item):
            return ["array", shape_of_struct(item)]
        case inspect.DictType(value_type=value):
            return ["map", shape_of_struct(value)]
        case inspect.EnumType() | inspect.StrType():
            return "string"
        case _:
            names = {inspect.IntType: "integer", inspect.FloatType: "number", inspect.BoolType: "boolean"}
            return names[type(kind)]


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_parses_and_is_documented(name: str) -> None:
    """fastavro, the judge, takes it; every field says what it is, and one that may be null is null by default."""
    schema = avro_schema(name)
    fastavro.parse_schema(json.loads(json.dumps(schema)))
    assert schema["namespace"] == "velocity.v1"
    assert schema["doc"]
    for field in schema["fields"]:
        assert field["doc"], field["name"]
        if isinstance(field["type"], list):
            assert field["type"][0] == "null", field["name"]
            assert field["default"] is None, field["name"]


def test_no_two_schemas_share_a_name_or_a_fingerprint() -> None:
    """A manifest's fingerprint tells which schema a file has."""
    assert len({avro_schema(name)["name"] for name in NAMES}) == len(NAMES)
    assert len({schema_fingerprint(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", MIRRORS)
def test_a_record_mirrors_its_schema(name: str) -> None:
    """Names, order, types and nullability of every field, nested records included."""
    ours = shape_of_struct(inspect.type_info(MIRRORS[name]))
    theirs = shape_of_avro(avro_schema(name))
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_a_record_is_encoded_in_the_order_of_its_schema() -> None:
    """The bytes of a frontier list its fields as `frontier.avsc` does, and the nested counts as well."""
    frontier = Frontier(
        source=Source.ORDERS,
        source_topic="wms.orders.v1",
        source_partition=0,
        topic_id="t",
        checkpoint_seq=1,
        position=2,
        frontier=None,
        max_event_time=None,
        committed=2,
        settings_hash="h",
        manifests={0: 1},
        open_windows=(),
        counts=Counts(),
        worker_id="w",
        pipeline_version="0",
        checkpoint_at=0,
    )
    wire = json.loads(encode(frontier))
    assert list(wire) == [field["name"] for field in avro_schema("frontier")["fields"]]
    assert list(wire["counts"]) == list(Counts.__struct_fields__)
    assert fastavro.validate(wire, parsed_schema("frontier"))


def test_commit_metadata_fits_the_broker() -> None:
    """It has the fields that recovery reads, and stays far below the 4,096 bytes that a broker takes."""
    most = CommitMetadata(n=2**63 - 1, f=-(2**53), m=2**53, s=2**63 - 1, h="f" * 64, r=2**63 - 1)
    assert list(json.loads(encode(most))) == ["v", "n", "f", "m", "s", "h", "r"]
    assert len(encode(most)) < 512


@pytest.mark.parametrize("source", Source)
def test_the_field_table_mirrors_the_event_schema(source: Source) -> None:
    """The intake checks exactly the fields of the contract, in its order, with its types and nullability."""
    fields = {field["name"]: field["type"] for field in avro_schema(EVENT_SCHEMAS[source])["fields"]}

    def avro_type(field: Field) -> Any:
        return ["null", KINDS[field.kind]] if field.nullable else KINDS[field.kind]

    assert {field.name: avro_type(field) for field in FIELDS[source]} == fields
    assert [field.name for field in FIELDS[source]] == list(fields)


@pytest.mark.parametrize("source", Source)
def test_a_batch_record_is_its_event_and_where_it_came_from(source: Source) -> None:
    """The batch schema repeats the event's fields unchanged and then has `BATCH_EXTRAS`."""
    event, batch = avro_schema(EVENT_SCHEMAS[source])["fields"], avro_schema(BATCH_SCHEMAS[source])["fields"]
    assert [(field["name"], field["type"]) for field in batch[: len(event)]] == [
        (field["name"], field["type"]) for field in event
    ]
    assert tuple(field["name"] for field in batch[len(event) :]) == BATCH_EXTRAS
    assert not any(isinstance(field["type"], list) for field in batch[len(event) :])


def test_the_headers_of_a_dead_letter_are_the_fields_of_its_schema() -> None:
    """`dead_letter.avsc` describes the record as a table: its value, and one field per header of ours."""
    headers = [name.removeprefix(PREFIX).replace(".", "_").replace("-", "_") for name, _ in LETTER.to_headers()]
    fields = [field["name"] for field in avro_schema("dead_letter")["fields"]]
    assert sorted(["value", *headers]) == sorted(fields)


def test_the_error_classes_are_closed() -> None:
    """People and scripts rely on these names; a new one is a change of the contract."""
    assert " ".join(error.value for error in ErrorClass) == (
        "too_large encoding not_json not_object missing_field null_field wrong_type bad_format out_of_range "
        "unknown_unit future_event_time unknown_schema incompatible_schema internal"
    )


def test_the_settings_name_every_topic_of_the_table() -> None:
    """One topic per role; its name in the settings is the one in the table."""
    assert [spec.role for spec in TOPICS] == list(TopicRole)
    defaults = TopicSettings()
    assert {spec.role: spec.name for spec in TOPICS} == {role: defaults.name(role) for role in TopicRole}
    assert {source: defaults.source_of(defaults.source_topic(source)) for source in Source} == {s: s for s in Source}


def test_what_a_rebuild_rests_on_is_never_deleted() -> None:
    """Manifests and the audit log are kept for ever; state and results are compacted; only the sources are theirs."""
    specs = {spec.role: spec for spec in TOPICS}
    for role in (TopicRole.BATCHES, TopicRole.AUDIT_LOG):
        assert specs[role].required["retention.ms"] == specs[role].required["retention.bytes"] == "-1"
        assert specs[role].required["cleanup.policy"] == "delete"
    for role in (TopicRole.FRONTIERS, TopicRole.REFERENCE, TopicRole.COEFFICIENTS):
        assert specs[role].required["cleanup.policy"] == "compact"
    assert specs[TopicRole.BATCHES].fixed_partitions  # a site's manifests must stay in one partition


@pytest.mark.parametrize(
    ("data", "fault"), [(b'{"id":"a","phase":"stop"}', "phase"), (b'{"id":1,"phase":"done"}', "id"), (b"{}", "id")]
)
def test_a_control_record_that_is_none_does_not_decode(data: bytes, fault: str) -> None:
    """No coercion and no default for what must be there: the error names the field."""
    with pytest.raises(msgspec.ValidationError, match=fault):
        decode(data, ControlRecord)
