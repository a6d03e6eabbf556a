"""The windows of a site as a person wants to see them: open, closed or complete, and what was corrected. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.instants import rfc3339
from schemas.records import BatchKind, Frontier, Window


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
    site_id: str, batches: Iterable[Mapping[str, Any]], frontiers: Iterable[Frontier], complete_until_ms: int | None
) -> list[WindowRow]:
    """Windows of a site that have or had events, the latest first.

    `batches` are rows of the catalogue: `kind`, `windows` (of start and end) and `record_count`. `records` are those of
    on-time batches; a correction may span windows, so `corrections` counts batches.
    """
    records, on_time, corrections, opened = Counter[Window](), Counter[Window](), Counter[Window](), Counter[Window]()
    for batch in batches:
        windows = [Window(window["start"], window["end"]) for window in batch["windows"]]
        if batch["kind"] == BatchKind.CORRECTION:
            corrections.update(windows)
        else:
            on_time.update(windows)
            records[windows[0]] += batch["record_count"]
    for frontier in frontiers:
        for window in frontier.open_windows:
            if window.site_id == site_id:
                opened[Window(window.start, window.end)] += window.count
    return [
        WindowRow(
            site_id,
            rfc3339(window.start),
            rfc3339(window.end),
            _state(window, opened, complete_until_ms),
            records[window],
            on_time[window],
            corrections[window],
            opened[window],
        )
        for window in sorted({*on_time, *corrections, *opened}, reverse=True)
    ]


def _state(window: Window, opened: Mapping[Window, int], complete_until_ms: int | None) -> str:
    if complete_until_ms is not None and window.end <= complete_until_ms:
        return "complete"
    return "open" if window in opened else "closed"
