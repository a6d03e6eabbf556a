"""The rules of single fields, a column at a time: what each accepts, the careful gate accepts with the same value.

A check takes a column as `json_columns` reads it and returns it in the form that counts (canonical SKU, instant,
positive zero), with a mask of the values that are certain to pass. Nulls are for the caller to judge.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.sources import FIELDS, SITE_PATTERN, Field, FieldKind, Source
from streams.event_times import END_MS, SOME_TIME, Mask, read_times
from streams.intake_rules import IntakeRules
from streams.sku_check import SkuCheck

_ARROW_TYPES: dict[FieldKind, pa.DataType] = {
    FieldKind.TIME: pa.int64(),  # UTC milliseconds
    FieldKind.INTEGER: pa.int64(),
    FieldKind.DECIMAL: pa.float64(),
}
_add = pc.add  # pyright: ignore[reportAttributeAccessIssue]: made at run time
_length = pc.utf8_length  # pyright: ignore[reportAttributeAccessIssue]


def event_columns(source: Source) -> pa.Schema:
    """The columns of a source's accepted rows: its fields in the order of the contract."""
    return pa.schema(
        [pa.field(field.name, _ARROW_TYPES.get(field.kind, pa.string()), field.nullable) for field in FIELDS[source]]
    )


class Column(NamedTuple):
    """A column, and which of its values are certain to pass; None where all are."""

    values: pa.Array
    certain: Mask | None = None


Check = Callable[[pa.Array], Column]


def column_check(field: Field, rules: IntakeRules) -> Check:
    """The check of a field, nulls included."""
    check = _CHECKS[field.kind](field, rules)
    if field.nullable:
        return check

    def check_all(column: pa.Array) -> Column:
        checked = check(column)
        return Column(checked.values, _both(checked.certain, _valid(column)))

    return check_all


def _both(one: Mask | None, other: Mask | None) -> Mask | None:
    return other if one is None else one if other is None else one & other


def _valid(column: pa.Array) -> Mask | None:
    return column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None


def _numbers(column: pa.Array, in_place_of_null: float) -> npt.NDArray[Any]:
    whole = column.fill_null(in_place_of_null) if column.null_count else column
    return whole.to_numpy(zero_copy_only=False)


def _within(field: Field, numbers: npt.NDArray[Any]) -> Mask | None:
    """Which numbers are within the field's bounds. NaN is within none."""
    certain = None
    for bound, holds in ((field.above, np.greater), (field.minimum, np.greater_equal), (field.maximum, np.less_equal)):
        if bound is not None:
            certain = _both(certain, cast(Mask, holds(numbers, bound)))
    return certain


def _identifier(field: Field, rules: IntakeRules) -> Check:
    some_length = field.minimum or 0
    return lambda texts: Column(texts, _within(field, _numbers(_length(texts), some_length)))


def _label(allowed: Callable[[str], bool]) -> Check:
    """Texts of which few are distinct."""

    def check(texts: pa.Array) -> Column:
        encoded = texts.dictionary_encode()
        passes = np.array([allowed(text) for text in encoded.dictionary.to_pylist()], np.bool_)
        return Column(texts, None if passes.all() else passes[_numbers(encoded.indices, 0)])

    return check


def _site(field: Field, rules: IntakeRules) -> Check:
    site = re.compile(SITE_PATTERN)
    return _label(lambda text: site.fullmatch(text) is not None)


def _sku(field: Field, rules: IntakeRules) -> Check:
    check = SkuCheck(rules.sku_pattern)
    return lambda texts: Column(*check(texts))


def _unit(field: Field, rules: IntakeRules) -> Check:
    return _label(rules.unit_codes.__contains__)


def _time(field: Field, rules: IntakeRules) -> Check:
    def check(times: pa.Array) -> Column:
        if times.type == pa.int64():  # milliseconds already: Avro
            instants = _numbers(times, 0)
            return Column(pa.array(instants), (instants >= 0) & (instants < END_MS))
        instants, certain = read_times(times.fill_null(SOME_TIME))
        return Column(pa.array(instants), certain)

    return check


def _integer(field: Field, rules: IntakeRules) -> Check:
    some_number = int(field.minimum or 0)
    return lambda numbers: Column(numbers, _within(field, _numbers(numbers, some_number)))


def _decimal(field: Field, rules: IntakeRules) -> Check:
    """Numbers within 1e9 either way.

    One with at most three decimals is the double nearest to some k/1000, and doubles of that size lie far closer
    together than thousandths: `rint(x * 1000) / 1000 == x` says the same as `round(x, 3) == x`.
    """
    some_number = field.maximum or 0.0

    def check(numbers: pa.Array) -> Column:
        values = _add(numbers, 0.0)  # -0.0 becomes 0.0
        plain = _numbers(values, some_number)
        certain = _within(field, plain)
        with np.errstate(over="ignore", invalid="ignore"):
            return Column(values, _both(certain, np.rint(plain * 1000) / 1000 == plain))

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
