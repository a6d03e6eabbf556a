"""Reference files: CSV with a header. A fault is named by file, line and column, and nothing is read approximately."""

import csv
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any

from schemas.instants import parse_rfc3339
from schemas.reference import (
    INSTANT_LIMIT,
    Channel,
    Item,
    Promotion,
    ReferenceRecord,
    Season,
    canonical_sku,
    check_factor,
)


class ReferenceFile(StrEnum):
    """The files of reference data, by their names on the command line."""

    ITEMS = "items"
    PROMOTIONS = "promotions"
    CHANNELS = "channels"
    SEASONS = "seasons"


class ReferenceFileError(ValueError):
    """A reference file is wrong; the message says where: file, line, column."""


Parser = Callable[[str], Any]


def _text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _optional(parser: Parser) -> Parser:
    return lambda text: parser(text) if text else None


def _factor(name: str, *, zero_allowed: bool = False) -> Parser:
    def parse(text: str) -> Decimal:
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise ValueError("must be a decimal number, such as 2.5") from None
        check_factor(name, value, zero_allowed=zero_allowed)
        return value

    return parse


def _instant(text: str) -> int:
    at_ms = parse_rfc3339(text)
    if not 0 <= at_ms < INSTANT_LIMIT:
        raise ValueError("must lie in the years 1970 to 2999")
    return at_ms


def _month(text: str) -> int:
    if text not in _MONTHS:
        raise ValueError("must be 1 to 12")
    return int(text)


_MONTHS = tuple(map(str, range(1, 13)))


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of a file, all of them and no others, and what a row becomes."""

    record: Callable[..., ReferenceRecord]
    columns: Mapping[str, Parser]


_WHEN = _optional(_instant)
_SKU = _optional(canonical_sku)
_LAYOUTS = {
    ReferenceFile.ITEMS: _Layout(
        Item,
        {
            "sku": lambda text: canonical_sku(_text(text)),
            "uom": _text,
            "base_units": _factor("base_units"),
            "valid_from": _WHEN,
        },
    ),
    ReferenceFile.PROMOTIONS: _Layout(
        Promotion,
        {
            "promo_id": _text,
            "site_id": _optional(_text),
            "sku": _SKU,
            "start": _WHEN,
            "end": _WHEN,
            "uplift": _factor("uplift"),
        },
    ),
    ReferenceFile.CHANNELS: _Layout(
        Channel,
        {
            "site_id": _optional(_text),
            "channel": _text,
            "weight": _factor("weight", zero_allowed=True),
            "valid_from": _WHEN,
        },
    ),
    ReferenceFile.SEASONS: _Layout(
        Season,
        {
            "site_id": _optional(_text),
            "sku": _SKU,
            "month": _month,
            "index": _factor("index"),
            "valid_from": _WHEN,
        },
    ),
}


def read_reference_file(kind: ReferenceFile, path: Path, unit_codes: Collection[str]) -> list[ReferenceRecord]:
    """The records of a file, in its order.

    Raises:
        ReferenceFileError: it cannot be read, or something in it is wrong.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReferenceFileError(f"{path}: {error}") from error
    return parse_reference_file(kind, text, str(path), unit_codes)


def parse_reference_file(
    kind: ReferenceFile, text: str, name: str, unit_codes: Collection[str]
) -> list[ReferenceRecord]:
    """The records of a file's text.

    `name` is the file's, for messages; `unit_codes` are the units that events may have.

    Raises:
        ReferenceFileError: something in it is wrong.
    """
    layout = _LAYOUTS[kind]
    rows = csv.DictReader(text.splitlines(), restkey="", restval=None, strict=True)
    _check_header(rows.fieldnames or (), layout, name)
    lines: dict[str, int] = {}
    records: list[ReferenceRecord] = []
    for row in _rows(rows, name):
        where = f"{name}, line {rows.line_num}"
        record = _record(layout, row, where)
        if isinstance(record, Item) and record.uom not in unit_codes:
            raise ReferenceFileError(f"{where}, column uom: {record.uom!r} is not one of {', '.join(unit_codes)}")
        if record.key in lines:
            raise ReferenceFileError(f"{where}: says again what line {lines[record.key]} says of {record.key}")
        lines[record.key] = rows.line_num
        records.append(record)
    return records


def _check_header(found: Collection[str], layout: _Layout, name: str) -> None:
    if sorted(found) != sorted(layout.columns):
        raise ReferenceFileError(f"{name}, line 1: the header must be {','.join(layout.columns)}")


def _rows(reader: "csv.DictReader[str]", name: str) -> Iterator[dict[str, str | None]]:
    try:
        yield from reader
    except csv.Error as error:
        raise ReferenceFileError(f"{name}, line {reader.reader.line_num}: {error}") from error


def _record(layout: _Layout, row: Mapping[str, str | None], where: str) -> ReferenceRecord:
    if "" in row:
        raise ReferenceFileError(f"{where}: has more columns than the header")
    values: dict[str, Any] = {}
    for column, parser in layout.columns.items():
        text = row[column]
        if text is None:
            raise ReferenceFileError(f"{where}, column {column}: is missing")
        try:
            values[column] = parser(text.strip())
        except ValueError as error:
            raise ReferenceFileError(f"{where}, column {column}: {text!r}: {error}") from error
    try:
        return layout.record(**values)
    except ValueError as error:
        raise ReferenceFileError(f"{where}: {error}") from error
