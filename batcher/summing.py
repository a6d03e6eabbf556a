"""Facts summed up as columns, without a Python loop over them: it spares the database most of its grouping."""

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


class FactSums(NamedTuple):
    """What some facts come to. The same day or series may stand in several rows of `days` and `firsts`.

    `days`: series_no, of any one fact of a site, a source and a UTC day; day; facts; and hashes_high and hashes_low,
    the sums of the halves of their body hashes. `firsts`: series_no and first_ms. `batches`: batch_no, facts_new and
    min_event_time_ms.
    """

    days: pa.Table
    firsts: pa.Table
    batches: pa.Table


def sum_up(facts: pa.Table) -> FactSums:
    """Sums of facts, which have series_no, event_time_ms, body_hash and batch_no.

    It is quickest where those of a site and source are neighbours.
    """
    names = ("series_no", "event_time_ms", "batch_no")
    series_nos, times, batch_nos = (np.asarray(facts.column(name)).astype(np.int64, copy=False) for name in names)
    hashes = np.asarray(facts.column("body_hash"))
    cuts = np.flatnonzero(np.diff(series_nos >> SERIES_BITS)) + 1
    kinds = list(zip(np.split(series_nos, cuts), np.split(times, cuts), np.split(hashes, cuts), strict=True))
    return FactSums(
        days=pa.concat_tables([_days(*kind) for kind in kinds]),
        firsts=pa.concat_tables([_firsts(nos, at) for nos, at, _ in kinds]),
        batches=_batches(batch_nos, times),
    )


def _days(series_nos: Longs, times: Longs, hashes: npt.NDArray[np.uint64]) -> pa.Table:
    days, places = distinct(times // DAY_MS)
    one_of, high, low = np.zeros((3, len(days)), np.int64)
    one_of[places] = series_nos
    np.add.at(high, places, (hashes >> _HALF).astype(np.int64))
    np.add.at(low, places, (hashes & _LOW).astype(np.int64))
    facts = np.bincount(places, minlength=len(days))
    return pa.table({"series_no": one_of, "day": days, "facts": facts, "hashes_high": high, "hashes_low": low})


def _firsts(series_nos: Longs, times: Longs) -> pa.Table:
    series, places = distinct(series_nos)
    return pa.table({"series_no": series, "first_ms": _earliest(places, times, len(series))})


def _batches(batch_nos: Longs, times: Longs) -> pa.Table:
    batches, places = distinct(batch_nos)
    facts, earliest = np.bincount(places, minlength=len(batches)), _earliest(places, times, len(batches))
    return pa.table({"batch_no": batches, "facts_new": facts, "min_event_time_ms": earliest})


def _earliest(places: Longs, times: Longs, size: int) -> Longs:
    earliest = np.full(size, _GREATEST)
    np.minimum.at(earliest, places, times)
    return earliest
