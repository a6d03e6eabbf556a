"""The windows of a site as a person wants to see them: open, closed or complete, and what was corrected. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.instants import rfc3339
from schemas.records import Frontier, Window


@dataclass(slots=True)
class WindowRow:
    """A window `[start, end)`: `closed` by all partitions that had events in it, `complete` once all have passed."""

    site_id: str
    start: str
    end: str
    state: str
    records: int
    batches: int
    corrections: int
    open_records: int


def list_windows(
    site_id: str, rows: Iterable[Mapping[str, Any]], frontiers: Iterable[Frontier], complete: Window | None
) -> list[WindowRow]:
    """Windows of a site that have or had events, the latest first. `rows` are those of `catalogue.window_sources`.

    `records` are those of on-time batches; a correction may span windows, so `corrections` counts batches.
    """
    records, on_time, corrections, opened = Counter[Window](), Counter[Window](), Counter[Window](), Counter[Window]()
    for row in rows:
        window = Window(row["start_ms"], row["end_ms"])
        records[window] += row["records"]
        on_time[window] += row["batches"]
        corrections[window] += row["corrections"]
    for frontier in frontiers:
        for window in frontier.open_windows:
            if window.site_id == site_id:
                opened[Window(window.start, window.end)] += window.count
    return [
        WindowRow(
            site_id,
            rfc3339(window.start),
            rfc3339(window.end),
            _state(window, opened, complete),
            records[window],
            on_time[window],
            corrections[window],
            opened[window],
        )
        for window in sorted({*on_time, *corrections, *opened}, reverse=True)
    ]


def _state(window: Window, opened: Mapping[Window, int], complete: Window | None) -> str:
    if complete is not None and complete.start <= window.start and window.end <= complete.end:
        return "complete"
    return "open" if window in opened else "closed"
