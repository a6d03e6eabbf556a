"""The table of malformed records is right: a second, naive reading of the event contract agrees with every entry."""

import io
import json
import re
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from sandbox.malformed import (
    MALFORMED_AVRO_KINDS,
    MALFORMED_KINDS,
    RECORD_LIMIT_BYTES,
    VALID,
    MalformedKind,
    json_line,
    write_schema_dir,
)
from schemas.errors import ErrorClass
from schemas.sources import Source

UNITS = ["EA", "PR", "DZN", "SET", "PK", "IP", "BX", "CT", "CS", "PL", "KGM", "LTR", "MTR"]
NULLABLE = {
    Source.ORDERS: {"channel", "promo_id"},
    Source.RETURNS: {"order_id", "line", "channel", "reason"},
    Source.CYCLE_COUNTS: {"book_quantity", "location_id", "reason"},
}
LENGTHS = {"event_id": (1, 64), "order_id": (1, 64), "return_id": (1, 64), "count_id": (1, 64), "promo_id": (1, 64)}
LENGTHS |= {"channel": (1, 32), "location_id": (0, 64), "reason": (0, 256)}
BOUNDS = {"quantity": (1e-9, 1e9), "variance": (-1e9, 1e9), "book_quantity": (0, 1e9)}
KAFKA_TIMESTAMP = "2026-01-01T00:00:00+00:00"


def refuse_constant(name: str) -> None:
    """NaN and the infinities are no JSON."""
    raise ValueError(name)


def nesting(value: Any) -> int:
    """Depth of arrays and objects."""
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        return 1 + max(map(nesting, children), default=0)
    return 0


def fault_of_text(name: str, value: str) -> str | None:
    """What is wrong with a text field."""
    if name == "uom":
        return None if value in UNITS else "unknown_unit"
    if name == "site_id":
        return None if re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,31}", value) else "bad_format"
    if name == "sku":
        canonical = unicodedata.normalize("NFKC", value).strip().upper()
        return None if re.fullmatch("[A-Z0-9][A-Z0-9._/-]{0,63}", canonical) else "bad_format"
    if name == "event_time":
        try:
            moment = datetime.fromisoformat(value)
            offset = moment.utcoffset()
        except ValueError:
            return "bad_format"
        if offset is None or "T" not in value:
            return "bad_format"
        if not 1970 <= moment.year <= 2999:
            return "out_of_range"
        return "future_event_time" if moment > datetime.fromisoformat(KAFKA_TIMESTAMP) else None
    shortest, longest = LENGTHS[name]
    return None if shortest <= len(value) <= longest else "bad_format"


def fault_of_field(name: str, value: Any) -> str | None:
    """What is wrong with a field that is there and not null."""
    if name == "line":
        if isinstance(value, bool) or not isinstance(value, int):
            return "wrong_type"
        return None if value >= 1 else "out_of_range"
    if name in BOUNDS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "wrong_type"
        low, high = BOUNDS[name]
        return None if low <= value <= high and round(value, 3) == value else "out_of_range"
    return fault_of_text(name, value) if isinstance(value, str) else "wrong_type"


def verdicts_on_object(source: Source, record: dict[str, Any]) -> list[tuple[str, str]]:
    """Every fault of a record as (class, path), in the order of its fields."""
    found: list[tuple[str, str]] = []
    for name in VALID[source]:
        if record.get(name) is None:
            fault = None if name in NULLABLE[source] else "null_field" if name in record else "missing_field"
        else:
            fault = fault_of_field(name, record[name])
        if fault:
            found.append((fault, f"$.{name}"))
    return found


def verdicts(source: Source, line: bytes) -> list[tuple[str, str]]:
    """Every fault of a line."""
    if len(line) > RECORD_LIMIT_BYTES:
        return [("too_large", "$")]
    if line[:1] == b"\0":
        return [("unknown_schema", "$")]
    try:
        record = json.loads(line.decode("utf-8"), parse_constant=refuse_constant)
    except UnicodeDecodeError:
        return [("encoding", "$")]
    except ValueError:
        return [("not_json", "$")]
    if nesting(record) > 100:
        return [("not_json", "$")]
    return verdicts_on_object(source, record) if isinstance(record, dict) else [("not_object", "$")]


@pytest.mark.parametrize("source", Source)
def test_the_base_records_are_faultless(source: Source) -> None:
    """Only what a kind changes can be the fault."""
    assert verdicts(source, json_line(source)) == []


@pytest.mark.parametrize("kind", MALFORMED_KINDS, ids=lambda kind: kind.name)
def test_each_kind_has_exactly_the_fault_it_names(kind: MalformedKind) -> None:
    """One fault, of the stated class, at the stated path."""
    assert verdicts(kind.source, kind.line) == [(kind.error_class, kind.path)]


def test_the_table_covers_the_contract() -> None:
    """At least 40 kinds, unique names and lines, every source, every class but `internal`."""
    kinds = [*MALFORMED_KINDS, *MALFORMED_AVRO_KINDS]
    assert len(MALFORMED_KINDS) >= 40
    assert len({kind.name for kind in kinds}) == len({kind.line for kind in kinds}) == len(kinds)
    assert {kind.source for kind in kinds} == set(Source)
    assert {kind.error_class for kind in kinds} == set(ErrorClass) - {ErrorClass.INTERNAL}


def test_every_kind_fits_on_a_line() -> None:
    """A feed file holds them one to a line, so none contains a newline."""
    assert not [kind.name for kind in (*MALFORMED_KINDS, *MALFORMED_AVRO_KINDS) if b"\n" in kind.line]


def test_too_large_is_so_by_one_byte() -> None:
    """One byte less, and the record is faultless."""
    kind = next(kind for kind in MALFORMED_KINDS if kind.error_class == ErrorClass.TOO_LARGE)
    assert verdicts(kind.source, kind.line.replace(b'"xx', b'"x', 1)) == []


def test_avro_kinds_fail_under_their_writer_schemas(tmp_path: Path) -> None:
    """By the official resolution rules the bytes do not become an order, or become one with the stated fault."""
    write_schema_dir(tmp_path)
    reader = fastavro.parse_schema(json.loads((tmp_path / "1.avsc").read_text()))
    for kind in MALFORMED_AVRO_KINDS:
        marker, schema_id, body = kind.line[:1], int.from_bytes(kind.line[1:5], "big"), io.BytesIO(kind.line[5:])
        writer = fastavro.parse_schema(json.loads((tmp_path / f"{schema_id}.avsc").read_text()))
        assert marker == b"\0"
        if kind.error_class == ErrorClass.INCOMPATIBLE_SCHEMA:
            with pytest.raises((fastavro.read.SchemaResolutionError, EOFError)):
                fastavro.schemaless_reader(body, writer, reader)
        else:
            record = fastavro.schemaless_reader(body, writer, reader)
            assert isinstance(record, dict)
            record["event_time"] = record["event_time"].isoformat()
            assert verdicts_on_object(kind.source, record) == [(kind.error_class, kind.path)]
