"""Facts summed up as columns, without a Python loop over them: it spares the database most of its grouping."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batcher.codes import SERIES_BITS, distinct
from schemas.windows import DAY_MS

Longs = npt.NDArray[np.int64]

_HALF = np.uint64(32)  # of the bits of a hash: so many that the sums of halves do not overflow
_LOW = np.uint64((1 << 32) - 1)
_GREATEST = np.iinfo(np.int64).max
_FIRSTS = pa.schema({"series_no": pa.int64(), "first_ms": pa.int64()})


class FactSums(NamedTuple):
    """What some facts come to. The same day, series or batch may stand in several rows.

    `days`: series_no, of any one fact of a site, a source and a UTC day; day; facts; and hashes_high and hashes_low,
    the sums of the halves of their body hashes. `firsts`: series_no and first_ms. `batches`: batch_no, facts_new and
    min_event_time_ms.
    """

    days: pa.Table
    firsts: pa.Table
    batches: pa.Table


def sum_up(facts: pa.Table) -> FactSums:
    """Sums of facts, which have series_no, event_time_ms, body_hash and batch_no.

    Rows are few, and it is quick, where facts of a site and source, of a day and of a batch are neighbours.
    """
    names = ("series_no", "event_time_ms", "batch_no")
    series_nos, times, batch_nos = (np.asarray(facts.column(name)).astype(np.int64, copy=False) for name in names)
    hashes = np.asarray(facts.column("body_hash"))
    kinds = series_nos >> SERIES_BITS  # of site and source
    return FactSums(
        days=_days(kinds, series_nos, times, hashes),
        firsts=_firsts(kinds, series_nos, times),
        batches=_batches(batch_nos, times),
    )


def _days(kinds: Longs, series_nos: Longs, times: Longs, hashes: npt.NDArray[np.uint64]) -> pa.Table:
    days = times // DAY_MS
    starts = _runs(kinds, days)
    high, low = (hashes >> _HALF).astype(np.int64), (hashes & _LOW).astype(np.int64)
    return pa.table(
        {
            "series_no": series_nos[starts],
            "day": days[starts],
            "facts": _lengths(starts, len(days)),
            "hashes_high": _by_run(np.add, high, starts),
            "hashes_low": _by_run(np.add, low, starts),
        }
    )


def _firsts(kinds: Longs, series_nos: Longs, times: Longs) -> pa.Table:
    """Kind by kind, for only within a kind are numbers close to each other."""
    found = [_FIRSTS.empty_table()]
    for start, end in pairwise([*_runs(kinds).tolist(), len(kinds)]):
        series, places = distinct(series_nos[start:end])
        first = np.full(len(series), _GREATEST)
        np.minimum.at(first, places, times[start:end])
        found.append(pa.table([series, first], schema=_FIRSTS))
    return pa.concat_tables(found)


def _batches(batch_nos: Longs, times: Longs) -> pa.Table:
    starts = _runs(batch_nos)
    facts, earliest = _lengths(starts, len(times)), _by_run(np.minimum, times, starts)
    return pa.table({"batch_no": batch_nos[starts], "facts_new": facts, "min_event_time_ms": earliest})


def _runs(*columns: Longs) -> Longs:
    """Where rows begin that differ from the one before them in any of the columns; the first row does."""
    differs = np.ones(len(columns[0]), np.bool_)
    differs[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return np.flatnonzero(differs)


def _lengths(starts: Longs, size: int) -> Longs:
    """Of runs that begin at `starts`, the last of which ends at `size`."""
    return np.diff(starts, append=size)


def _by_run(reduction: np.ufunc, values: Longs, starts: Longs) -> Longs:
    """What the values of each run come to; without any there are none."""
    return reduction.reduceat(values, starts) if len(starts) else values
