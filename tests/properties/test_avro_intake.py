"""Avro records are judged as one as they are each alone: whole fetches by column, single ones by fastavro.

Records are written under several writer schemas, valid and odd, then some of them have their bytes spoiled.
"""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import fastavro
from hypothesis import event, given
from hypothesis import strategies as st

from runtime.settings import IntakeSettings
from schemas.codecs import avro_schema
from schemas.errors import ErrorClass
from schemas.packed import Packed
from schemas.sources import EVENT_SCHEMAS, Source
from schemas.topics import MAX_RECORD_BYTES
from streams.avro_input import WriterSchema
from streams.event_times import END_MS
from streams.intake import Fault, Intake, IntakeRules

Declared = dict[str, Any]

# -- writers -----------------------------------------------------------------------------------------------------------


def changed(change: Callable[[Declared], Declared | None]) -> Declared:
    """The schema of order events with each field changed, or left out where the change says None."""
    declared = json.loads(json.dumps(avro_schema(EVENT_SCHEMAS[Source.ORDERS])))
    fields = [change(field) for field in declared["fields"]]
    return {**declared, "fields": [field for field in fields if field is not None]}


def retyped(**types: Any) -> Declared:
    """With other types for some fields."""

    def change(field: Declared) -> Declared:
        kept = {key: value for key, value in field.items() if key != "default"}
        return {**kept, "type": types[field["name"]]} if field["name"] in types else field

    return changed(change)


def reordered() -> Declared:
    """Fields the other way round, with others among them."""
    declared = changed(lambda field: field)
    others = [
        {"name": "note", "type": "string"},
        {"name": "weight", "type": ["double", "null"]},
        {"name": "seen", "type": ["null", "long"]},
    ]
    return {**declared, "fields": [*declared["fields"][::-1], *others]}


WRITERS = {
    0: changed(lambda field: field),
    1: changed(lambda field: field),
    2: reordered(),
    3: retyped(line="int", quantity="int"),
    4: retyped(channel=["string", "null"], promo_id="string"),
    5: retyped(event_time={"type": "long", "logicalType": "timestamp-micros"}, quantity="long"),
    6: retyped(sku=["null", "string"], uom=["string", "null"], line=["null", "long"]),
    7: changed(lambda field: None if field["name"] == "channel" else field),
    8: retyped(quantity="float"),  # these last are for the careful gate alone
    9: retyped(channel=["null", "string", "long"]),
    10: changed(lambda field: None if field["name"] == "uom" else field),
    11: {**changed(lambda field: field), "name": "Other"},
}
RULES = IntakeRules.from_settings(IntakeSettings())
INTAKE = Intake(
    Source.ORDERS,
    replace(RULES, avro_schemas={number: WriterSchema.parse(writer) for number, writer in WRITERS.items()}),
)
COLUMNAR = range(8)

# -- records -----------------------------------------------------------------------------------------------------------

texts = st.sampled_from(["e-1", "x" * 64, "x" * 65, "", "é漢😀", "a\0b", " 85123a ", "EA", "KGM", "ea", "S" * 33])
numbers = st.sampled_from([0, 1, 7, -1, 2**31 - 1, -(2**31), 10**9])
doubles = st.sampled_from([1.0, 0.125, 0.1, 0.0005, -0.0, 0.0, 1e9, 1e9 + 1, float("nan"), float("inf"), 123.456])
instants = st.sampled_from([0, 1, 1_298_974_500_123, END_MS - 1, END_MS, -1, 2**62, -(2**62)])
GOOD = {"event_id": "e-1", "site_id": "UK-DC1", "sku": "85123A", "event_time": 1_298_974_500_123, "quantity": 6}
GOOD |= {"uom": "EA", "order_id": "536365", "line": 1, "channel": "web", "promo_id": "P1", "note": "", "weight": 1.5}


def bare(declared: Any) -> Any:
    """Without logical types, so that fastavro writes the numbers that it is given."""
    if isinstance(declared, dict):
        return {key: bare(value) for key, value in declared.items() if key != "logicalType"}
    return [bare(part) for part in declared] if isinstance(declared, list) else declared


PARSED = {number: fastavro.parse_schema(bare(writer)) for number, writer in WRITERS.items()}


