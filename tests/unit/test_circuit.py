"""A circuit opens when an endpoint fails, and lets a few probes find out whether it is back."""

from typing import Any

import pytest

from batcher.delivery.circuit import Circuit, CircuitRules, Permit, State

RULES = CircuitRules(window=20, minimum_calls=10, failure_ratio=0.5, open_s=5, longest_open_s=60, probes=3)


def permitted(circuit: Circuit, now: float = 0.0) -> Permit:
    """A permit, which must be given."""
    permit = circuit.permit(now)
    assert permit is not None
    return permit


def fail(circuit: Circuit, times: int, now: float = 0.0) -> None:
    """So many calls, one after another, that fail."""
    for _ in range(times):
        circuit.failed(permitted(circuit, now), now)


def test_some_failures_among_successes_do_not_open_it() -> None:
    """One in ten fails: that is what retries are for."""
    circuit = Circuit(RULES)
    for number in range(1_000):
        permit = permitted(circuit)
        if number % 10:
            circuit.succeeded(permit)
        else:
            circuit.failed(permit, 0.0)
    assert circuit.state is State.CLOSED


def test_the_first_calls_alone_do_not_open_it() -> None:
    """Nine failures of nine are too few to judge by, the tenth is not."""
    circuit = Circuit(RULES)
    fail(circuit, 9)
    assert circuit.state is State.CLOSED
    fail(circuit, 1)
    assert circuit.state is State.OPEN
    assert circuit.permit(4.9) is None


def test_probes_are_bounded_and_all_of_them_must_succeed() -> None:
    """Half-open: three at once, the fourth waits; two successes are not enough."""
    circuit = Circuit(RULES)
    fail(circuit, 10)
    probes = [permitted(circuit, 5.0) for _ in range(3)]
    assert circuit.permit(5.0) is None
    circuit.succeeded(probes[0])
    circuit.succeeded(probes[1])
    assert (circuit.state, circuit.permit(6.0)) == (State.HALF_OPEN, None)
    circuit.succeeded(probes[2])
    assert circuit.state is State.CLOSED


def test_each_failed_probe_doubles_the_wait_up_to_a_bound() -> None:
    """5 s, then 10, 20, 40, 60, 60; and 5 again once it was closed."""
    circuit, now = Circuit(RULES), 0.0
    fail(circuit, 10)
    waits = []
    for _ in range(6):
        waits.append(circuit.wait_s(now))
        now += waits[-1]
        circuit.failed(permitted(circuit, now), now)
    assert waits == [5, 10, 20, 40, 60, 60]
    now += circuit.wait_s(now)
    for _ in range(RULES.probes):
        circuit.succeeded(permitted(circuit, now))
    fail(circuit, 10, now)
    assert circuit.wait_s(now) == 5


def test_a_call_from_before_the_opening_says_nothing_afterwards() -> None:
    """Its success does not close the circuit, its failure does not count against probes."""
    circuit = Circuit(RULES)
    slow = [permitted(circuit) for _ in range(2)]
    fail(circuit, 10)
    probes = [permitted(circuit, 5.0) for _ in range(3)]
    circuit.failed(slow[0], 5.0)
    circuit.succeeded(slow[1])
    assert circuit.state is State.HALF_OPEN
    for probe in probes:
        circuit.succeeded(probe)
    assert circuit.state is State.CLOSED


def test_a_cancelled_probe_leaves_its_place_to_another() -> None:
    """Otherwise a circuit whose probes were all cancelled would be half-open for ever."""
    circuit = Circuit(RULES)
    fail(circuit, 10)
    for _ in range(10):
        circuit.returned(permitted(circuit, 5.0))
    for _ in range(RULES.probes):
        circuit.succeeded(permitted(circuit, 5.0))
    assert circuit.state is State.CLOSED


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum_calls": 0},
        {"minimum_calls": 21},
        {"failure_ratio": 0.0},
        {"failure_ratio": 1.1},
        {"open_s": 0.0},
        {"open_s": 61.0},
        {"probes": 0},
    ],
)
def test_rules_under_which_it_could_not_work_are_refused(wrong: dict[str, Any]) -> None:
    """Each says what it would cost."""
    with pytest.raises(ValueError):
        CircuitRules(**wrong)
