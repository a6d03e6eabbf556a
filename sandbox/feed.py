"""A feed: lines of one source together with their event time, so that they can be ordered and disordered."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.sources import Source


class TimedLine(NamedTuple):
    """One event as a line of NDJSON (without its newline) and its event time in UTC milliseconds."""

    event_time_ms: int
    line: bytes


#: Lines per source, each in the order of event time; lines of the same instant keep the order they arose in.
Feed = Mapping[Source, Sequence[TimedLine]]


def feed_file(directory: Path, source: Source) -> Path:
    """Where `write_feed` puts a source: `orders.ndjson`, `returns.ndjson`, `cycle-counts.ndjson`."""
    return directory / f"{source}.ndjson"


def write_feed(feed: Feed, directory: Path) -> dict[Source, int]:
    """Writes one NDJSON file per source, creating the directory; returns the lines per source."""
    directory.mkdir(parents=True, exist_ok=True)
    for source, lines in feed.items():
        write_lines(feed_file(directory, source), (line for _, line in lines))
    return {source: len(lines) for source, lines in feed.items()}


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Writes lines, each with a newline, byte for byte."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)
