"""Numbers that stand for something."""

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]

#: The number of a series: the lower bits tell it from the others of its site and source, the upper ones are theirs.
SERIES_BITS = 32

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
