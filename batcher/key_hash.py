"""A hash of fact ids that never changes, so that it may be stored: FNV-1a, 64 bits (Fowler, Noll, Vo).

It only narrows a search: ids of equal hashes are compared as ids afterwards.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_OFFSET_BASIS = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_64_BITS = (1 << 64) - 1


def key_hashes(scope: str, ids: pa.Array) -> pa.Array:
    """The hashes of `scope` followed by each id: a column of uint64. `ids` is a column of strings without nulls."""
    _, offsets, data = ids.buffers()
    bounds = np.frombuffer(offsets, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    octets = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return pa.array(_fnv1a(_fnv1a_of(scope.encode()), octets, bounds[:-1].astype(np.int64), np.diff(bounds)))


def _fnv1a_of(data: bytes) -> int:
    state = _OFFSET_BASIS
    for octet in data:
        state = (state ^ octet) * _PRIME & _64_BITS
    return state


def _fnv1a(
    state: int, octets: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int32]
) -> npt.NDArray[np.uint64]:
    """Go on from `state` over the octets of each text, one octet of all texts at a time.

    `starts` and `lengths`, shape (n,), say where in `octets` the texts are.
    """
    hashes = np.full(len(starts), state, np.uint64)
    rows = np.arange(len(starts))
    for index in range(int(lengths.max(initial=0))):
        if lengths[rows].min() <= index:
            rows = rows[lengths[rows] > index]
        hashes[rows] = (hashes[rows] ^ octets[starts[rows] + index]) * np.uint64(_PRIME)
    return hashes
