"""Calculates the velocity of a site's SKUs, once per set of inputs."""

import hashlib
import json
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from batcher import catalogue, demand, fact_sums, reference, runs, stability
from batcher.horizon import HORIZONS, Horizon
from batcher.queries import Connection, load_queries
from batcher.runs import Run
from batcher.stability import Former
from runtime.settings import VelocitySettings, milliseconds
from schemas.records import Window
from schemas.windows import SiteWindows

#: What the columns mean, as velocity.sql, demand.sql, stability.sql, units.sql and horizon.py have it; the next number
#: once one of them gives other results for the same facts. It is part of every `run_id`.
DEFINITION = 2

_QUERIES = load_queries("velocity")
_TOLERANCES = ("count_tolerance_a", "count_tolerance_b", "count_tolerance_c")


class Calculator:
    """Knows how sites cut their time and where classes begin. Wants a transaction around each call."""

    def __init__(self, windows: SiteWindows, rules: VelocitySettings) -> None:
        self._windows = windows
        self._rules = rules

    @property
    def provisional_ms(self) -> int:
        """A SKU that was first seen less than this before `as_of` is provisional."""
        return milliseconds(timedelta(days=self._rules.provisional_days))

    def calculate(
        self, connection: Connection, site_id: str, as_of_ms: int, horizon: str, trigger: str, now_ms: int
    ) -> Run:
        """The current run for the site's facts as they are, and its results; one that is there already is left alone.

        Raises:
            ValueError: there is no such horizon.
        """
        if horizon not in HORIZONS:
            raise ValueError(f"no horizon is called {horizon!r}; there are {', '.join(HORIZONS)}")
        run = self._plan(connection, site_id, as_of_ms, HORIZONS[horizon], trigger, now_ms)
        before = runs.find(connection, run.run_id)
        if before and before.current:
            return before
        runs.clear(connection, run)
        run = replace(run, skus=self._insert_results(connection, run))
        runs.store(connection, run)
        return run

    def prepare(self, connection: Connection, run: Run) -> dict[str, Any]:
        """Make the tables that the queries about a run's facts read; the queries' parameters."""
        zone, require_known = self._windows.zones.zone_of(run.site_id), self._rules.require_known_items
        demand.weigh(connection, run.site_id, run.start_ms, run.as_of_ms, zone, require_known_items=require_known)
        return self._values(run)

    def identify(self, connection: Connection, run: Run) -> str:
        """The id that the run would have if it were made now."""
        return self._plan(connection, run.site_id, run.as_of_ms, HORIZONS[run.horizon], run.trigger, 0).run_id

    def _insert_results(self, connection: Connection, run: Run) -> int:
        """How many they are."""
        values = self.prepare(connection, run)
        values |= _QUERIES["number_ranges"].table(connection).to_pylist()[0]
        blocks = range(HORIZONS[run.horizon].blocks + 1)
        sums = " UNION ALL ".join(_QUERIES["even_sums"].filled(block=str(block)).sql for block in blocks)
        passed = " + ".join(_QUERIES["passed_bound"].filled(block=str(block)).sql for block in blocks[1:])
        query = _QUERIES["calculate"].filled(even_sums=sums, block=f"({passed})")
        skus = query.value(connection, **values)
        demand.forget(connection)
        return skus

    def _plan(
        self, connection: Connection, site_id: str, as_of_ms: int, horizon: Horizon, trigger: str, now_ms: int
    ) -> Run:
        """The run as it would be, without its results."""
        start_ms = horizon.start(as_of_ms, self._windows.zones.zone_of(site_id))
        windows = self._windows_of(connection, site_id, start_ms, as_of_ms)
        complete = catalogue.complete_among(connection, site_id, windows)
        run = Run(
            run_id="",
            site_id=site_id,
            horizon=horizon.name,
            as_of_ms=as_of_ms,
            start_ms=start_ms,
            trigger=trigger,
            calculated_at_ms=now_ms,
            dataset_hash=_dataset_hash(connection, site_id, as_of_ms),
            reference_hash=reference.content_hash(connection),
            complete_windows=complete,
            windows=len(windows),
            skus=0,
            current=True,
            **asdict(self._former(connection, site_id, horizon.name, as_of_ms)),
        )
        return replace(run, run_id=self._run_id(run))

    def _former(self, connection: Connection, site_id: str, horizon: str, as_of_ms: int) -> Former:
        if not self._rules.has_memory:
            return Former()
        return stability.find_former(connection, site_id, horizon, as_of_ms)

    def _windows_of(self, connection: Connection, site_id: str, start_ms: int, end_ms: int) -> list[Window]:
        """The windows of the site that intersect `[start_ms, end_ms)`, from its first fact on. Held facts are facts."""
        first_ms = fact_sums.first_event_time(connection, site_id)
        if first_ms is None:
            return []
        return self._windows.grid_of(site_id).windows_between(max(start_ms, first_ms), end_ms)

    def _run_id(self, run: Run) -> str:
        """SHA-256 over all that decides the results, 64 hexadecimal digits."""
        zone = self._windows.zones.zone_of(run.site_id)
        inputs = {
            "definition": DEFINITION,
            "site_id": run.site_id,
            "horizon": run.horizon,
            "as_of_ms": run.as_of_ms,
            "start_ms": run.start_ms,
            "block_bounds_ms": HORIZONS[run.horizon].block_bounds(run.as_of_ms, zone),
            "dataset": run.dataset_hash,
            "complete_windows": run.complete_windows,
            "reference": run.reference_hash,
            "velocity": self._rules.model_dump(mode="json", exclude={"horizons"}),
            "months": demand.month_values(run.start_ms, run.as_of_ms, zone),
            "days_ahead_ms": demand.days_ahead(run.as_of_ms, zone),
            "former": run.former_run_id or run.recovered,
            "time_zone": zone.key,
            "windows": self._windows.spec.text,
        }
        return _sha256(inputs)

    def _values(self, run: Run) -> dict[str, Any]:
        horizon = HORIZONS[run.horizon]
        zone = self._windows.zones.zone_of(run.site_id)
        rules = self._rules
        return {
            "site_id": run.site_id,
            "horizon": run.horizon,
            "as_of_ms": run.as_of_ms,
            "start_ms": run.start_ms,
            "bounds_ms": [run.start_ms, *horizon.block_bounds(run.as_of_ms, zone)],
            "days_ahead_ms": demand.days_ahead(run.as_of_ms, zone),
            "days": horizon.days,
            "require_known_items": rules.require_known_items,
            "class_metric": rules.class_metric,
            **{name: str(getattr(rules, name)) for name in ("abc_a", "abc_b")},
            **{name: str(getattr(rules, name)) for name in _TOLERANCES},
            **stability.margins(rules),
            "class_runs": rules.class_runs,
            "former_run_id": run.former_run_id,
            "is_recovered": run.recovered is not None,
            "xyz_x": rules.xyz_x,
            "xyz_y": rules.xyz_y,
            "provisional_ms": self.provisional_ms,
            "coverage": run.coverage,
            "run_id": run.run_id,
        }


def _dataset_hash(connection: Connection, site_id: str, as_of_ms: int) -> str:
    """SHA-256 over counts and sums of hashes of the site's facts before `as_of_ms`: the same for the same facts."""
    return _sha256(fact_sums.dataset(connection, site_id, as_of_ms))


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
