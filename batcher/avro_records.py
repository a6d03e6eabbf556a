"""Avro records to Arrow columns, without a Python loop over records.

A record says nowhere how long it is: where the next one begins is known once this one has been read. But all records of
a batch file name the same site, right behind their event id:

    [len] event_id | [len] site_id | [len] sku ...
                   ^ a candidate: wherever the bytes of the site's encoding stand

So the rest of the record is read at every candidate at once, field by field. Candidates that the chain of records
passes, each beginning where the one before it ended, are the records; the others are the same bytes by chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.avro_bytes import AvroBytes, Longs, Octets
from schemas.avro_fields import Column, Values, columns_of, read_fields

SITE = "site_id"

_ADDRESSABLE = (1 << 31) - 1  # by the 32-bit positions of an Arrow column


class RecordsDamaged(ValueError):
    """Bytes are not the records that they should be."""


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one site: `fields` by name, but for the site, which all have; texts stand in `octets`."""

    columns: Mapping[str, Column]
    fields: Mapping[str, Values]
    octets: Octets
    site_id: str
    count: int

    def to_arrow(self, names: Iterable[str]) -> pa.RecordBatch:
        """The named fields as columns of string, int64 and float64."""
        columns = [self.columns[name] for name in names]
        return pa.RecordBatch.from_arrays([self._array(c) for c in columns], schema=arrow_schema(columns))

    def _array(self, column: Column) -> pa.Array:
        if column.name == SITE:
            return pa.repeat(self.site_id, self.count)
        return self.fields[column.name].to_arrow(column, self.octets)


def batch_columns(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    """The fields of a batch record's schema; see `columns_of`.

    Raises:
        ValueError: one has another type, or the record does not begin with event id and site.
    """
    columns = columns_of(schema)
    if [c.name for c in columns[:2]] != ["event_id", SITE]:
        raise ValueError("a batch record begins with event_id and site_id")
    return columns


def decode_records(columns: Sequence[Column], blocks: Sequence[bytes], counts: Sequence[int], site_id: str) -> Records:
    """The records of whole blocks, all of one site; block i has `counts[i]` of them, at least one.

    Raises:
        RecordsDamaged: the blocks are not made of such records, or are too large to be addressed together.
    """
    ends = np.cumsum([len(block) for block in blocks])
    if ends[-1] > _ADDRESSABLE:
        raise RecordsDamaged(f"{ends[-1]} bytes of records in one block are too many")
    source = AvroBytes(*blocks)
    site = site_id.encode()
    sites = source.occurrences(bytes((2 * len(site),)) + site)
    rest, record_ends = read_fields(columns[2:], source, sites + 1 + len(site))
    rows = _chain(source, sites, record_ends)
    if len(rows) < len(sites):
        rest, record_ends = [values.pick(rows) for values in rest], record_ends[rows]
    # There are as many records as the blocks say, and the last one of each block ends where the block does.
    if sum(counts) != len(rows) or (record_ends[np.cumsum(counts) - 1] != ends).any():
        raise RecordsDamaged(f"{len(rows)} records of the site do not fill blocks of {sum(counts)}")
    ids = Values(np.stack(source.texts(np.append(0, record_ends[:-1])), axis=1))
    fields = dict(zip([column.name for column in columns], [ids, ids, *rest], strict=True))
    del fields[SITE]
    return Records({column.name: column for column in columns}, fields, source.octets, site_id, len(rows))


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """What `to_arrow` makes of them."""
    return pa.schema([pa.field(column.name, column.arrow_type, column.nullable) for column in columns])


def _chain(source: AvroBytes, sites: Longs, ends: Longs) -> Longs:
    """Which candidates are records, ascending: the first begins at 0, each further one where the one before it ended.

    `sites` and `ends`, shape (candidates,): where each has its site, and where it would end.

    Raises:
        RecordsDamaged: the chain breaks before the end of the bytes.
    """
    _, first = source.texts(np.zeros(1, np.int64))
    _, following = source.texts(ends)
    if not len(sites):
        raise RecordsDamaged("no record names the site")
    if np.array_equal(np.append(first, following[:-1]), sites) and ends[-1] == source.size:
        return np.arange(len(sites))
    return _walk(sites.tolist(), ends.tolist(), int(first[0]), following.tolist(), source.size)


def _walk(sites: list[int], ends: list[int], site: int, following: list[int], size: int) -> Longs:
    """The same, candidate by candidate: the rare case that some are not records, because a text holds the site, too."""
    numbers = {position: number for number, position in enumerate(sites)}
    rows: list[int] = []
    while site in numbers and (not rows or site > sites[rows[-1]]):
        rows.append(numbers[site])
        if ends[rows[-1]] == size:
            return np.array(rows)
        site = following[rows[-1]]
    raise RecordsDamaged(f"the record behind number {len(rows)} does not name the site where it should")
