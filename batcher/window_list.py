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
    site_id: str, batched: Iterable[Mapping[str, Any]], frontiers: Iterable[Frontier], complete_until_ms: int | None
) -> list[WindowRow]:
    """Windows of a site that have or had events, the latest first.

    `batched` are windows as `catalogue.windows` gives them. `records` are those of on-time batches; a correction may
    span windows, so `corrections` counts batches.
    """
    rows = {Window(row["start_ms"], row["end_ms"]): row for row in batched}
    nothing = dict.fromkeys(("records", "batches", "corrections"), 0)
    opened = Counter[Window]()
    for frontier in frontiers:
        for window in frontier.open_windows:
            if window.site_id == site_id:
                opened[Window(window.start, window.end)] += window.count
    return [
        WindowRow(
            site_id=site_id,
            start=rfc3339(window.start),
            end=rfc3339(window.end),
            state=_state(window, opened, complete_until_ms),
            records=found["records"],
            batches=found["batches"],
            corrections=found["corrections"],
            open_records=opened[window],
        )
        for window in sorted({*rows, *opened}, reverse=True)
        for found in (rows.get(window, nothing),)
    ]


def _state(window: Window, opened: Mapping[Window, int], complete_until_ms: int | None) -> str:
    if complete_until_ms is not None and window.end <= complete_until_ms:
        return "complete"
    return "open" if window in opened else "closed"
