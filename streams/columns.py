"""Columns of accepted rows, and how the fast gate reads and checks each kind of field a column at a time."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.sources import FIELDS, SITE_PATTERN, FieldKind, Source
from streams.event_times import Mask, read_times
from streams.fields import canonical_sku
from streams.intake_rules import IntakeRules

_ARROW_TYPES: dict[FieldKind, pa.DataType] = {
    FieldKind.TIME: pa.int64(),  # UTC milliseconds
    FieldKind.INTEGER: pa.int64(),
    FieldKind.DECIMAL: pa.float64(),
}
# Both bound the memory that remembered SKUs take.
_KNOWN_SKUS = 65_536
_KNOWN_SKU_LENGTH = 128

_add = pc.add  # pyright: ignore[reportAttributeAccessIssue]: made at run time

Texts = Sequence[str]


def event_columns(source: Source) -> pa.Schema:
    """The columns of a source's accepted rows: its fields in the order of the contract."""
    return pa.schema(
        [pa.field(field.name, _ARROW_TYPES.get(field.kind, pa.string()), field.nullable) for field in FIELDS[source]]
    )


class Column(NamedTuple):
    """A column, and which of its values are certain to pass; None where all are."""

    values: pa.Array
    certain: Mask | None = None


Reader = Callable[[Any], Column]  # takes the values of one field, of the JSON type that the field wants


def column_readers(rules: IntakeRules) -> dict[FieldKind, Reader]:
    """A reader per kind of field. They remember canonical SKUs, which changes their speed and nothing else."""
    site = re.compile(SITE_PATTERN)
    return {
        FieldKind.IDENTIFIER: lambda texts: Column(pa.array(texts, pa.string())),
        FieldKind.SITE: lambda texts: _read_labels(texts, lambda text: site.fullmatch(text) is not None),
        FieldKind.SKU: SkuReader(rules.sku_pattern).read,
        FieldKind.TIME: _read_times,
        FieldKind.UNIT: lambda texts: _read_labels(texts, rules.unit_codes.__contains__),
        FieldKind.INTEGER: lambda numbers: Column(pa.array(numbers, pa.int64())),
        FieldKind.DECIMAL: _read_decimals,
    }


def _read_labels(texts: Texts, allowed: Callable[[str], bool]) -> Column:
    """Texts of which few are distinct."""
    strange = {text for text in set(texts) if not allowed(text)}
    return Column(pa.array(texts, pa.string()), _mask(text not in strange for text in texts) if strange else None)


def _read_times(texts: Texts) -> Column:
    instants, certain = read_times(pa.array(texts, pa.string()))
    return Column(pa.array(instants), certain)


def _read_decimals(numbers: Sequence[float | None]) -> Column:
    """Numbers within 1e9 either way.

    One with at most three decimals is the double nearest to some k/1000, and doubles of that size lie far closer
    together than thousandths: `rint(x * 1000) / 1000 == x` says the same as `round(x, 3) == x`.
    """
    values = _add(pa.array(numbers, pa.float64()), 0.0)  # -0.0 becomes 0.0
    plain = values.fill_null(0.0).to_numpy(zero_copy_only=False)
    return Column(values, np.rint(plain * 1000) / 1000 == plain)


def _mask(flags: Iterable[bool]) -> Mask:
    return np.fromiter(flags, np.bool_)


class SkuReader:
    """Canonical SKUs; remembers those it has seen."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._known: dict[str, str | None] = {}

    def read(self, texts: Texts) -> Column:
        """Certain where there is a canonical form, and the text is short enough to be remembered."""
        distinct = set(texts)
        if len(self._known) + len(distinct) > _KNOWN_SKUS:
            self._known = {}
        for text in distinct:
            if text not in self._known and len(text) <= _KNOWN_SKU_LENGTH:
                self._known[text] = canonical_sku(text, self._pattern)
        skus = list(map(self._known.get, texts))
        return Column(pa.array(skus, pa.string()), _mask(sku is not None for sku in skus) if None in skus else None)
