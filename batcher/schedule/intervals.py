"""Sets of instants as ascending, disjoint half-open intervals. Pure."""

from collections.abc import Iterable, Sequence

from schemas.wall_spans import Interval


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Every instant of any of them; what touches becomes one, what is empty is dropped."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def difference(these: Sequence[Interval], those: Iterable[Interval]) -> list[Interval]:
    """Every instant of `these`, which are disjoint, that is in none of `those`."""
    left = list(these)
    for cut_start, cut_end in union(those):
        left = [
            part
            for start, end in left
            for part in ((start, min(end, cut_start)), (max(start, cut_end), end))
            if part[0] < part[1]
        ]
    return left


def holding(intervals: Iterable[Interval], at_ms: int) -> Interval | None:
    """The interval that an instant is in."""
    return next((one for one in intervals if one[0] <= at_ms < one[1]), None)
