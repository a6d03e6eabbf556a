"""Reading many records as one, where a single odd one makes the reading fail as a whole."""

from collections.abc import Callable, Iterator
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DOUBT_RECORDS = 8  # so few are not taken apart any further

Positions = npt.NDArray[np.int64]  # indices of records in the fetch, ascending


class Cuttable(Protocol):
    """What can be cut into parts of its own kind."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: slice, /) -> Self: ...


T = TypeVar("T", bound=Cuttable)


def read_in_pieces(
    read: Callable[[T], pa.Table | None], records: T, positions: Positions, nothing: pa.Table
) -> tuple[pa.Table, Positions]:
    """Read all records that can be read, and where they stood; `read` returns None where one of them is in doubt.

    What is in doubt is halved, and halved again: k odd records cost about k times the logarithm of all.
    """
    pieces = list(_pieces(read, records, positions))
    if not pieces:
        return nothing, positions[:0]
    return pa.concat_tables(table for table, _ in pieces), np.concatenate([rows for _, rows in pieces])


def _pieces(
    read: Callable[[T], pa.Table | None], records: T, positions: Positions
) -> Iterator[tuple[pa.Table, Positions]]:
    table = read(records)
    if table is not None:
        yield table, positions
    elif len(records) > DOUBT_RECORDS:
        half = len(records) // 2
        yield from _pieces(read, records[:half], positions[:half])
        yield from _pieces(read, records[half:], positions[half:])
