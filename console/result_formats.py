"""Coefficients as people and programs want them: CSV, JSON, Parquet, and a short table."""

import csv
import io
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from console.screen import Cell


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


#: What fits on a screen; the other formats have all columns.
SHORT = (
    "site_id",
    "sku",
    "order_lines",
    "net_units",
    "velocity_coefficient",
    "abc_class",
    "demand_cv",
    "xyz_class",
    "provisional",
    "coverage",
)

_JSON = msgspec.json.Encoder(decimal_format="number")


def encode(table: pa.Table, form: Format) -> bytes:
    """All rows and columns as CSV, JSON or Parquet.

    In CSV null is empty, a boolean is `true` or `false`, decimals keep their places and other numbers all their digits.
    """
    if form is Format.PARQUET:
        sink = io.BytesIO()
        pq.write_table(table, sink)
        return sink.getvalue()
    if form is Format.JSON:
        return msgspec.json.format(_JSON.encode(table.to_pylist()), indent=2) + b"\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(_csv_rows(table))
    return text.getvalue().encode()


def _csv_rows(table: pa.Table) -> Iterator[list[Any]]:
    for batch in table.to_batches():
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield [_csv_value(value) for value in values]


def _csv_value(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else value


def fastest(table: pa.Table, limit: int) -> list[tuple[Cell, ...]]:
    """The `limit` rows with the highest velocity, in the columns of `SHORT`."""
    ranked = table.sort_by([("velocity_coefficient", "descending"), ("site_id", "ascending"), ("sku", "ascending")])
    rows = ranked.slice(0, limit).select(list(SHORT)).to_pylist()
    return [tuple(_cell(row[name]) for name in SHORT) for row in rows]


def _cell(value: Any) -> Cell:
    if isinstance(value, float):
        return round(value, 4)
    return value
