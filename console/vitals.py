"""What two looks at a worker's metrics say of it: figures and rates, as `velocity top` shows them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client.parser import text_string_to_metric_families

Kind = Literal["rate", "sum", "max"]


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a worker: when, in seconds, its metrics, and why it is not ready; `metrics` is None if it is silent.

    A metric is a sum over all labels but `source`, by (name, source); a source is empty where there is none.
    """

    at_s: float
    metrics: Mapping[tuple[str, str], Sequence[float]] | None
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the view: a metric, and what of it is shown. A rate is per second; a source may have a line each."""

    title: str
    metric: str
    kind: Kind
    unit: str = ""
    per_source: bool = False


STREAM = (
    Figure("events", "velocity_stream_records_total", "rate", "/s", per_source=True),
    Figure("dead letters", "velocity_dead_letters_total", "rate", "/s"),
    Figure("corrections", "velocity_corrections_total", "rate", "/s"),
    Figure("in on-time batches", "velocity_batched_total", "rate", "/s"),
    Figure("event-time lag", "velocity_event_time_lag_seconds", "max", " s"),
    Figure("checkpoint age", "velocity_checkpoint_age_seconds", "max", " s"),
    Figure("open windows", "velocity_open_windows", "sum"),
    Figure("rows in memory", "velocity_buffered_rows", "sum"),
    Figure("partitions", "velocity_owned_partitions", "sum"),
    Figure("replaying", "velocity_replaying_partitions", "sum"),
)
BATCH = (
    Figure("new facts", "velocity_facts_loaded_total", "rate", "/s", per_source=True),
    Figure("known facts", "velocity_facts_duplicate_total", "rate", "/s"),
    Figure("batches", "velocity_batches_loaded_total", "rate", "/s"),
    Figure("calculations", "velocity_runs_total", "rate", "/s"),
    Figure("coefficients published", "velocity_coefficients_published_total", "rate", "/s"),
    Figure("batches waiting", "velocity_load_queue_depth", "sum"),
    Figure("concurrency used", "concurrency_utilization", "max"),
    Figure("sites due", "velocity_due_sites", "sum"),
    Figure("sites held", "velocity_held_sites", "sum"),
    Figure("manifests to catch up", "velocity_catch_up_remaining_offsets", "sum"),
)


def parse_metrics(text: str) -> dict[tuple[str, str], list[float]]:
    """Samples of a scrape by (name, source), one value per series.

    Raises:
        ValueError: it is no scrape.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault((sample.name, sample.labels.get("source", "")), []).append(sample.value)
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure as it is now; None where there is no value, or no rate yet."""

    title: str
    value: float | None
    unit: str


def readings(figures: Sequence[Figure], before: Look | None, now: Look) -> list[Reading]:
    """All figures of a worker; none if it is silent."""
    if now.metrics is None:
        return []
    found: list[Reading] = []
    for figure in figures:
        if not figure.per_source:
            found.append(Reading(figure.title, _value(figure, None, before, now), figure.unit))
            continue
        for source in sorted({source for name, source in now.metrics if name == figure.metric}):
            title = f"{figure.title}, {source}" if source else figure.title
            found.append(Reading(title, _value(figure, source, before, now), figure.unit))
    return found


def _value(figure: Figure, source: str | None, before: Look | None, now: Look) -> float | None:
    values = _series(now, figure.metric, source)
    if not values:
        return None
    match figure.kind:
        case "max":
            return max(values)
        case "sum":
            return sum(values)
        case "rate":
            return _rate(figure.metric, source, before, now)


def _rate(metric: str, source: str | None, before: Look | None, now: Look) -> float | None:
    """Growth per second. A counter that has fallen began anew: then it has grown by what it is."""
    if before is None or before.metrics is None or now.at_s <= before.at_s:
        return None
    then, total = sum(_series(before, metric, source)), sum(_series(now, metric, source))
    return (total - then if total >= then else total) / (now.at_s - before.at_s)


def _series(look: Look, metric: str, source: str | None) -> list[float]:
    """Values of all series of a metric, of one source or of any."""
    series = (look.metrics or {}).items()
    return [value for (name, its), values in series if name == metric and source in (None, its) for value in values]


def shown(reading: Reading) -> str:
    """A value as a person reads it: three digits say enough."""
    if reading.value is None:
        return "–"
    digits = 0 if abs(reading.value) >= 100 or reading.value == int(reading.value) else 2
    return f"{reading.value:,.{digits}f}{reading.unit}"
