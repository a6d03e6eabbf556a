"""The gate: alone says whether a record is right. Everything is refused that is not certainly an event.

The verdict is a pure function of the record's bytes, its Kafka timestamp and static rules, because a replay must
repeat it. Faults of the whole record come first, then the fields in the order of the contract, then whether the event
lies in the future; the first fault is the verdict. Choices where RFC 8259 and RFC 3339 leave one:

- A byte order mark, NaN, Infinity, nesting deeper than 100 and a record without a value are `not_json`.
- A lone surrogate escape anywhere is `encoding`: its text cannot be written as UTF-8 again.
- Of a key that stands twice the last value counts. `1.0` is no integer, `true` is no number.
- `T` and `Z` may be lower case; a space for `T` and a leap second are `bad_format`; digits past milliseconds are cut.
"""

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.errors import ErrorClass
from schemas.sources import FIELDS, SITE_PATTERN, Field, FieldKind, Source
from schemas.topics import MAX_RECORD_BYTES
from streams.faults import Fault
from streams.rules import IntakeRules

MAX_DEPTH = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
FIRST_MS = 0
END_MS = (datetime(3000, 1, 1, tzinfo=UTC) - EPOCH) // MILLISECOND

_SITE = re.compile(SITE_PATTERN)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_HUGE_DIGITS = 400  # a longer integer is beyond any bound, and beyond what a float can say

Row = tuple[Any, ...]  # values of the source's fields, in their order


def judge(source: Source, rules: IntakeRules, value: bytes | None, timestamp_ms: int) -> Row:
    """The row of a record, its values in the order of `FIELDS[source]`.

    Raises:
        Fault: the record is refused.
    """
    event = decode_object(source, rules, value)
    row = tuple(_check(field, event, rules) for field in FIELDS[source])
    event_time = row[_TIME_INDEX[source]]
    if event_time > timestamp_ms + rules.max_future_skew_ms:
        ahead = (event_time - timestamp_ms) / 1000
        raise Fault(
            ErrorClass.FUTURE_EVENT_TIME, "$.event_time", f"is {ahead:.3f} s later than the record's Kafka timestamp"
        )
    return row


_TIME_INDEX = {source: [field.name for field in fields].index("event_time") for source, fields in FIELDS.items()}


# -- the whole record --------------------------------------------------------------------------------------------------


def decode_object(source: Source, rules: IntakeRules, value: bytes | None) -> dict[str, Any]:
    """The record as an object, from JSON or from Avro in the Confluent wire format.

    Raises:
        Fault: of stage `decode`.
    """
    if value is None:
        raise _undecodable(ErrorClass.NOT_JSON, "the record has no value")
    if len(value) > MAX_RECORD_BYTES:
        raise _undecodable(ErrorClass.TOO_LARGE, f"{len(value)} bytes; at most {MAX_RECORD_BYTES} are taken")
    if value[:1] == b"\x00":
        return rules.registry.decode(source, value)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _undecodable(ErrorClass.ENCODING, f"not UTF-8 at byte {error.start}") from None
    if _depth(value) > MAX_DEPTH:
        raise _undecodable(ErrorClass.NOT_JSON, f"nested deeper than {MAX_DEPTH}")
    try:
        parsed = json.loads(text, parse_constant=_no_constant, parse_int=_parse_int)
    except ValueError as error:
        raise _undecodable(ErrorClass.NOT_JSON, str(error)) from None
    if b"\\u" in value and _SURROGATE.search(json.dumps(parsed, ensure_ascii=False)):
        raise _undecodable(ErrorClass.ENCODING, "a lone surrogate escape is no text")
    if not isinstance(parsed, dict):
        raise _undecodable(ErrorClass.NOT_OBJECT, f"expected an object, found {_kind(parsed)}")
    return parsed


def _undecodable(error_class: ErrorClass, message: str) -> Fault:
    return Fault(error_class, "$", message, "decode")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _HUGE_DIGITS else float("-inf" if digits[0] == "-" else "inf")


def _depth(value: bytes) -> int:
    """How deep arrays and objects nest, not counting brackets in strings."""
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for byte in _STRING.sub(b"", value):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


# -- fields ------------------------------------------------------------------------------------------------------------


def _check(field: Field, event: dict[str, Any], rules: IntakeRules) -> Any:
    path = f"$.{field.name}"
    value = event.get(field.name)
    if value is None:
        if field.nullable:
            return None
        if field.name in event:
            raise Fault(ErrorClass.NULL_FIELD, path, "must not be null")
        raise Fault(ErrorClass.MISSING_FIELD, path, "is missing")
    return _CHECKS[field.kind](field, value, path, rules)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Fault(ErrorClass.WRONG_TYPE, path, f"expected a string, found {_kind(value)}")
    return value


