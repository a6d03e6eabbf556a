"""However many reasons come together, a site is calculated once, for its latest complete window."""

from batcher.triggers import Cause, Due, Triggers

PATIENCE = 10_000


def quiet(_: str) -> bool:
    """Nothing is being loaded."""
    return False


def busy(_: str) -> bool:
    """Every site is being loaded."""
    return True


def made(as_of_ms: int = 100) -> Triggers:
    """Site A was calculated for `as_of_ms`, and nothing is due."""
    triggers = Triggers(PATIENCE)
    triggers.windows_complete("A", as_of_ms, 0)
    assert triggers.take(quiet, (), 0) == Due("A", as_of_ms, (Cause.WINDOWS,))
    triggers.calculated("A", as_of_ms)
    return triggers


# -- what makes a site due ---------------------------------------------------------------------------------------------


def test_a_thousand_complete_windows_are_one_calculation_of_the_latest() -> None:
    """Catching up does not calculate every window's end."""
    triggers = Triggers(PATIENCE)
    for end in range(1, 1001):
        triggers.windows_complete("A", end, now=end)
    assert triggers.take(quiet, (), 1001) == Due("A", 1000, (Cause.WINDOWS,))
    assert triggers.take(quiet, (), 1002) is None


def test_windows_that_were_complete_already_are_no_reason() -> None:
    """Nor are those before them."""
    triggers = made(100)
    triggers.windows_complete("A", 100, 1)
    triggers.windows_complete("A", 90, 2)
    assert triggers.take(quiet, (), 3) is None


def test_windows_before_those_known_to_be_complete_are_a_reason() -> None:
    """The coverage of the last calculation has grown; the instant stays the latest complete one."""
    triggers = made(100)
    triggers.earlier_complete("A", 1)
    assert triggers.take(quiet, (), 2) == Due("A", 100, (Cause.WINDOWS,))


def test_a_site_is_yet_to_be_calculated_until_it_was_once_since_it_came() -> None:
    """Being due again does not count, nor does a site without complete windows."""
    triggers = Triggers(PATIENCE)
    triggers.begin("A", 100, 0)
    triggers.begin("B", None, 0)
    assert triggers.uncalculated_sites == {"A"}
    triggers.calculated("A", 100)
    triggers.facts_changed("A", 5, 1)
    assert triggers.due_sites == {"A"}
    assert triggers.uncalculated_sites == set()
    triggers.begin("A", 100, 2)
    assert triggers.uncalculated_sites == {"A"}


def test_facts_before_the_last_instant_are_a_reason_and_later_ones_are_not() -> None:
    """
    calculated for 100: a fact at 99 was in its horizon, one at 100 was not (`[start, as_of)`)
    """
    triggers = made(100)
    triggers.facts_changed("A", 100, 1)
    assert triggers.take(quiet, (), 2) is None
    triggers.facts_changed("A", 99, 3)
    assert triggers.take(quiet, (), 4) == Due("A", 100, (Cause.FACTS,))


def test_a_site_that_was_never_calculated_waits_for_its_first_window() -> None:
    """Facts and reference data alone do not say up to when there is anything to calculate."""
    triggers = Triggers(PATIENCE)
    triggers.facts_changed("A", 0, 1)
    triggers.reference_changed("A", 1)
    assert triggers.take(quiet, (), PATIENCE * 2) is None


def test_reference_data_is_a_reason_once_a_site_was_calculated() -> None:
    """Units and factors change what the same facts amount to."""
    triggers = made(100)
    triggers.reference_changed("A", 1)
    assert triggers.take(quiet, (), 2) == Due("A", 100, (Cause.REFERENCE,))


def test_reasons_add_up_in_their_order_and_the_instant_is_the_latest() -> None:
    """One calculation answers them all."""
    triggers = made(100)
    triggers.facts_changed("A", 5, 1)
    triggers.windows_complete("A", 200, 2)
    triggers.facts_changed("A", 6, 3)
    assert triggers.take(quiet, (), 4) == Due("A", 200, (Cause.FACTS, Cause.WINDOWS))


def test_a_site_is_due_once_after_a_start() -> None:
    """What its last owner did not finish is calculated; what it did changes nothing."""
    triggers = Triggers(PATIENCE)
    triggers.begin("A", complete_ms=100, now=0)
    triggers.begin("B", complete_ms=None, now=0)
    assert triggers.take(quiet, (), 1) == Due("A", 100, (Cause.START,))
    assert triggers.take(quiet, (), 1) is None


