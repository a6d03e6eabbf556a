"""When a sent record is judged, when a replay does more harm than good, and what may still be done to a letter."""

import pytest

from console.desk.acts import ActBook, Action, Leftovers, entry_of
from console.desk.repair import Unrepairable
from console.desk.replay_limits import failed_share, unrepairable_share
from console.desk.replay_order import ReplayOrder, Tally
from console.desk.verdicts import Verdicts
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass


def letter(offset: int, attempts: int = 2) -> DeadLetter:
    """A letter of partition 0 of topic `t`."""
    return DeadLetter(
        value=b"{}",
        headers=(),
        topic="t",
        partition=0,
        offset=offset,
        timestamp=0,
        key=None,
        error_class=ErrorClass.BAD_FORMAT,
        stage="validate",
        path="$.sku",
        message="odd",
        attempts=attempts,
        root="t/0/1",
        first_failed_at=0,
        pipeline_version="0",
    )


def test_a_record_is_judged_once_the_position_has_passed_it() -> None:
    """Offset O at position O + 1, no sooner; it failed if a letter of its place came by then, also before it was known.

    position 12:   10 11 | 12     of the records sent to 10, 11 and 12 the first two are judged; 11 has a letter
    """
    verdicts = Verdicts()
    verdicts.refused(letter(11))
    for offset in (12, 10, 11):
        verdicts.expect(f"t/0/{offset}")
    verdicts.expect("t/1/0")
    assert not verdicts.due({"t/0": 10})
    assert verdicts.due({"t/0": 12})
    verdicts.settle({"t/0": 12})
    assert (verdicts.judged, verdicts.failed, verdicts.outstanding) == (2, 1, 2)
    assert verdicts.failed_by_class == {"bad_format": 1}
    assert verdicts.sample == "t/0/11: bad_format at $.sku: odd"
    verdicts.refused(letter(12, attempts=1))  # of a record that nobody replayed
    verdicts.settle({"t/0": 13})
    assert (verdicts.judged, verdicts.failed, verdicts.partitions) == (3, 1, ["t/1"])


def test_shares_are_refused_above_what_is_allowed_and_not_before_they_say_something() -> None:
    """At a tenth it goes on, above it ends; of nine records no share is taken, unless they are all of a canary."""
    order = ReplayOrder(abort_above=0.1)
    verdicts = Verdicts(judged=10, failed=1)
    assert failed_share(verdicts, order) is None
    verdicts.failed = 2
    assert "2 of 10 failed again, more than the 10%" in str(failed_share(verdicts, order))
    assert failed_share(Verdicts(judged=9, failed=9), order) is None
    assert failed_share(Verdicts(judged=2, failed=1), order, fewest=1) is not None
    assert failed_share(Verdicts(), order, fewest=1) is None
    tally = Tally(repaired=8)
    for number in range(2):
        tally.cannot(f"t/0/{number}", Unrepairable(1, "there is no /sku", f"{number}"))
    said = unrepairable_share(tally, order)
    assert said is not None
    assert "2 of 10 cannot be repaired" in said
    assert "2 times: step 1: there is no /sku, such as t/0/0" in said
    tally.repaired = 30
    assert unrepairable_share(tally, order) is None


@pytest.mark.parametrize(
    ("done", "wanted", "include_parked", "allowed"),
    [
        (None, "replay", False, True),
        ("replay", "replay", True, False),
        ("replay", "discard", False, False),
        ("discard", "replay", True, False),
        ("park", "park", True, False),
        ("park", "replay", False, False),
        ("park", "replay", True, True),
        ("park", "discard", False, True),
    ],
)
def test_a_letter_is_acted_on_once_unless_it_is_parked(
    done: Action | None, wanted: Action, include_parked: bool, allowed: bool
) -> None:
    """Replayed and discarded are for good; a parked one may be discarded, or replayed by who says so."""
    book = ActBook()
    if done is not None:
        book.take(entry_of(letter(1), done, at=1, who="w", why="y", run="r"))
    assert (book.hinders("t/0/1", wanted, include_parked=include_parked) is None) is allowed


def test_what_was_left_is_told_by_the_command_that_did_it() -> None:
    """Thousands of letters that one command replayed are one row, with some of their ids."""
    book, left = ActBook(), Leftovers()
    for offset in range(9):
        book.take(entry_of(letter(offset), "replay", at=offset, who="w", why="", run="r" if offset else "other"))
        act = book.of(f"t/0/{offset}")
        assert act is not None
        left.add(f"t/0/{offset}", act)
    assert [(one.act.run, one.letters, len(one.samples)) for one in left] == [("other", 1, 1), ("r", 8, 5)]
    assert len(left) == 9
