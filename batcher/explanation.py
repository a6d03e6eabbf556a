"""Why a SKU has the coefficient that it has: every input, the rows that weigh it, and the bounds of its class."""

from typing import Any

from batcher import runs
from batcher.queries import Connection, load_queries
from batcher.runs import Run
from batcher.stability import margins
from batcher.velocity import Calculator
from runtime.settings import VelocitySettings
from schemas.instants import rfc3339

_QUERIES = load_queries("explanation")
#: Columns of which it is said what they were in the run before.
_COMPARED = (
    *("order_lines", "normalized_lines", "forward_lines", "velocity_coefficient", "net_units"),
    *("abc_class", "stable_class", "xyz_class", "inventory_accuracy", "count_accuracy", "coverage"),
)

Explanation = dict[str, Any]


class Explainer:
    """Reads what a run read. Times in explanations are RFC 3339, units base units, and sums decimals."""

    def __init__(self, calculator: Calculator, rules: VelocitySettings) -> None:
        self._calculator, self._rules = calculator, rules

    def explain(self, connection: Connection, run: Run, sku: str) -> Explanation | None:
        """The parts of one row; None if the run has none for the SKU. Wants a transaction around it.

        The facts and reference rows are those of now. `up_to_date` says that they are what the run was made of: only
        then the parts of `factors` add up to `normalized_lines` for certain.
        """
        found = runs.results(connection, run.site_id, run.as_of_ms, run.horizon, [sku]).to_pylist()
        if not found or found[0]["run_id"] != run.run_id:
            return None
        values = self._calculator.prepare(connection, run) | {"sku": sku}
        answers = {
            name: _QUERIES[name].table(connection, **values).to_pylist()
            for name in ("conversions", "factors", "seasons_ahead", "origins")
        }
        conversions, origins = answers["conversions"], answers["origins"]
        return {
            "site_id": run.site_id,
            "sku": sku,
            "horizon": run.horizon,
            "start": rfc3339(run.start_ms),
            "as_of": rfc3339(run.as_of_ms),
            "days": values["days"],
            "up_to_date": self._calculator.identify(connection, run) == run.run_id,
            "result": found[0],
            "conversions": [row for row in conversions if row["base_units"] is not None],
            "held": [row for row in conversions if row["base_units"] is None],
            "factors": answers["factors"],
            "seasons_ahead": answers["seasons_ahead"],
            "corrections": sum(row["facts"] for row in origins if row["kind"] == "correction"),
            "batches": [_described(row) for row in origins],
            "standing": self._standing(connection, run, sku),
            "classes": self._classes(connection, run, sku),
            "previous": self._previous(connection, run, found[0], values),
        }

    def _standing(self, connection: Connection, run: Run, sku: str) -> dict[str, Any]:
        """Rank, cumulative share before, and how much demand lies between the SKU and the bounds of classes.

        A `distance` below 0 is missing to the class, one above is what the SKU may lose before it leaves it.
        """
        rules = self._rules
        asked = {"run_id": run.run_id, "sku": sku, "class_metric": rules.class_metric}
        (standing,) = _QUERIES["standing"].table(connection, **asked).to_pylist()
        site_demand = standing["site_demand"]
        share = float(standing["demand_before"] / site_demand) if site_demand else None
        thresholds: list[dict[str, Any]] = []
        for name, bound in (("A", rules.abc_a), ("B", rules.abc_b)):
            needed = _QUERIES["threshold"].value(connection, **asked, share=str(bound))
            distance = float(standing["demand"]) - needed
            thresholds.append({"class": name, "share": bound, "demand": needed, "distance": distance})
        return {"metric": rules.class_metric, **standing, "share_before": share, "thresholds": thresholds}

    def _classes(self, connection: Connection, run: Run, sku: str) -> dict[str, Any]:
        """Both classes, and why they differ where they do."""
        ((raw, stable, pending),) = _QUERIES["classes"].rows(connection, run_id=run.run_id, sku=sku)
        return {
            "abc_class": raw,
            "stable_class": stable,
            "pending_runs": pending,
            "class_runs": self._rules.class_runs,
            "class_margin": self._rules.class_margin,
            "reason": self._reason(raw, stable, pending),
        }

    def _reason(self, raw: str, stable: str, pending: int) -> str:
        if raw == stable and not self._rules.has_memory:
            return "the stable class follows at once: velocity.class_margin and velocity.class_runs are not set"
        if raw == stable:
            return "the stable class is the class of the moment"
        bounds = margins(self._rules)
        crossed, verb = ("a", "join") if raw == "A" and stable == "B" else ("b", "leave")
        if stable in "AC":
            crossed, verb = ("a", "leave") if stable == "A" else ("b", "join")
        side = "reaches" if verb == "leave" else "falls below"
        share = f"{float(bounds[f'{verb}_{crossed}']):.4g}"
        left = self._rules.class_runs - pending
        return (
            f"{raw} for {pending} of {self._rules.class_runs} runs in a row and within the margin: the stable class "
            f"follows once the share before {side} {share}, or after {left} more such {'run' if left == 1 else 'runs'}"
        )

    def _previous(
        self, connection: Connection, run: Run, row: dict[str, Any], values: dict[str, Any]
    ) -> dict[str, Any] | None:
        """What has changed since the current run of the latest instant before; None without one."""
        former = runs.find_newest(connection, run.site_id, run.horizon, run.as_of_ms - 1)
        if former is None:
            return None
        rows = runs.results(connection, former.site_id, former.as_of_ms, former.horizon, [row["sku"]]).to_pylist()
        old = rows[0] if rows else {}
        instants = {"former_as_of_ms": former.as_of_ms, "former_start_ms": former.start_ms}
        (moved,) = _QUERIES["moved"].table(connection, **values, **instants).to_pylist()
        changed = [name for name in _COMPARED if row[name] != old.get(name)]
        lines = row["order_lines"] - old.get("order_lines", 0)
        return {
            "run_id": former.run_id,
            "as_of": rfc3339(former.as_of_ms),
            "changes": {name: {"before": old.get(name), "after": row[name]} for name in changed},
            "lines_entered": moved["entered"],
            "lines_left": moved["left_behind"],
            "lines_corrected": lines - moved["entered"] + moved["left_behind"],
            "reference_changed": former.reference_hash != run.reference_hash,
        }


def _described(origin: dict[str, Any]) -> dict[str, Any]:
    instants = {f"{name}_event": rfc3339(origin.pop(f"{name}_event_ms")) for name in ("first", "last")}
    return origin | instants
