"""Who is let in to compute, and when others may come again."""

import pytest

from batcher.admission import UNKNOWN_S, Admission, AdmissionRules


def test_those_beyond_the_queue_are_told_to_stay_away() -> None:
    """Two compute, one waits, the fourth does not even wait; once one has left there is room."""
    admission = Admission(AdmissionRules(at_once=2, waiting=1))
    assert [admission.arrive() for _ in range(3)] == [None, None, None]
    assert admission.arrive() is not None
    assert admission.inside == 3
    admission.depart(0.1)
    assert admission.arrive() is None


@pytest.mark.parametrize(
    ("durations", "retry_after_s"),
    [
        ((), 3),  # nothing is known: 1 s each
        ((4.0,) * 20, 12),
        ((100.0,) * 5 + (2.0,) * 20, 6),  # the old ones are forgotten
        ((0.001,) * 20, 1),  # never less than a second
    ],
)
def test_the_time_to_stay_away_is_that_of_those_who_wait(durations: tuple[float, ...], retry_after_s: int) -> None:
    """Five wait, and one more would: three rounds of two, each as long as the last computations took on average."""
    admission = Admission(AdmissionRules(at_once=2, waiting=5))
    for duration in durations:
        admission.arrive()
        admission.depart(duration)
    for _ in range(7):
        admission.arrive()
    assert UNKNOWN_S == 1.0
    assert admission.arrive() == retry_after_s


def test_who_gave_up_waiting_says_nothing_about_durations() -> None:
    """A deadline that passed in the queue is no computation."""
    admission = Admission(AdmissionRules(at_once=1, waiting=1))
    admission.arrive()
    admission.arrive()
    admission.depart(None)
    admission.depart(8.0)
    assert admission.retry_after_s == 8


def test_an_admission_that_lets_nobody_in_is_refused() -> None:
    """Rather than answering 429 for ever."""
    with pytest.raises(ValueError, match="at least one"):
        AdmissionRules(at_once=0, waiting=1)
