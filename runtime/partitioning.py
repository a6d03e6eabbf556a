"""Which partition a key belongs to: Kafka's default, murmur2.

One short key is aiokafka's matter. A flood of dead letters brings tens of thousands of long ones, which would take its
Python ten microseconds each, on the event loop: many are placed at once.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from aiokafka.partitioner import DefaultPartitioner

Hashes = npt.NDArray[np.uint32]

_SEED, _FACTOR = 0x9747B28C, np.uint32(0x5BD1E995)
_WORD = 4

_PLACE = DefaultPartitioner()


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key among `partitions`, as every producer here places it."""
    return _PLACE(key.encode(), list(range(partitions)), list(range(partitions)))


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """The partition of each key: `partition_of` for many at once."""
    places = np.zeros(len(keys), np.int64)
    lengths = np.fromiter(map(len, keys), np.int64, len(keys))
    for length in np.unique(lengths).tolist():
        alike = np.flatnonzero(lengths == length)
        octets = np.frombuffer(b"".join(keys[row] for row in alike.tolist()), np.uint8).reshape(len(alike), length)
        places[alike] = (_murmur2(octets) & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)
    return places.tolist()


def _murmur2(octets: npt.NDArray[np.uint8]) -> Hashes:
    """MurmurHash2 (Austin Appleby) with Kafka's seed, of keys of one length; `octets` has shape (rows, length)."""
    rows, length = octets.shape
    hashes = np.full(rows, np.uint32(_SEED ^ length))
    whole = length - length % _WORD
    for word in np.ascontiguousarray(octets[:, :whole]).view("<u4").T:
        mixed = word * _FACTOR
        mixed ^= mixed >> np.uint32(24)
        hashes = hashes * _FACTOR ^ mixed * _FACTOR
    if length > whole:
        for place, octet in enumerate(octets[:, whole:].T):
            hashes ^= octet.astype(np.uint32) << np.uint32(8 * place)
        hashes *= _FACTOR
    hashes ^= hashes >> np.uint32(13)
    hashes *= _FACTOR
    return hashes ^ hashes >> np.uint32(15)
