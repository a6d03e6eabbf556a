"""The rules of single fields: one per kind of the contract's table, each a check of one value.

A check takes a value that is not null and returns it in the form that counts (canonical SKU, instant, float), or raises
`RecordFault`. Lengths are in code points; any character is allowed in free text, NUL included.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from schemas.errors import ErrorClass
from schemas.sources import SITE_PATTERN, Field, FieldKind
from streams.event_times import END_MS, Milliseconds, format_time, parse_time
from streams.intake_rules import IntakeRules
from streams.record_fault import RecordFault, clipped, shown

DECIMALS = 3
# NFKC takes quadratic time over combining characters: a megabyte of them would stop a partition for minutes.
RAW_SKU_LIMIT = 1024

Check = Callable[[Any], Any]
_ABSENT = object()


class FieldGate:
    """Takes one field out of an event."""

    def __init__(self, field: Field, rules: IntakeRules) -> None:
        self.field = field
        self._check = _CHECKS[field.kind](field, rules)

    def read(self, event: Mapping[str, Any]) -> Any:
        """The field's value in the form that counts; None where it is null or absent and may be.

        Raises:
            RecordFault: at the path of the field.
        """
        value = event.get(self.field.name, _ABSENT)
        if value is not None and value is not _ABSENT:
            return self._check(value)
        if self.field.nullable:
            return None
        if value is None:
            raise _fault(self.field, ErrorClass.NULL_FIELD, "found null, expected a value")
        raise _fault(self.field, ErrorClass.MISSING_FIELD, f"the field {self.field.name} is missing")


def canonical_sku(raw: str, pattern: re.Pattern[str]) -> str | None:
    """NFKC, trimmed, upper case; None where that does not match the pattern, or `raw` is beyond `RAW_SKU_LIMIT`."""
    if len(raw) > RAW_SKU_LIMIT:
        return None
    canonical = unicodedata.normalize("NFKC", raw).strip().upper()
    return canonical if pattern.fullmatch(canonical) else None


def _fault(field: Field, error_class: ErrorClass, message: str) -> RecordFault:
    return RecordFault(error_class, message, f"$.{field.name}")


def _unexpected(field: Field, error_class: ErrorClass, value: Any, expected: str) -> RecordFault:
    return _fault(field, error_class, f"found {shown(value)}, expected {expected}")


def _text_check(field: Field, expected: str, read: Callable[[str], str | None], error_class: ErrorClass) -> Check:
    """A check of texts: `read` returns the form that counts, or None where the text will not do."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise _unexpected(field, ErrorClass.WRONG_TYPE, value, expected)
        text = read(value)
        if text is None:
            raise _unexpected(field, error_class, value, expected)
        return text

    return check


def _identifier(field: Field, rules: IntakeRules) -> Check:
    low, high = int(field.minimum or 0), int(field.maximum or 0)
    expected = f"a text of {low} to {high} characters"
    return _text_check(field, expected, lambda text: text if low <= len(text) <= high else None, ErrorClass.BAD_FORMAT)


def _site(field: Field, rules: IntakeRules) -> Check:
    pattern = re.compile(SITE_PATTERN)
    expected = f"a text that matches {SITE_PATTERN}"
    return _text_check(field, expected, lambda text: text if pattern.fullmatch(text) else None, ErrorClass.BAD_FORMAT)


def _sku(field: Field, rules: IntakeRules) -> Check:
    pattern = re.compile(rules.sku_pattern)
    expected = f"a text whose canonical form (NFKC, trimmed, upper case) matches {rules.sku_pattern}"
    return _text_check(field, expected, lambda text: canonical_sku(text, pattern), ErrorClass.BAD_FORMAT)


def _unit(field: Field, rules: IntakeRules) -> Check:
    expected = f"one of {clipped(' '.join(sorted(rules.unit_codes)), 200)}"
    known = rules.unit_codes
    return _text_check(field, expected, lambda text: text if text in known else None, ErrorClass.UNKNOWN_UNIT)


def _time(field: Field, rules: IntakeRules) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, Milliseconds):
            at_ms = int(value)
        elif isinstance(value, str):
            at_ms = parse_time(value, f"$.{field.name}")
        else:
            raise _unexpected(field, ErrorClass.WRONG_TYPE, value, "a text with an RFC 3339 time")
        if not 0 <= at_ms < END_MS:
            expected = f"an instant from {format_time(0)} to {format_time(END_MS - 1)}"
            raise _unexpected(field, ErrorClass.OUT_OF_RANGE, value, expected)
        return at_ms

    return check


def _number_check(field: Field, types: type | tuple[type, ...], noun: str) -> Callable[[Any], str]:
    """A check of type and bounds, which returns what was expected. NaN is within no bounds; bool is no number."""
    bounds = (("above", field.above), ("at least", field.minimum), ("at most", field.maximum))
    expected = f"{noun} {', '.join(f'{word} {_bound(bound)}' for word, bound in bounds if bound is not None)}"

    def check(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, types):
            raise _unexpected(field, ErrorClass.WRONG_TYPE, value, expected)
        too_low = field.minimum is not None and not value >= field.minimum
        not_above = field.above is not None and not value > field.above
        if too_low or not_above or (field.maximum is not None and not value <= field.maximum):
            raise _unexpected(field, ErrorClass.OUT_OF_RANGE, value, expected)
        return expected

    return check


def _bound(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:.12g}"


def _integer(field: Field, rules: IntakeRules) -> Check:
    check_number = _number_check(field, int, "an integer")

    def check(value: Any) -> int:
        check_number(value)
        return value

    return check


def _decimal(field: Field, rules: IntakeRules) -> Check:
    check_number = _number_check(field, (int, float), "a number")

    def check(value: Any) -> float:
        expected = check_number(value)
        number = float(value) + 0.0  # -0.0 becomes 0.0
        if round(number, DECIMALS) != number:
            raise _unexpected(field, ErrorClass.OUT_OF_RANGE, value, f"{expected}, with at most {DECIMALS} decimals")
        return number

    return check


_CHECKS: dict[FieldKind, Callable[[Field, IntakeRules], Check]] = {
    FieldKind.IDENTIFIER: _identifier,
    FieldKind.SITE: _site,
    FieldKind.SKU: _sku,
    FieldKind.TIME: _time,
    FieldKind.UNIT: _unit,
    FieldKind.INTEGER: _integer,
    FieldKind.DECIMAL: _decimal,
}