def test_a_site_that_is_no_longer_ours_is_not_due() -> None:
    """Its new owner sees to it."""
    triggers = made(100)
    triggers.reference_changed("A", 1)
    triggers.forget("A")
    assert triggers.take(quiet, (), 2) is None


# -- when --------------------------------------------------------------------------------------------------------------


def test_a_site_that_is_being_loaded_waits() -> None:
    """What is loaded next would make the calculation stale."""
    triggers = made(100)
    triggers.facts_changed("A", 5, now=1000)
    assert triggers.take(busy, (), 1001) is None
    assert triggers.take(quiet, (), 1002) is not None


def test_it_does_not_wait_for_ever() -> None:
    """Under a steady stream of batches it is calculated once its patience is over, counted from the first reason."""
    triggers = made(100)
    triggers.facts_changed("A", 5, now=1000)
    triggers.facts_changed("A", 6, now=9000)
    assert triggers.take(busy, (), 1000 + PATIENCE - 1) is None
    assert triggers.take(busy, (), 1000 + PATIENCE) is not None


def test_a_site_with_a_batch_on_hold_waits_however_long_that_takes() -> None:
    """Its data is not all there; the others go on."""
    triggers = made(100)
    triggers.facts_changed("A", 5, now=1000)
    triggers.windows_complete("B", 50, now=2000)
    assert triggers.take(quiet, {"A"}, 1000 + 9 * PATIENCE) == Due("B", 50, (Cause.WINDOWS,))
    assert triggers.take(quiet, {"A"}, 1000 + 9 * PATIENCE) is None
    assert triggers.due_sites == {"A"}
    assert triggers.take(quiet, (), 1001 + 9 * PATIENCE) == Due("A", 100, (Cause.FACTS,))


def test_a_site_that_is_being_loaded_does_not_hold_up_another() -> None:
    """B is due later, but A is busy."""
    triggers = Triggers(PATIENCE)
    triggers.windows_complete("A", 100, 1)
    triggers.windows_complete("B", 100, 2)
    assert triggers.take(lambda site: site == "A", (), 3) == Due("B", 100, (Cause.WINDOWS,))


def test_sites_take_turns() -> None:
    """A site that is always due does not starve another: who has been due longest comes first."""
    triggers = Triggers(PATIENCE)
    triggers.windows_complete("B", 100, 1)
    triggers.windows_complete("A", 100, 2)
    assert [getattr(triggers.take(quiet, (), 3), "site_id", None) for _ in range(3)] == ["B", "A", None]


def test_a_calculation_that_failed_is_due_again() -> None:
    """Nothing was calculated, so the reasons still hold."""
    triggers = Triggers(PATIENCE)
    triggers.windows_complete("A", 100, 1)
    due = triggers.take(quiet, (), 2)
    assert due is not None and triggers.due_sites == set()
    triggers.put_back(due, 3)
    assert triggers.due_sites == {"A"}
    assert triggers.take(quiet, (), 4) == due


def test_what_comes_while_a_site_is_being_calculated_is_another_reason() -> None:
    """It may have come too late for the calculation under way."""
    triggers = made(100)
    triggers.facts_changed("A", 5, 1)
    assert triggers.take(quiet, (), 2) is not None
    triggers.facts_changed("A", 5, 3)
    triggers.calculated("A", 100)
    assert triggers.take(quiet, (), 4) == Due("A", 100, (Cause.FACTS,))


# -- blackouts ---------------------------------------------------------------------------------------------------------


def test_what_comes_in_a_blackout_waits_for_its_end_and_is_one_calculation_then() -> None:
    """
    blackout    1 ───────────────────────── 5
    windows        2 (100)    3 (200)
    taken                                    5: as of 200
    Patience is no way out of it, and another site goes on.
    """
    triggers = made(50)
    triggers.windows_complete("A", 100, 2)
    triggers.facts_changed("A", 5, 3)
    triggers.windows_complete("A", 200, 3)
    triggers.windows_complete("B", 70, 3)
    only_a = {"A"}.__contains__
    assert triggers.take(quiet, (), 3 + 9 * PATIENCE, only_a) == Due("B", 70, (Cause.WINDOWS,))
    assert triggers.take(quiet, (), 3 + 9 * PATIENCE, only_a) is None
    assert triggers.due_sites == {"A"}
    assert triggers.take(quiet, (), 4 + 9 * PATIENCE) == Due("A", 200, (Cause.WINDOWS, Cause.FACTS))
