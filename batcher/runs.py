"""Runs: what was calculated when and from what, and the results that are there to be read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from batcher.queries import Connection, load_queries, registered
from schemas.instants import rfc3339

_QUERIES = load_queries("runs")


@dataclass(frozen=True, slots=True)
class Run:
    """A calculation of a site's velocity over `[start_ms, as_of_ms)`. The same inputs have the same `run_id`.

    Of its `windows` that many were `complete_windows`. `skus` is the number of its results, which only a `current` run
    still has: the last one of its (site, horizon, as_of), as long as `prune` keeps it. The stable classes
    of before are those of `former_run_id`, or those `recovered`, neither where classes have no memory.
    """

    run_id: str
    site_id: str
    horizon: str
    as_of_ms: int
    start_ms: int
    trigger: str
    calculated_at_ms: int
    dataset_hash: str
    reference_hash: str
    complete_windows: int
    windows: int
    skus: int
    current: bool
    former_run_id: str | None = None
    recovered: str | None = None

    @property
    def coverage(self) -> float | None:
        """The complete windows' share of all; None where there are none."""
        return self.complete_windows / self.windows if self.windows else None


def described(run: Run) -> dict[str, Any]:
    """A run in the words of the API."""
    return {
        "site_id": run.site_id,
        "horizon": run.horizon,
        "as_of": rfc3339(run.as_of_ms),
        "start": rfc3339(run.start_ms),
        "run_id": run.run_id,
        "trigger": run.trigger,
        "calculated_at": rfc3339(run.calculated_at_ms),
        "complete_windows": run.complete_windows,
        "windows": run.windows,
        "coverage": run.coverage,
        "skus": run.skus,
        "current": run.current,
    }


def find(connection: Connection, run_id: str) -> Run | None:
    """The run of that id."""
    rows = _QUERIES["find"].table(connection, run_id=run_id).to_pylist()
    return Run(**rows[0]) if rows else None


def find_newest(connection: Connection, site_id: str, horizon: str, until_ms: int) -> Run | None:
    """The current run of a site with the latest `as_of` up to `until_ms`; None without one."""
    rows = _QUERIES["find_newest"].table(connection, site_id=site_id, horizon=horizon, until_ms=until_ms).to_pylist()
    return Run(**rows[0]) if rows else None


def find_all(connection: Connection, site_id: str | None, row_limit: int | None) -> list[Run]:
    """Runs of a site or of all, the latest calculation first."""
    rows = _QUERIES["find_all"].table(connection, site_id=site_id, row_limit=row_limit).to_pylist()
    return [Run(**row) for row in rows]


def clear(connection: Connection, run: Run) -> None:
    """Make room for the run: an earlier one of the same site, horizon and as_of loses its results."""
    values = {"site_id": run.site_id, "horizon": run.horizon, "as_of_ms": run.as_of_ms}
    _QUERIES["supersede"].rows(connection, **values)
    _QUERIES["remove_results"].rows(connection, **values)


def store(connection: Connection, run: Run) -> None:
    """Enter the run, whose results are there by now."""
    with registered(connection, "new_run", pa.Table.from_pylist([asdict(run)])):
        _QUERIES["store"].rows(connection)


def prune(connection: Connection, run: Run, instants: int, request: str) -> None:
    """Keep the results of so many instants of the run's site and horizon, the newest ones, and of so many requests.

    `request` is the trigger of a run that a person asked for. A run that loses its results is no longer current; it can
    be calculated again.
    """
    values = {"site_id": run.site_id, "horizon": run.horizon, "run_id": run.run_id}
    for step in ("find_outdated", "supersede_outdated", "remove_outdated"):
        _QUERIES[step].rows(connection, **values, instants=instants, request=request)


def results(
    connection: Connection, site_id: str | None, as_of_ms: int | None, horizon: str, skus: Sequence[str] | None = None
) -> pa.Table:
    """Coefficients of a site or of all, of one `as_of` or of each site's newest, of some SKUs or of all.

    Sorted by site and SKU. The columns of `schemas.coefficients.COLUMNS`; `as_of` and `first_seen` are RFC 3339 texts,
    units and `normalized_lines` are decimals.
    """
    values = {"site_id": site_id, "as_of_ms": as_of_ms, "horizon": horizon, "skus": skus}
    return _QUERIES["results"].table(connection, **values)
