"""Whether a lane's files hold its input: a figure counts only if they do."""

from collections.abc import Iterable
from pathlib import Path

import fastavro
import numpy as np

from benchmarks.feed import BenchFeed


class WrongOutput(RuntimeError):
    """A lane's files are not what went in."""


def check_files(files: Iterable[Path], feed: BenchFeed, *, whole: bool) -> int:
    """Read batch files with fastavro and compare offset by offset with the feed; the number of rows.

    Every row must have the quantity of the line at its partition and offset, and no line may be there twice; with
    `whole` none may be missing.

    Raises:
        WrongOutput: says what is wrong.
    """
    expected = feed.quantities()
    seen = [np.zeros(len(quantities), np.bool_) for quantities in expected]
    rows = sum(_check_file(file, expected, seen) for file in files)
    found = sum(int(marks.sum()) for marks in seen)
    if found != rows:
        raise WrongOutput(f"{rows - found} of {rows} rows are there twice")
    if whole and found != feed.events:
        raise WrongOutput(f"{feed.events - found} of {feed.events} events are in no file")
    return rows


def _check_file(file: Path, expected: list[np.ndarray], seen: list[np.ndarray]) -> int:
    with file.open("rb") as data:
        cells = [(row["source_partition"], row["source_offset"], row["quantity"]) for row in fastavro.reader(data)]
    table = np.array(cells)  # doubles hold each of the three exactly
    for partition in np.unique(table[:, 0]).astype(int).tolist():
        mine = table[table[:, 0] == partition]
        offsets = mine[:, 1].astype(np.int64)
        if not np.array_equal(np.rint(mine[:, 2] * 1000).astype(np.int64), expected[partition][offsets]):
            raise WrongOutput(f"{file.name}: quantities differ from those that went in")
        seen[partition][offsets] = True
    return len(table)
