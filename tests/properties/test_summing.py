"""Sums by column are what adding up fact by fact gives."""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from batcher.codes import SERIES_BITS, distinct
from batcher.summing import sum_up
from schemas.windows import DAY_MS

Fact = tuple[int, int, int, int]  # series_no, event_time_ms, body_hash, batch_no

_NAMES = ("series_no", "event_time_ms", "body_hash", "batch_no")
_TYPES = (pa.int64(), pa.int64(), pa.uint64(), pa.int32())
_numbers = st.tuples(st.integers(1, 3), st.integers(1, 4) | st.integers(1, (1 << SERIES_BITS) - 1)).map(
    lambda pair: (pair[0] << SERIES_BITS) + pair[1]
)
_times = st.integers(-3 * DAY_MS, 3 * DAY_MS) | st.integers(-(1 << 52), 1 << 52)
_hashes = st.integers(0, (1 << 64) - 1) | st.just((1 << 64) - 1)
_facts = st.lists(st.tuples(_numbers, _times, _hashes, st.integers(1, 5)), max_size=30)


def table(facts: list[Fact]) -> pa.Table:
    columns = zip(*facts, strict=True) if facts else ([],) * len(_NAMES)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _TYPES, strict=True)]
    return pa.table(arrays, _NAMES)


@given(_facts)
def test_sums_by_column_are_those_by_fact(facts: list[Fact]) -> None:
    """Hashes up to the last bit, days before 1970, facts of one site and source together or among others."""
    days: Counter[tuple[int, int]] = Counter()
    hashes: Counter[tuple[int, int]] = Counter()
    firsts: dict[int, list[int]] = defaultdict(list)
    batches: dict[int, list[int]] = defaultdict(list)
    for series_no, at, body, batch_no in facts:
        kind_and_day = series_no >> SERIES_BITS, at // DAY_MS
        days[kind_and_day] += 1
        hashes[kind_and_day] += body
        firsts[series_no].append(at)
        batches[batch_no].append(at)

    sums = sum_up(table(facts))

    found_days: Counter[tuple[int, int]] = Counter()
    found_hashes: Counter[tuple[int, int]] = Counter()
    for row in sums.days.to_pylist():
        kind_and_day = row["series_no"] >> SERIES_BITS, row["day"]
        found_days[kind_and_day] += row["facts"]
        found_hashes[kind_and_day] += (row["hashes_high"] << 32) + row["hashes_low"]
    assert (found_days, found_hashes) == (days, hashes)
    found_firsts: dict[int, list[int]] = defaultdict(list)
    for row in sums.firsts.to_pylist():
        found_firsts[row["series_no"]].append(row["first_ms"])
    assert {no: min(found) for no, found in found_firsts.items()} == {no: min(found) for no, found in firsts.items()}
    found_batches: dict[int, list[int]] = defaultdict(list)
    new: Counter[int] = Counter()
    for row in sums.batches.to_pylist():
        found_batches[row["batch_no"]].append(row["min_event_time_ms"])
        new[row["batch_no"]] += row["facts_new"]
    assert new == Counter({no: len(times) for no, times in batches.items()})
    assert {no: min(found) for no, found in found_batches.items()} == {no: min(times) for no, times in batches.items()}


@given(_facts)
def test_neighbours_are_one_row(facts: list[Fact]) -> None:
    """Sorted by site and source, day and batch, each comes once."""
    ordered = sorted(facts, key=lambda fact: (fact[0] >> SERIES_BITS, fact[1] // DAY_MS))
    days = {(series_no >> SERIES_BITS, at // DAY_MS) for series_no, at, _, _ in facts}
    assert sum_up(table(ordered)).days.num_rows == len(days)
    assert sum_up(table(sorted(facts, key=lambda fact: fact[3]))).batches.num_rows == len({fact[3] for fact in facts})


@given(st.lists(st.integers(-5, 40) | st.integers(0, 1 << 62) | st.integers(-(1 << 62), 0), max_size=30))
def test_distinct_codes_are_found_by_sorting_or_by_marking(codes: list[int]) -> None:
    """Few codes of a large span are sorted, many of a small one are marked."""
    found, places = distinct(np.array(codes, np.int64))
    assert found.tolist() == sorted(set(codes))
    assert found[places].tolist() == codes
