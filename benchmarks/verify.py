"""Whether a lane's files hold its input: a figure counts only if they do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import numpy.typing as npt

from batcher.avro_reader import read_batch
from benchmarks.feed import BenchFeed

Longs = npt.NDArray[np.int64]


class WrongOutput(RuntimeError):
    """A lane's files are not what went in."""


def check_files(files: Mapping[Path, str], feed: BenchFeed, *, whole: bool) -> int:
    """Compare batch files, given with their sites, offset by offset with the feed; the number of their rows.

    Every row must have the site and the quantity of the line at its partition and offset, and no line may be there
    twice; with `whole` none may be missing. The first file is read by fastavro as well, which must see the same.

    Raises:
        WrongOutput: says what is wrong.
    """
    expected = _Expected(feed.quantities(), feed.site_numbers(), feed.site_ids)
    seen = [np.zeros(len(quantities), np.bool_) for quantities in expected.quantities]
    rows = 0
    for file, site in files.items():
        found = _columns(file, site)
        if not rows and not np.array_equal(np.stack(found), np.stack(_as_fastavro_sees_it(file))):
            raise WrongOutput(f"{file.name}: fastavro reads something else")
        rows += _check(file, found, expected, seen, site)
    marked = sum(int(marks.sum()) for marks in seen)
    if marked != rows:
        raise WrongOutput(f"{rows - marked} of {rows} rows are there twice")
    if whole and marked != feed.events:
        raise WrongOutput(f"{feed.events - marked} of {feed.events} events are in no file")
    return rows


@dataclass(frozen=True, slots=True)
class _Expected:
    """Quantity and site at each offset, by partition."""

    quantities: list[Longs]
    sites: list[Longs]  # indices into `site_ids`
    site_ids: list[str]


def _check(
    file: Path, found: tuple[Longs, Longs, Longs], expected: _Expected, seen: list[npt.NDArray], site: str
) -> int:
    partitions, offsets, quantities = found
    for partition in np.unique(partitions).tolist():
        mine = partitions == partition
        if not np.array_equal(quantities[mine], expected.quantities[partition][offsets[mine]]):
            raise WrongOutput(f"{file.name}: quantities differ from those that went in")
        if (expected.sites[partition][offsets[mine]] != expected.site_ids.index(site)).any():
            raise WrongOutput(f"{file.name}: not all of its rows are of {site}")
        seen[partition][offsets[mine]] = True
    return len(partitions)


def _columns(file: Path, site: str) -> tuple[Longs, Longs, Longs]:
    """Partition, offset and quantity in thousandths of each row, all of the site and of shape (rows,)."""
    table = read_batch(file.read_bytes(), site)
    partitions, offsets, quantities = (
        table.column(name).to_numpy() for name in ("source_partition", "source_offset", "quantity")
    )
    return partitions, offsets, _thousandths(quantities)


def _as_fastavro_sees_it(file: Path) -> tuple[Longs, Longs, Longs]:
    with file.open("rb") as data:
        rows = [_cells(row) for row in fastavro.reader(data)]
    partitions, offsets, quantities = (np.array(column) for column in zip(*rows, strict=True))
    return partitions, offsets, _thousandths(quantities)


def _cells(row: Any) -> tuple[int, int, float]:
    return row["source_partition"], row["source_offset"], row["quantity"]


def _thousandths(quantities: npt.NDArray[np.float64]) -> Longs:
    return np.rint(quantities * 1000).astype(np.int64)
