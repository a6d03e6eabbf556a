"""A batch that cannot be loaded is tried again for ever, less and less often, and its site says why."""

from batcher.holds import LONGEST_BACKOFF_S, Holds


def test_attempts_come_less_and_less_often_but_never_end() -> None:
    """Twice the time each, up to half a minute."""
    holds, now, waits = Holds[str](backoff_s=1.0), 0.0, list[float]()
    for _ in range(8):
        hold = holds.hold("b", "A", "missing", now)
        waits.append(hold.retry_at - now)
        now = hold.retry_at
        assert holds.due(now - 0.1) == []
        assert holds.due(now) == ["b"]
    assert waits == [1, 2, 4, 8, 16, LONGEST_BACKOFF_S, LONGEST_BACKOFF_S, LONGEST_BACKOFF_S]
    assert hold.attempts == 8


def test_a_batch_that_is_being_tried_is_not_due_again() -> None:
    """It comes once, until the attempt has failed or succeeded."""
    holds = Holds[str](1.0)
    holds.hold("b", "A", "missing", 0.0)
    assert [holds.due(5.0), holds.due(6.0)] == [["b"], []]
    holds.hold("b", "A", "still missing", 6.0)
    assert holds.due(8.0) == ["b"]


def test_a_site_is_held_until_its_last_batch_is_loaded() -> None:
    """The reason names one batch, the first."""
    holds = Holds[str](1.0)
    holds.hold("b1", "A", "b1 is missing", 0.0)
    holds.hold("b2", "A", "b2 is damaged", 0.0)
    holds.hold("b3", "B", "b3 is missing", 0.0)
    assert holds.reason("A") == "site A is held: b1 is missing (and others)"
    assert (holds.sites, len(holds)) == ({"A", "B"}, 3)
    assert holds.release("b1")
    assert holds.reason("A") == "site A is held: b2 is damaged"
    assert holds.release("b2")
    assert holds.reason("A") is None
    assert not holds.release("b2"), "it was not on hold any more"


def test_what_is_no_longer_ours_is_let_go_of() -> None:
    """Its new owner will find the same file."""
    holds = Holds[str](1.0)
    for batch, site in (("x1", "A"), ("x2", "A"), ("y1", "B")):
        holds.hold(batch, site, "missing", 0.0)
    assert holds.forget(lambda batch: batch.startswith("x")) == {"A"}
    assert holds.sites == {"B"}
    assert holds.due(9.0) == ["y1"]
