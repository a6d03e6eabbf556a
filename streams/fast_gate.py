"""The fast gate: judges whole fetches, and only ever accepts. What it is not certain of goes to the careful gate.

Records become columns (`json_columns`), and each column is checked as one (`columns`). What the fast gate accepts, the
careful gate accepts with the same row: a property test holds the two together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from schemas.sources import FIELDS, Source
from streams.columns import column_check, event_columns
from streams.intake_rules import IntakeRules
from streams.json_columns import JsonColumns, Positions


class Accepted(NamedTuple):
    """Rows in the order of their records, and the position of each row's record."""

    table: pa.Table
    positions: Positions


class FastGate:
    """Accepts records of one source."""

    def __init__(self, source: Source, rules: IntakeRules) -> None:
        self._schema = event_columns(source)
        self._json = JsonColumns(source)
        self._checks = [column_check(field, rules) for field in FIELDS[source]]
        self._max_future_skew_ms = rules.max_future_skew_ms

    def accept(self, values: Sequence[bytes | None], timestamps_ms: Sequence[int]) -> Accepted:
        """Those records that are certainly right; both sequences have one element per record."""
        raw, positions = self._json.read(values)
        checked = [check(column.combine_chunks()) for check, column in zip(self._checks, raw.columns, strict=True)]
        table = pa.table([column.values for column in checked], schema=self._schema)
        latest = np.array(timestamps_ms, np.int64)[positions] + self._max_future_skew_ms
        masks = [column.certain for column in checked if column.certain is not None]
        certain = np.logical_and.reduce([*masks, table.column("event_time").to_numpy() <= latest])
        if certain.all():
            return Accepted(table, positions)
        return Accepted(table.filter(pa.array(certain)), positions[certain])
