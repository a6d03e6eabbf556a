"""Sets of instants as intervals, against sets of instants."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from batcher.schedule.intervals import difference, holding, union
from schemas.wall_spans import Interval

intervals = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def instants(found: list[Interval]) -> set[int]:
    """Every instant of half-open intervals; one that ends before it starts is empty."""
    return {at for start, end in found for at in range(start, end)}


@given(intervals)
def test_a_union_has_every_instant_in_ascending_intervals_that_do_not_touch(found: list[Interval]) -> None:
    """Its own normal form."""
    merged = union(found)
    assert instants(merged) == instants(found)
    assert all(start < end for start, end in merged)
    assert all(one[1] < other[0] for one, other in pairwise(merged))
    assert union(merged) == merged


@given(intervals, intervals)
def test_a_difference_has_the_instants_of_the_one_that_are_not_in_the_other(
    these: list[Interval], those: list[Interval]
) -> None:
    """Ascending and disjoint too."""
    left = difference(union(these), those)
    assert instants(left) == instants(these) - instants(those)
    assert left == sorted(left)
    assert all(one[1] <= other[0] for one, other in pairwise(left))


@given(intervals, st.integers(0, 30))
def test_an_instant_is_held_by_the_interval_that_has_it(found: list[Interval], at_ms: int) -> None:
    """None where there is none."""
    held = holding(union(found), at_ms)
    assert (held is not None) == (at_ms in instants(found))
    assert held is None or held[0] <= at_ms < held[1]
