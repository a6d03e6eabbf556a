"""Numbers that stand for something."""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]

#: The number of a series: the lower bits tell it from the others of its site and source, the upper ones are theirs.
SERIES_BITS = 32

_PLACES_BITS = 22  # of a hash: few of some hundred thousand share a place then; places take 16 MiB
_DENSE = 8  # up to so many times as many codes as there could be are marked one by one, which spares sorting them


def distinct(codes: Codes) -> tuple[Codes, Codes]:
    """The distinct codes, ascending; and at which place of them each code stands."""
    least = int(codes.min(initial=np.iinfo(np.int64).max))
    span = int(codes.max(initial=least)) - least + 1
    if span > _DENSE * len(codes):
        return np.unique(codes, return_inverse=True)
    there = np.zeros(span, np.bool_)
    there[codes - least] = True
    return np.flatnonzero(there) + least, (np.cumsum(there) - 1)[codes - least]


def repeated(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The hashes that stand there twice or more, ascending; one that stands there three times comes twice.

    Two that are equal have the same place. So only rows that are not alone in theirs are sorted.
    """
    rows = np.arange(len(hashes), dtype=np.int32)
    places = (hashes >> np.uint64(64 - _PLACES_BITS)).astype(np.int64)
    last = np.empty(1 << _PLACES_BITS, np.int32)
    last[places] = rows
    is_suspect = last.take(places) != rows
    is_suspect[last[places[is_suspect]]] = True
    ascending = np.sort(hashes[is_suspect])
    return ascending[1:][ascending[1:] == ascending[:-1]]
