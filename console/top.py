"""What `velocity top` shows: two readings of a worker's metrics become rates, figures and rows. Pure.

A counter that went back was begun anew: its worker has restarted, and what it shows now came since.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from schemas.sources import Source

Stage = Literal["stream", "batch"]
Labels = frozenset[tuple[str, str]]
Samples = Mapping[tuple[str, Labels], float]

NOBODY = "does not answer"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a worker said at `at_s` of a clock that only goes forward; `error` is why it said nothing."""

    stage: Stage
    url: str
    at_s: float
    samples: Samples = field(default_factory=dict[tuple[str, Labels], float])
    ready: bool = False
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rates per source, and figures of the whole worker by what they are."""

    stage: Stage
    url: str
    state: str
    reasons: Mapping[str, str]
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    figures: dict[str, str]


#: Heading, metric, and whether it is a rate. Per source; other labels are added up.
_COLUMNS: dict[Stage, tuple[tuple[str, str, bool], ...]] = {
    "stream": (
        ("records/s", "velocity_stream_records_total", True),
        ("bytes/s", "velocity_stream_bytes_total", True),
        ("lag", "velocity_source_lag_records", False),
        ("on time/s", "velocity_batched_total", True),
        ("corrections/s", "velocity_corrections_total", True),
        ("dead letters/s", "velocity_dead_letters_total", True),
    ),
    "batch": (
        ("facts/s", "velocity_facts_loaded_total", True),
        ("known/s", "velocity_facts_duplicate_total", True),
        ("conflicts/s", "velocity_facts_conflicting_total", True),
        ("batches/s", "velocity_batches_loaded_total", True),
    ),
}
_FIGURES: dict[Stage, tuple[tuple[str, str, bool], ...]] = {
    "stream": (
        ("partitions", "velocity_owned_partitions", False),
        ("open windows", "velocity_open_windows", False),
        ("rows in memory", "velocity_buffered_rows", False),
        ("checkpoint age s", "velocity_checkpoint_age_seconds", False),
        ("event-time lag s", "velocity_event_time_lag_seconds", False),
        ("checkpoints/s", "velocity_checkpoints_total", True),
        ("offsets lost", "velocity_gap_offsets_total", False),
    ),
    "batch": (
        ("partitions", "velocity_batch_owned_partitions", False),
        ("offsets to catch up", "velocity_catch_up_remaining_offsets", False),
        ("held sites", "velocity_held_sites", False),
        ("held batches", "velocity_held_batches", False),
        ("held facts", "velocity_held_facts", False),
        ("sites due", "velocity_due_sites", False),
        ("runs", "velocity_runs_total", False),
        ("published", "velocity_coefficients_published_total", False),
        ("published/s", "velocity_coefficients_published_total", True),
        ("outbox", "velocity_outbox_records", False),
        ("queued batches", "velocity_load_queue_depth", False),
        ("readers at most", "velocity_read_concurrency_limit", False),
        ("loop lag s", "velocity_loop_lag_seconds", False),
        ("memory bytes", "velocity_resident_memory_bytes", False),
        ("of at most", "velocity_memory_limit_bytes", False),
    ),
}
_PRESSURE = "velocity_backpressure_reasons"
_MOVED_BY = "velocity_batch_concurrency_reason"


def total(samples: Samples, metric: str, **labels: str) -> float | None:
    """The sum of a metric's samples that have these labels; None if it has none at all."""
    wanted = set(labels.items())
    found = [value for (name, of), value in samples.items() if name == metric and wanted <= of]
    return sum(found) if found else None


def rate(before: Reading | None, now: Reading, metric: str, **labels: str) -> float | None:
    """By how much a metric rose per second, series by series; None without an earlier reading."""
    if before is None or before.error or now.error or now.at_s <= before.at_s:
        return None
    wanted, risen = set(labels.items()), 0.0
    for key, value in now.samples.items():
        if key[0] == metric and wanted <= key[1]:
            earlier = before.samples.get(key, 0.0)
            risen += value if value < earlier else value - earlier
    return risen / (now.at_s - before.at_s)


def figures(before: Reading | None, now: Reading) -> dict[str, float | None]:
    """Figures of the whole worker by what they are."""
    return {name: _value(before, now, metric, is_rate) for name, metric, is_rate in _FIGURES[now.stage]}


def by_source(before: Reading | None, now: Reading) -> dict[str, dict[str, float | None]]:
    """Source → figures of it."""
    return {
        source.value: {
            name: _value(before, now, metric, is_rate, source=source.value)
            for name, metric, is_rate in _COLUMNS[now.stage]
        }
        for source in Source
    }


def _value(before: Reading | None, now: Reading, metric: str, is_rate: bool, **labels: str) -> float | None:
    return rate(before, now, metric, **labels) if is_rate else total(now.samples, metric, **labels)


def backpressure(now: Reading) -> str:
    """Of which kinds the reasons are for which a stream worker takes no fetch; `none` without one."""
    pressing = [dict(of)["kind"] for (name, of), value in now.samples.items() if name == _PRESSURE and value]
    return ", ".join(sorted(pressing)) or "none"


def readers_moved_by(now: Reading) -> str:
    """Why a batch worker's limit of readers moved last; `nothing` if it has not."""
    moved_by = [dict(of)["reason"] for (name, of), value in now.samples.items() if name == _MOVED_BY and value]
    return ", ".join(sorted(moved_by)) or "nothing"


def table(before: Reading | None, now: Reading) -> Table:
    """A worker as a person reads it."""
    if now.error is not None:
        return Table(now.stage, now.url, f"{NOBODY}: {now.error}", {}, (), [], {})
    columns = ("source", *(name for name, _, _ in _COLUMNS[now.stage]))
    rows = [(source, *map(shown, values.values())) for source, values in by_source(before, now).items()]
    whole = {name: shown(value) for name, value in figures(before, now).items()}
    if now.stage == "stream":
        whole["backpressure"] = backpressure(now)
    else:
        whole["readers moved by"] = readers_moved_by(now)
    return Table(now.stage, now.url, "ready" if now.ready else "NOT ready", now.reasons, columns, rows, whole)


def as_json(before: Reading | None, now: Reading) -> dict[str, object]:
    """A worker for machines; figures that are not known are null."""
    said: dict[str, object] = {"stage": now.stage, "url": now.url, "answers": now.error is None}
    if now.error is not None:
        return {**said, "error": now.error}
    said |= {"ready": now.ready, "reasons": dict(now.reasons), "sources": by_source(before, now)}
    if now.stage == "stream":
        said["backpressure"] = backpressure(now)
    else:
        said["readers_moved_by"] = readers_moved_by(now)
    return said | {"figures": figures(before, now)}


def shown(value: float | None) -> str:
    """A figure in few characters: whole above ten, `-` while it is not known."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.1f}"