def value_of(declared: Any, name: str) -> st.SearchStrategy[Any]:
    """Any value that a type can hold, plain ones first."""
    if isinstance(declared, list):
        return st.one_of(*(value_of(branch, name) for branch in declared))
    kind = declared["type"] if isinstance(declared, dict) else declared
    match kind:
        case "null":
            return st.none()
        case "string":
            return texts
        case "double" | "float":
            return doubles
        case _:
            return instants if name == "event_time" else numbers


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """One record in Confluent's wire format: right, with one field that may be odd, or with spoiled bytes."""
    number = draw(st.sampled_from(sorted(WRITERS)))
    scale = 1000 if number == 5 else 1
    fields = WRITERS[number]["fields"]
    values = {field["name"]: GOOD.get(field["name"]) for field in fields} | {"event_time": GOOD["event_time"] * scale}
    if draw(st.booleans()):
        field = draw(st.sampled_from(fields))
        values[field["name"]] = draw(value_of(field["type"], field["name"]))
    body = io.BytesIO()
    fastavro.schemaless_writer(body, PARSED[number], values)
    data = b"\0" + number.to_bytes(4, "big") + body.getvalue()
    return draw(st.one_of(st.just(data), st.just(data), spoiled(data)))


def spoiled(data: bytes) -> st.SearchStrategy[bytes]:
    """Cut, grown, or with one byte or two replaced."""
    places = st.integers(0, len(data) - 1)
    odd = st.sampled_from([b"\0", b"\1", b"\2", b"\x7f", b"\x80", b"\xff", b"\xff" * 9, b"\xff" * 11 + b"\1", b"\xc3"])
    return st.one_of(
        places.map(lambda at: data[:at]),
        st.builds(lambda at, extra: data[:at] + extra + data[at + 1 :], places, odd),
        st.builds(lambda at, extra: data[:at] + extra + data[at:], places, odd),
        odd.map(lambda extra: data + extra),
    )


def bits(row: tuple[Any, ...]) -> list[Any]:
    """A row whose doubles are compared to the bit."""
    return [value.hex() if isinstance(value, float) else value for value in row]


strangers = st.sampled_from([None, b"", b"\0", b"\0\0\0\0", b'{"a":1}'])


@given(st.lists(st.one_of(records(), records(), strangers), max_size=14))
def test_a_fetch_of_avro_is_judged_as_each_of_its_records_alone(values: list[bytes | None]) -> None:
    """Same verdicts, same rows to the bit, in the order of the records, whatever schemas are mixed."""
    timestamps, offsets = [END_MS] * len(values), [7 + 3 * index for index in range(len(values))]
    decoded = INTAKE.decode(Packed.of(values), timestamps, offsets)
    verdicts = [INTAKE.judge(value, END_MS) for value in values]
    rows = [[*bits(v), o] for v, o in zip(verdicts, offsets, strict=True) if not isinstance(v, Fault)]
    assert [bits(tuple(row.values())) for row in decoded.table.to_pylist()] == rows
    found = [(r.index, Fault(r.error_class, r.path, r.message, r.stage)) for r in decoded.rejections]
    assert found == [(index, verdict) for index, verdict in enumerate(verdicts) if isinstance(verdict, Fault)]
    event(f"some by column: {len(values) > decoded.judged}; refused: {len(found) > 0}")


@given(st.lists(st.sampled_from(COLUMNAR), min_size=1, max_size=20))
def test_right_records_of_plain_schemas_are_read_by_column(numbers_: list[int]) -> None:
    """None of them is left to the careful gate."""
    values: list[bytes | None] = []
    for number in numbers_:
        event_ = GOOD | {"event_time": GOOD["event_time"] * (1000 if number == 5 else 1), "seen": None}
        body = io.BytesIO()
        names = {field["name"] for field in WRITERS[number]["fields"]}
        fastavro.schemaless_writer(body, PARSED[number], {name: event_[name] for name in names})
        values.append(b"\0" + number.to_bytes(4, "big") + body.getvalue())
    decoded = INTAKE.decode(Packed.of(values), [END_MS] * len(values), list(range(len(values))))
    assert decoded.judged == 0
    assert decoded.table.num_rows == len(values)
    assert set(decoded.table.column("event_time").to_pylist()) == {GOOD["event_time"]}


def test_a_record_that_is_too_large_is_refused_whoever_stands_beside_it() -> None:
    """The size is judged first: a writer may have long texts that are none of our fields, and all else right."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, PARSED[2], GOOD | {"seen": None, "note": "x" * MAX_RECORD_BYTES})
    large = b"\0" + (2).to_bytes(4, "big") + body.getvalue()
    for values in ([large], [large, b"\0\0"], [b"{", large, None]):
        decoded = INTAKE.decode(Packed.of(values), [END_MS] * len(values), list(range(len(values))))
        verdicts = {rejection.index: rejection.error_class for rejection in decoded.rejections}
        assert verdicts[values.index(large)] == ErrorClass.TOO_LARGE
        assert not decoded.table.num_rows
