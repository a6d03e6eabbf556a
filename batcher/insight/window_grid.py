"""The windows of a site by source: which are complete, which are open, and which were corrected. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from schemas.instants import rfc3339
from schemas.records import Frontier, Window
from schemas.sources import Source


class CellState(StrEnum):
    """How a window of a source stands."""

    COMPLETE = "complete"  # every partition of every source has passed it
    CLOSED = "closed"  # it has its batches, and other sources have yet to pass
    OPEN = "open"  # a partition still gathers its records
    EMPTY = "empty"  # no event so far, and not passed by all


@dataclass(frozen=True, slots=True)
class Cell:
    """A window of a source. `records` are those of on-time batches; `open_records` have no batch yet."""

    source: str
    state: CellState
    records: int
    batches: int
    corrections: int
    open_records: int


@dataclass(frozen=True, slots=True)
class GridRow:
    """A window `[start, end)` in RFC 3339 and a cell for each source."""

    start: str
    end: str
    complete: bool
    cells: tuple[Cell, ...]


def window_grid(
    site_id: str,
    rows: Iterable[Mapping[str, Any]],
    frontiers: Iterable[Frontier],
    complete: Window | None,
    limit: int,
) -> list[GridRow]:
    """The latest windows that have or had events, the latest first. `rows` are those of `catalogue.window_sources`."""
    known = {(Window(row["start_ms"], row["end_ms"]), row["source"]): row for row in rows}
    opened = Counter[tuple[Window, str]]()
    for frontier in frontiers:
        for window in frontier.open_windows:
            if window.site_id == site_id:
                opened[Window(window.start, window.end), frontier.source.value] += window.count
    windows = sorted({window for window, _ in (*known, *opened)}, reverse=True)[:limit]
    return [_row(window, known, opened, complete) for window in windows]


def _row(
    window: Window,
    known: Mapping[tuple[Window, str], Mapping[str, Any]],
    opened: Mapping[tuple[Window, str], int],
    complete: Window | None,
) -> GridRow:
    is_complete = complete is not None and complete.start <= window.start and window.end <= complete.end
    cells = tuple(
        _cell(source.value, known.get((window, source.value), {}), opened.get((window, source.value), 0), is_complete)
        for source in Source
    )
    return GridRow(rfc3339(window.start), rfc3339(window.end), is_complete, cells)


def _cell(source: str, row: Mapping[str, Any], open_records: int, is_complete: bool) -> Cell:
    batches, corrections = row.get("batches", 0), row.get("corrections", 0)
    if is_complete:
        state = CellState.COMPLETE
    elif open_records:
        state = CellState.OPEN
    else:
        state = CellState.CLOSED if batches or corrections else CellState.EMPTY
    return Cell(source, state, row.get("records", 0), batches, corrections, open_records)
