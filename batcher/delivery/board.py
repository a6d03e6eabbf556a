"""How a delivery stands, in the words of the API."""

from typing import Any

from batcher.delivery.chunks import Progress, Target
from batcher.delivery.circuit import State
from batcher.delivery.ledger import Published
from batcher.delivery.sink_desk import SinkDesk
from batcher.delivery.standing import Overview, Standing
from schemas.instants import rfc3339


def row_of(desk: SinkDesk, target: Target, published: Published, overview: Overview) -> dict[str, Any]:
    """One row of `GET /api/v1/sinks`. `waiting` says why a delivery does not go on; null where it does, or is done."""
    standing = overview.standings.get(target, Standing())
    known = standing.acknowledged
    done = known is not None and known.run_id == published.run_id and not standing.chunks
    requested = target in desk.requests
    return {
        "sink": desk.name,
        "kind": desk.sink.kind,
        "site_id": target.site_id,
        "horizon": target.horizon,
        "published_run": published.run_id,
        "acknowledged_run": known and known.run_id,
        "acknowledged_as_of": known and rfc3339(known.as_of_ms),
        "acknowledged_at": known and rfc3339(known.at_ms),
        "done": done and not requested,
        "requested": requested,
        "in_hand": desk.in_hand == target,
        "chunks": {progress.value: standing.chunks.get(progress, 0) for progress in Progress},
        "backlog_skus": standing.backlog_skus,
        "circuits": {name: state.value for name, state in desk.lines.states().items()},
        "waiting": None if done and not requested else _why_waiting(desk, target, standing, overview),
        "stopped": overview.stopped.get(desk.name),
    }


def _why_waiting(desk: SinkDesk, target: Target, standing: Standing, overview: Overview) -> str | None:
    if reason := overview.stopped.get(desk.name):
        return f"the sink is stopped: {reason}"
    if desk.in_hand == target:
        states = desk.lines.states().values()
        return None if State.CLOSED in states else "every circuit is open: endpoints do not answer as they should"
    if desk.in_hand:
        return f"{desk.in_hand.site_id} {desk.in_hand.horizon} comes first"
    if standing.chunks.get(Progress.FAILED) and not standing.has_unsettled:
        return f"{standing.chunks[Progress.FAILED]} chunks failed: {standing.error}"
    if not desk.is_open(target.site_id):
        return "closed by the schedule"
    return None
