"""The endpoints of a sink in the order in which they are preferred, each behind a circuit of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from batcher import metrics
from batcher.delivery.chunks import Chunk
from batcher.delivery.circuit import Circuit, CircuitRules, Permit, State
from batcher.delivery.retries import Failure, FailureKind

log = structlog.get_logger(__name__)


class Endpoint(Protocol):
    """Somewhere that takes chunks, each with its effect once."""

    @property
    def name(self) -> str:
        """What people call it; no secret is in it."""
        ...

    async def send(self, chunk: Chunk, body: bytes, attempt: int, traceparent: str | None) -> None:
        """Make the chunk take effect.

        Raises:
            AttemptFailed: it may have taken effect or not.
            Drift: the other side speaks another version of the agreement.
        """
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """An endpoint and its circuit."""

    endpoint: Endpoint
    circuit: Circuit


class Lines:
    """Which endpoint takes the next chunk. `news` is set whenever a circuit may have changed."""

    def __init__(self, sink: str, endpoints: Sequence[Endpoint], rules: CircuitRules) -> None:
        self.news = asyncio.Event()
        self._sink = sink
        self._lines = tuple(Line(endpoint, Circuit(rules)) for endpoint in endpoints)
        self._shown: dict[str, State] = {}
        self._show()

    def permit(self, now: float) -> tuple[Line, Permit] | None:
        """The first endpoint whose circuit permits a call now."""
        for line in self._lines:
            if permit := line.circuit.permit(now):
                self._show()
                return line, permit
        return None

    def wait_s(self, now: float) -> float:
        """For how long no call will be permitted, as far as is known; 0 while probes are under way."""
        return min(line.circuit.wait_s(now) for line in self._lines)

    def states(self) -> dict[str, State]:
        """Endpoint → state of its circuit."""
        return {line.endpoint.name: line.circuit.state for line in self._lines}

    def succeeded(self, line: Line, permit: Permit) -> None:
        """The call did what it was to do."""
        line.circuit.succeeded(permit)
        self._changed()

    def came_to_nothing(self, line: Line, permit: Permit) -> None:
        """The call was cancelled, or its outcome says nothing of the endpoint."""
        line.circuit.returned(permit)
        self._changed()

    def failed(self, line: Line, permit: Permit, failure: Failure, now: float) -> bool:
        """The call failed; returns whether that is about the chunk, and not an outage of the endpoint.

        What fails while the circuit is not closed is an outage; an answer of 500 is about the chunk, always.
        """
        match failure.kind:
            case FailureKind.TRANSIENT:
                line.circuit.failed(permit, now)
            case FailureKind.REFUSED:
                line.circuit.succeeded(permit)
            case FailureKind.THROTTLED:
                line.circuit.returned(permit)
        self._changed()
        outage = failure.kind is FailureKind.TRANSIENT and failure.status != 500
        return not outage or line.circuit.state is State.CLOSED

    async def close(self) -> None:
        """Give up all connections."""
        for line in self._lines:
            await line.endpoint.close()

    def _changed(self) -> None:
        self._show()
        self.news.set()

    def _show(self) -> None:
        """Gauges, and a line in the log where an outage begins or ends."""
        for name, state in self.states().items():
            before, self._shown[name] = self._shown.get(name), state
            if before is state:
                continue
            for one in State:
                metrics.CIRCUIT.labels(self._sink, name, one.value).set(one is state)
            if before is State.CLOSED:
                log.warning("endpoint is left alone but for probes", sink=self._sink, endpoint=name)
            elif before and state is State.CLOSED:
                log.info("endpoint is back", sink=self._sink, endpoint=name)
