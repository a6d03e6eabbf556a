"""Deliveries as people look at them: how chunks stand by target, circuits, and chunks that failed. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batcher.delivery.failed_chunks import History
from console.insight.classes import heat_of

PROGRESSES = ("pending", "sending", "acknowledged", "failed", "dropped")
SHOWN_SKUS = 5

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A sink's delivery of a site and horizon: chunks by progress, with a shade each by its share of the row."""

    target: str
    cells: tuple[tuple[str, int, int], ...]  # progress, chunks, shade
    chunks: int


def heat_rows(sinks: Iterable[Row]) -> list[HeatRow]:
    """A row for each delivery that has chunks in hand, by target."""
    rows: list[HeatRow] = []
    for sink in sorted(sinks, key=target_of):
        counts: Mapping[str, int] = sink["chunks"]
        total = sum(counts.values())
        names = [*PROGRESSES, *sorted(set(counts).difference(PROGRESSES))]
        cells = tuple((name, counts.get(name, 0), heat_of(counts.get(name, 0), total)) for name in names)
        if total:
            rows.append(HeatRow(target_of(sink), cells, total))
    return rows


def target_of(sink: Row) -> str:
    """Sink, site and horizon in one line."""
    return f"{sink['sink']} {sink['site_id']} {sink['horizon']}"


def sink_rows(sinks: Iterable[Row]) -> list[dict[str, Any]]:
    """Sinks as rows of a table; `state` is in a word."""
    return [
        {
            **{name: sink[name] for name in ("sink", "kind", "site_id", "horizon", "backlog_skus", "waiting")},
            "state": state_of(sink),
            "circuits": ", ".join(f"{name}: {state}" for name, state in sorted(sink["circuits"].items())),
            "acknowledged_as_of": sink["acknowledged_as_of"],
            "acknowledged_at": sink["acknowledged_at"],
            "chunks": sum(sink["chunks"].values()),
        }
        for sink in sorted(sinks, key=target_of)
    ]


def state_of(sink: Row) -> str:
    """How a delivery stands in a word."""
    if sink["stopped"]:
        return "stopped"
    if sink["done"]:
        return "delivered"
    return "sending" if sink["in_hand"] else "waiting"


def chunk_rows(histories: Mapping[str, History]) -> list[dict[str, Any]]:
    """Chunks that failed once, as they stand now, the last change first."""
    newest = sorted((history[-1] for history in histories.values()), key=lambda chunk: chunk.at, reverse=True)
    return [
        {
            "chunk_id": chunk.chunk_id,
            "state": chunk.state.value,
            "sink": chunk.sink,
            "site_id": chunk.site_id,
            "horizon": chunk.horizon,
            "skus": len(chunk.skus),
            "first_skus": ", ".join(chunk.skus[:SHOWN_SKUS]) + ("…" if len(chunk.skus) > SHOWN_SKUS else ""),
            "retries": chunk.retries,
            "error": "" if chunk.error is None else f"{chunk.error.kind}: {chunk.error.message}",
            "at": chunk.at,
            "reason": chunk.reason,
            "run_id": chunk.run_id,
        }
        for chunk in newest
    ]
