"""The number of concurrent readers grows one by one while files queue, and halves at the first sign of trouble."""

import pytest

from batcher.regulation import Bounds, Regulator, Strain

BOUNDS = Bounds(max_concurrency=12, max_loop_lag_s=0.25, max_memory_bytes=1000)


def strain(*, lag: float = 0.0, memory: int = 1, queued: int = 0) -> Strain:
    """Nothing to worry about, except what is named."""
    return Strain(lag, memory, queued)


def grown(to: int) -> Regulator:
    """A regulator that has come to a limit because files queued."""
    regulator = Regulator(BOUNDS)
    while regulator.limit < to:
        regulator.adjust(strain(queued=1000))
    return regulator


def test_the_limit_grows_by_one_while_more_files_wait_than_are_read() -> None:
    """And no further than allowed."""
    regulator = Regulator(BOUNDS)
    assert [regulator.adjust(strain(queued=100)) for _ in range(12)] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 12]


def test_a_short_queue_does_not_raise_it() -> None:
    """As many waiting as there are readers is enough."""
    regulator = Regulator(BOUNDS)
    assert regulator.adjust(strain(queued=2)) == 2
    assert regulator.adjust(strain(queued=3)) == 3


@pytest.mark.parametrize("trouble", [strain(lag=0.26, queued=100), strain(memory=1001, queued=100)])
def test_a_lagging_loop_or_short_memory_halves_it_down_to_one(trouble: Strain) -> None:
    """However long the queue is."""
    regulator = grown(12)
    assert [regulator.adjust(trouble) for _ in range(5)] == [6, 3, 1, 1, 1]


def test_it_recovers_by_itself() -> None:
    """One by one, once the trouble is over."""
    regulator = grown(8)
    regulator.adjust(strain(lag=1.0))
    assert [regulator.adjust(strain(queued=100)) for _ in range(3)] == [5, 6, 7]


def test_just_at_the_threshold_is_no_trouble() -> None:
    """Only passing it is."""
    assert grown(4).adjust(strain(lag=0.25, memory=1000)) == 4


def test_a_single_reader_is_the_least_and_may_be_the_most() -> None:
    """`max_concurrency` 1 reads one file at a time."""
    regulator = Regulator(Bounds(1, 0.25, 1000))
    assert [regulator.adjust(strain(queued=9)), regulator.adjust(strain(lag=9.0))] == [1, 1]


@pytest.mark.parametrize("bounds", [(0, 0.25, 1000), (1, 0.0, 1000), (1, 0.25, 0)])
def test_bounds_that_leave_nothing_are_refused(bounds: tuple[int, float, int]) -> None:
    """They would stop the worker without a word."""
    with pytest.raises(ValueError, match="at least one reader"):
        Bounds(*bounds)
