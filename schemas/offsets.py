"""An order-independent hash over sets of offsets.

The hash of a set is the sum of `mix(offset)` modulo 2^64, so sets combine by addition: a window's hash grows as its
records come, in any order, and the hash of what is missing is a difference. `mix` is the finaliser of SplitMix64
(Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


def offsets_hash(offsets: npt.NDArray[np.int64]) -> int:
    """Hash of offsets, shape (n,), as an unsigned 64-bit integer; 0 for none."""
    z = offsets.astype(np.uint64) + np.uint64(_GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((z ^ (z >> np.uint64(31))).sum(dtype=np.uint64))


def add_hashes(hashes: Iterable[int]) -> int:
    """Hash of the disjoint union of the sets with these hashes."""
    return sum(hashes) & _MASK


def subtract_hashes(whole: int, part: int) -> int:
    """Hash of what is in `whole` and not in its subset `part`."""
    return (whole - part) & _MASK


def hash_text(value: int) -> str:
    """16 hexadecimal digits."""
    return f"{value:016x}"
