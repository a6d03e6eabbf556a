"""Whatever calls come back in whatever order, a circuit keeps its rules."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from batcher.delivery.circuit import Circuit, CircuitRules, Permit, State

RULES = CircuitRules(window=6, minimum_calls=4, failure_ratio=0.5, open_s=5, longest_open_s=17, probes=2)


class CircuitMachine(RuleBasedStateMachine):
    """An endpoint whose calls overlap, and a clock that only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit(RULES)
        self.now = 0.0
        self.calls: list[tuple[Permit, State]] = []
        self.opened_at: float | None = None

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_is_asked_for(self) -> None:
        waited = None if self.opened_at is None else self.now - self.opened_at
        before, wait_s = self.circuit.state, self.circuit.wait_s(self.now)
        permit = self.circuit.permit(self.now)
        if permit is None:
            assert before is not State.CLOSED
            assert wait_s > 0 or self.circuit.state is State.HALF_OPEN
            return
        assert wait_s == 0
        assert before is not State.OPEN or (waited is not None and waited >= RULES.open_s)
        self.calls.append((permit, self.circuit.state))

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), outcome=st.sampled_from(["succeeded", "failed", "failed", "returned"]))
    def a_call_comes_back(self, data: st.DataObject, outcome: str) -> None:
        permit, state = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        before, opened = self.circuit.state, self.circuit.opened
        match outcome:
            case "succeeded":
                self.circuit.succeeded(permit)
            case "failed":
                self.circuit.failed(permit, self.now)
            case _:
                self.circuit.returned(permit)
        if self.circuit.state is State.OPEN and before is not State.OPEN:
            assert (outcome, state) == ("failed", before)
            assert self.circuit.opened == opened + 1
            self.opened_at = self.now
        if self.circuit.state is State.CLOSED and before is not State.CLOSED:
            assert (outcome, state, before) == ("succeeded", State.HALF_OPEN, State.HALF_OPEN)
            assert self.circuit.opened == 0

    @invariant()
    def an_open_circuit_opens_to_probes_in_bounded_time(self) -> None:
        assert self.circuit.wait_s(self.now) <= RULES.longest_open_s

    @invariant()
    def no_more_probes_than_allowed_are_under_way(self) -> None:
        if self.circuit.state is State.HALF_OPEN:
            current = self.circuit.permit(self.now)
            if current:  # an era's permits are equal: those of earlier ones do not count
                assert sum(permit == current for permit, _ in self.calls) < RULES.probes
                self.circuit.returned(current)


TestCircuit = CircuitMachine.TestCase