def _identifier(field: Field, value: Any, path: str, _: IntakeRules) -> str:
    text = _text(value, path)
    low, high = int(field.minimum or 0), int(field.maximum or 0)
    if not low <= len(text) <= high:
        raise Fault(ErrorClass.BAD_FORMAT, path, f"expected {low} to {high} characters, found {len(text)}")
    return text


def _site(_: Field, value: Any, path: str, __: IntakeRules) -> str:
    text = _text(value, path)
    if not _SITE.fullmatch(text):
        raise Fault(ErrorClass.BAD_FORMAT, path, f"{_clip(text)} does not match {SITE_PATTERN}")
    return text


def canonical_sku(text: str) -> str:
    """NFKC, trimmed, upper case."""
    return unicodedata.normalize("NFKC", text).strip().upper()


def _sku(_: Field, value: Any, path: str, rules: IntakeRules) -> str:
    sku = canonical_sku(_text(value, path))
    if not rules.sku_regex.fullmatch(sku):
        raise Fault(ErrorClass.BAD_FORMAT, path, f"{_clip(sku)} does not match {rules.sku_pattern}")
    return sku


def _unit(_: Field, value: Any, path: str, rules: IntakeRules) -> str:
    text = _text(value, path)
    if text not in rules.unit_codes:
        raise Fault(ErrorClass.UNKNOWN_UNIT, path, f"{_clip(text)} is not one of {' '.join(sorted(rules.unit_codes))}")
    return text


def _time(_: Field, value: Any, path: str, __: IntakeRules) -> int:
    if isinstance(value, datetime):  # Avro's timestamp-millis
        instant = (value - EPOCH) // MILLISECOND
    else:
        instant = _parse_time(_text(value, path), path)
    if not FIRST_MS <= instant < END_MS:
        raise Fault(ErrorClass.OUT_OF_RANGE, path, f"{_clip(str(value))} is not in the years 1970 to 2999")
    return instant


def _parse_time(text: str, path: str) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise Fault(ErrorClass.BAD_FORMAT, path, f"{_clip(text)} is not an RFC 3339 time with an offset or Z")
    *parts, fraction, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    try:
        whole = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError as error:
        # The year 0000 has the right form, and is out of range.
        error_class = ErrorClass.OUT_OF_RANGE if parts[0] == "0000" else ErrorClass.BAD_FORMAT
        raise Fault(error_class, path, f"{_clip(text)}: {error}") from None
    return (whole - EPOCH) // MILLISECOND - offset // MILLISECOND + int((fraction or "0")[:3].ljust(3, "0"))


def _integer(field: Field, value: Any, path: str, _: IntakeRules) -> int:
    endless = isinstance(value, float) and abs(value) == float("inf")  # an integer of more digits than we read
    if isinstance(value, bool) or not (isinstance(value, int) or endless):
        raise Fault(ErrorClass.WRONG_TYPE, path, f"expected an integer, found {_kind(value)}")
    _bounds(field, value, path)
    return value


def _decimal(field: Field, value: Any, path: str, _: IntakeRules) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Fault(ErrorClass.WRONG_TYPE, path, f"expected a number, found {_kind(value)}")
    _bounds(field, value, path)
    number = float(value)
    if round(number, 3) != number:
        raise Fault(ErrorClass.OUT_OF_RANGE, path, f"{number!r} has more than 3 decimals")
    return number + 0.0  # no negative zero


def _bounds(field: Field, value: float, path: str) -> None:
    below = field.minimum is not None and not value >= field.minimum
    at_or_below = field.above is not None and not value > field.above
    if below or at_or_below or (field.maximum is not None and not value <= field.maximum):
        least = f"more than {field.above:g}" if field.above is not None else f"at least {field.minimum:g}"
        raise Fault(
            ErrorClass.OUT_OF_RANGE, path, f"{_clip(str(value))}: expected {least} and at most {field.maximum:g}"
        )


_CHECKS = {
    FieldKind.IDENTIFIER: _identifier,
    FieldKind.SITE: _site,
    FieldKind.SKU: _sku,
    FieldKind.TIME: _time,
    FieldKind.UNIT: _unit,
    FieldKind.INTEGER: _integer,
    FieldKind.DECIMAL: _decimal,
}


def _kind(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer", float: "a number"}


def _clip(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
