"""Disorder is bounded, loses nothing, and follows from its seed."""

from collections import Counter

import pytest

from sandbox.disorder import DAY_MS, Disorder, disordered
from sandbox.feed import TimedLine

BOUND_MS = 600_000
EVENTS = [TimedLine(60_000 * minute, b"%d" % minute) for minute in range(20_000)]


def lateness(lines: tuple[bytes, ...]) -> list[int]:
    """For each line, how far its event time lies behind the newest one before it (milliseconds, 0 = in order)."""
    newest, behind = 0, []
    for line in lines:
        time_ms = 60_000 * int(line)
        behind.append(max(0, newest - time_ms))
        newest = max(newest, time_ms)
    return behind


@pytest.mark.parametrize("partitions", [1, 6])
def test_shuffling_stays_within_the_bound(partitions: int) -> None:
    """In the whole feed and in any partition of it, nothing comes later than the bound allows; much comes late."""
    arrived = disordered(EVENTS, Disorder(BOUND_MS), seed=1)
    for partition in range(partitions):
        behind = lateness(arrived.lines[partition::partitions])
        assert 0 < max(behind) <= BOUND_MS
    assert sorted(arrived.lines) == sorted(line for _, line in EVENTS)
    assert (arrived.late, arrived.duplicates, arrived.malformed) == (0, 0, 0)


def test_late_doubled_and_malformed_lines_are_as_many_as_said() -> None:
    """Every event is there once, the second copies are in addition, and each malformed line comes once."""
    malformed = [b"not json %d" % number for number in range(40)]
    arrived = disordered(EVENTS, Disorder(BOUND_MS, 0.01, 0.01), seed=2, malformed=malformed)
    copies = Counter(arrived.lines)
    assert sum(copies[line] - 1 for _, line in EVENTS) == arrived.duplicates
    assert all(copies[line] in (1, 2) for _, line in EVENTS)
    assert all(copies[line] == 1 for line in malformed)
    assert len(arrived.lines) == len(EVENTS) + arrived.duplicates + arrived.malformed
    for count in (arrived.late, arrived.duplicates):
        assert 120 <= count <= 280  # 1 % of 20,000 is 200; the seed decides


def test_late_means_days_late() -> None:
    """A late event comes at least a day behind what arrived before it, unless the feed has ended."""
    arrived = disordered(EVENTS, Disorder(BOUND_MS, late_fraction=0.01), seed=3)
    behind = lateness(arrived.lines)
    days_late = [delay for delay in behind if delay > BOUND_MS]
    assert arrived.late * 0.3 < len(days_late) <= arrived.late
    assert max(days_late) > DAY_MS


def test_the_seed_decides() -> None:
    """The same seed gives the same arrivals, another one others."""
    disorder = Disorder(BOUND_MS, 0.1, 0.1)
    assert disordered(EVENTS, disorder, seed=4) == disordered(EVENTS, disorder, seed=4)
    assert disordered(EVENTS, disorder, seed=4).lines != disordered(EVENTS, disorder, seed=5).lines


def test_an_empty_feed_is_only_the_malformed_lines() -> None:
    """Nothing to disorder is no error."""
    assert disordered([], Disorder(BOUND_MS, 1, 1), seed=6, malformed=[b"x"]).lines == (b"x",)


@pytest.mark.parametrize("nonsense", [(-1, 0, 0), (0, 1.5, 0), (0, 0, -0.1)])
def test_nonsense_is_refused(nonsense: tuple[int, float, float]) -> None:
    """A negative bound or a fraction outside [0, 1] would quietly mean something else."""
    with pytest.raises(ValueError, match=r"negative|outside"):
        Disorder(*nonsense)
