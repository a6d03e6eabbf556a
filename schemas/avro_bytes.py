"""Avro's binary encoding, read at many positions of one buffer at once (Avro 1.12, Binary Encoding)."""

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Octets = npt.NDArray[np.uint8]

MARGIN = 64  # octets behind the bytes, all zero, so that as many can be read at once wherever something begins

_WORD = 8
_MORE = 0x80  # the top bit of an octet: another group of 7 bits follows
_LONGEST_VARINT = 10


class AvroBytes:
    """Bytes to be read at positions, arrays of shape (n,) within `[0, size]`.

    What is read at a position where nothing of the kind begins is garbage, but no fault: positions behind it stay
    within the bytes, and beyond the end there are zeros.
    """

    def __init__(self, *pieces: bytes) -> None:
        data = b"".join((*pieces, bytes(MARGIN)))
        self.size = len(data) - MARGIN
        self.octets: Octets = np.frombuffer(data, np.uint8)
        # The little-endian words that begin at each octet; they overlap.
        self._words = np.ndarray((self.size + _WORD,), "<u8", self.octets, strides=(1,))

    def longs(self, at: Longs) -> tuple[Longs, Longs]:
        """The ints or longs at each position, and the positions behind them."""
        first = self.octets[at]
        if not (first & _MORE).any():
            return ((first >> 1) ^ -(first & 1)).view(np.int8).astype(np.int64), self._inside(at + 1)
        words = self._words[at]
        stops = ~words & np.uint64(0x8080808080808080)
        below = (stops & -stops) - np.uint64(1)  # the bits below the top bit of the last octet; all, if that is further
        groups, lengths = _squeeze(words & below), np.bitwise_count(below).astype(np.int64) + 1 >> 3
        further = np.flatnonzero(stops == 0)
        if len(further):
            groups[further], lengths[further] = self._longest(at[further])
        return _unzigzag(groups), self._inside(at + lengths)

    def doubles(self, at: Longs) -> tuple[npt.NDArray[np.float64], Longs]:
        """The doubles at each position, and the positions behind them."""
        return self._words[at].view("<f8"), self._inside(at + _WORD)

    def texts(self, at: Longs) -> tuple[Longs, Longs]:
        """Where the contents of the strings at each position begin, and the positions behind them."""
        lengths, starts = self.longs(at)
        return starts, self._inside(starts + np.clip(lengths, 0, self.size))

    def occurrences(self, pattern: bytes) -> Longs:
        """Every position at which `pattern` begins, ascending; they may overlap."""
        found = np.flatnonzero(self.octets[: self.size] == pattern[0])
        found = found[found <= self.size - len(pattern)]
        for begin in range(0, len(pattern), _WORD):
            piece = pattern[begin : begin + _WORD]
            bits = np.uint64((1 << 8 * len(piece)) - 1)
            found = found[self._words[found + begin] & bits == np.uint64(int.from_bytes(piece, "little"))]
        return found

    def _longest(self, at: Longs) -> tuple[Words, Longs]:
        """Groups and lengths of encodings that no word holds: 9 or 10 octets, or garbage."""
        groups, lengths = np.zeros(len(at), np.uint64), np.zeros(len(at), np.int64)
        going = np.ones(len(at), np.bool_)
        for index in range(_LONGEST_VARINT):
            octet = self.octets[self._inside(at + index)].astype(np.uint64)
            group = (octet & np.uint64(_MORE - 1)) << np.uint64(7 * index)
            groups |= np.where(going, group, np.uint64(0))
            lengths += going
            going &= octet >= _MORE
        return groups, lengths

    def _inside(self, at: Longs) -> Longs:
        return np.minimum(at, self.size)


def _unzigzag(groups: Words) -> Longs:
    return (groups >> np.uint64(1)).view(np.int64) ^ -(groups & np.uint64(1)).view(np.int64)


def _squeeze(words: Words) -> Words:
    """The low 7 bits of each octet side by side: join neighbours to pairs, pairs to fours, fours to one."""
    words = words & np.uint64(0x7F7F7F7F7F7F7F7F)
    words = (words & np.uint64(0x007F007F007F007F)) | ((words & np.uint64(0x7F007F007F007F00)) >> np.uint64(1))
    words = (words & np.uint64(0x00003FFF00003FFF)) | ((words & np.uint64(0x3FFF00003FFF0000)) >> np.uint64(2))
    return (words & np.uint64(0x000000000FFFFFFF)) | ((words & np.uint64(0x0FFFFFFF00000000)) >> np.uint64(4))
