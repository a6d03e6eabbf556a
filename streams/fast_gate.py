"""The fast gate: judges whole fetches, and only ever accepts. What it is not certain of goes to the careful gate.

Records become columns (`json_columns`, `avro_fetch`), and each column is checked as one (`columns`). What the fast gate
accepts, the careful gate accepts with the same row: a property test holds the two together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from schemas.packed import Packed
from schemas.sources import FIELDS, Source
from streams.avro_fetch import AvroColumns
from streams.columns import column_check, event_columns
from streams.intake_rules import IntakeRules
from streams.json_columns import JsonColumns
from streams.pieces import Positions


class Accepted(NamedTuple):
    """Rows in the order of their records, and the position of each row's record."""

    table: pa.Table
    positions: Positions

    def merged(self, other: "Accepted") -> "Accepted":
        """The rows of both, in the order of their records."""
        if not len(self.positions):
            return other
        if not len(other.positions):
            return self
        positions = np.concatenate([self.positions, other.positions])
        order = np.argsort(positions)
        table = pa.concat_tables([self.table, other.table])
        return Accepted(table.take(pa.array(order)).combine_chunks(), positions[order])


class FastGate:
    """Accepts records of one source."""

    def __init__(self, source: Source, rules: IntakeRules) -> None:
        self._schema = event_columns(source)
        self._json = JsonColumns(source)
        self._avro = AvroColumns(source, rules.avro_schemas)
        self._checks = [column_check(field, rules) for field in FIELDS[source]]
        self._max_future_skew_ms = rules.max_future_skew_ms

    def accept(self, values: Packed, timestamps_ms: Sequence[int] | Positions) -> Accepted:
        """Those records that are certainly right; both have one element per record."""
        latest = np.asarray(timestamps_ms, np.int64) + self._max_future_skew_ms
        accepted = Accepted(self._schema.empty_table(), np.empty(0, np.int64))
        rest = np.ones(len(values), np.bool_)
        if self._avro.known:
            for raw, positions in self._avro.read(values):
                accepted = accepted.merged(self._check(raw, positions, latest))
                rest[positions] = False
        if rest.any():
            raw, positions = self._json.read(values.pick(rest))
            accepted = accepted.merged(self._check(raw, np.flatnonzero(rest)[positions], latest))
        return accepted

    def _check(self, raw: pa.Table, positions: Positions, latest: Positions) -> Accepted:
        """The rows whose every field is certain, none later than its record may be."""
        checked = [check(column.combine_chunks()) for check, column in zip(self._checks, raw.columns, strict=True)]
        table = pa.table([column.values for column in checked], schema=self._schema)
        masks = [column.certain for column in checked if column.certain is not None]
        certain = np.logical_and.reduce([*masks, table.column("event_time").to_numpy() <= latest[positions]])
        if certain.all():
            return Accepted(table, positions)
        return Accepted(table.filter(pa.array(certain)), positions[certain])
