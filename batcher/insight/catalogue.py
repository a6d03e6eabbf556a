"""The catalogue by page, one batch with its runs, and the windows of a site by source."""

from dataclasses import dataclass
from typing import Any

from batcher import runs
from batcher.queries import Connection, load_queries
from batcher.runs import Run

_QUERIES = load_queries("insight/catalogue")
_RUNS = 50


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Which batches of a site are meant, and which page of them. `search` is part of a batch id."""

    site_id: str
    source: str | None = None
    kind: str | None = None
    search: str | None = None
    limit: int = 100
    offset: int = 0


def batch_page(connection: Connection, page: BatchPage) -> dict[str, Any]:
    """Batches, those first that were loaded last, and how many are meant in `total`."""
    values = {name: getattr(page, name) for name in ("site_id", "source", "kind", "search")}
    values |= {"row_limit": page.limit, "row_offset": page.offset}
    return {
        "total": _QUERIES["count_batches"].value(connection, **values),
        "rows": _QUERIES["batches"].table(connection, **values).to_pylist(),
    }


def find_batch(connection: Connection, batch_id: str) -> dict[str, Any] | None:
    """A batch by its whole id, and the `runs` whose horizon covers its events; None if it is not in the catalogue."""
    found = _QUERIES["batch"].table(connection, batch_id=batch_id).to_pylist()
    if not found:
        return None
    batch = found[0]
    span = {"first_ms": batch["min_event_time"], "last_ms": batch["max_event_time"]}
    rows = _QUERIES["runs_over"].table(connection, site_id=batch["site_id"], row_limit=_RUNS, **span).to_pylist()
    return {"batch": batch, "runs": [runs.described(Run(**row)) for row in rows]}


def window_sources(connection: Connection, site_id: str, windows: int) -> list[dict[str, Any]]:
    """The latest windows of a site that batches name: a row for each window and source."""
    return _QUERIES["window_sources"].table(connection, site_id=site_id, row_limit=windows).to_pylist()
