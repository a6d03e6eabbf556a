"""A circuit breaker for one endpoint. Pure; `now` is seconds of any clock that only goes forward.

             the failures' share of the last calls reaches the limit
        ┌────────────────────────────────────────────────────────────┐
        │                                                            ▼
     CLOSED ◄──── every probe succeeded ──── HALF-OPEN ◄─ time ─── OPEN
                                                 │                   ▲
                                                 └── a probe failed ─┘

1. While it is closed, every call is permitted. Of the last `window` calls the failures are counted; once they are at
   least `minimum_calls` and the failures' share reaches `failure_ratio`, the circuit opens.
2. While it is open, no call is permitted. It stays so for `open_s`, twice as long after each probe that failed, up to
   `longest_open_s`.
3. Then it is half-open: `probes` calls are permitted, no more, at the same time or one after another. Once all of them
   have succeeded it is closed, with nothing counted; the first that fails opens it again.
4. A result counts only in the state that the call was permitted in: a call that has been under way since before the
   circuit opened says nothing about the endpoint of now.
5. A call whose outcome says nothing about the endpoint (it was cancelled, or told to come back later) gives its permit
   back; a probe's may then be used by another.

The terms are those of Nygard, Release It!, and of resilience4j's count-based sliding window.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Whether calls are permitted: all, none, or a few probes."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """When a circuit opens and how it closes; times in seconds."""

    window: int = 20
    minimum_calls: int = 10
    failure_ratio: float = 0.5
    open_s: float = 5.0
    longest_open_s: float = 60.0
    probes: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.minimum_calls <= self.window:
            raise ValueError("minimum_calls must be from 1 to window, or the circuit could never open")
        if not 0 < self.failure_ratio <= 1:
            raise ValueError("failure_ratio must be above 0, or every call would open the circuit, and at most 1")
        if not 0 < self.open_s <= self.longest_open_s:
            raise ValueError("open_s must be above 0 and at most longest_open_s")
        if self.probes < 1:
            raise ValueError("without a probe the circuit would stay open for ever")


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one call; `era` is the state that it was given in."""

    era: int


class Circuit:
    """The breaker of one endpoint. Every permit that is taken comes back by one of the three methods after it."""

    def __init__(self, rules: CircuitRules) -> None:
        self._rules = rules
        self._state = State.CLOSED
        self._era = 0  # counts changes of state
        self._failures: deque[bool] = deque(maxlen=rules.window)
        self._reopened = 0  # how many times in a row probes failed
        self._open_until_s = 0.0  # nothing passes before that, while open
        self._probing = 0
        self._probed = 0

    @property
    def state(self) -> State:
        """The state as of the last call of a method: an open circuit becomes half-open when somebody asks."""
        return self._state

    @property
    def opened(self) -> int:
        """How often it has opened since it was last closed; 0 if it is closed."""
        return 0 if self._state is State.CLOSED else 1 + self._reopened

    def permit(self, now: float) -> Permit | None:
        """Leave for a call that begins now, or None."""
        if self._state is State.OPEN and now >= self._open_until_s:
            self._change(State.HALF_OPEN)
        if self._state is State.OPEN:
            return None
        if self._state is State.HALF_OPEN:
            if self._probing + self._probed >= self._rules.probes:
                return None
            self._probing += 1
        return Permit(self._era)

    def wait_s(self, now: float) -> float:
        """For how long no call will be permitted, as far as is known now: 0 while probes are under way."""
        return max(0.0, self._open_until_s - now) if self._state is State.OPEN else 0.0

    def succeeded(self, permit: Permit) -> None:
        """The endpoint did what it was asked, or said why the caller was wrong to ask."""
        if permit.era != self._era:
            return
        if self._state is State.HALF_OPEN:
            self._probing -= 1
            self._probed += 1
            if self._probed == self._rules.probes:
                self._reopened = 0
                self._change(State.CLOSED)
        else:
            self._failures.append(False)

    def failed(self, permit: Permit, now: float) -> None:
        """The endpoint did not answer, or could not do what it was asked."""
        if permit.era != self._era:
            return
        if self._state is State.HALF_OPEN:
            self._reopened += 1
            self._open(now)
        else:
            self._failures.append(True)
            if self._too_many_failures():
                self._open(now)

    def returned(self, permit: Permit) -> None:
        """The call came to nothing that would say how the endpoint fares."""
        if permit.era == self._era and self._state is State.HALF_OPEN:
            self._probing -= 1

    def _too_many_failures(self) -> bool:
        calls = len(self._failures)
        return calls >= self._rules.minimum_calls and sum(self._failures) >= self._rules.failure_ratio * calls

    def _open(self, now: float) -> None:
        self._change(State.OPEN)
        doublings = min(self._reopened, 32)  # of a float; longest_open_s comes long before
        self._open_until_s = now + min(self._rules.open_s * 2**doublings, self._rules.longest_open_s)

    def _change(self, state: State) -> None:
        self._state = state
        self._era += 1
        self._failures.clear()
        self._probing = self._probed = 0
