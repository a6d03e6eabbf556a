"""Hashes of texts and of facts that never change, so that they may be stored; 64 bits, no Python loop over rows.

A state takes in one word of 64 bits after the other:

    state ← (state xor word) * odd;  state ← state xor (state >> 32)

Both halves can be undone, so states that took in different last words differ, and texts of up to eight octets never
have the same hash. It is no defence against a forger: events come from one's own warehouse.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio (Knuth, TAOCP 3, 6.4)
_FOLD = np.uint64(32)
_START = 0x243F6A8885A308D3  # of pi
_NULL = np.uint64(0x13198A2E03707344)  # of pi, too: what stands for a null
_WORD = 8
_MASKS = np.array([(1 << 8 * octets) - 1 for octets in range(_WORD + 1)], np.uint64)  # of a word, the first so many


def key_hashes(scope: str, ids: pa.Array) -> Hashes:
    """The hashes of the ids, strings without nulls, within a scope; shape (n,)."""
    (start,) = text_hashes(pa.array([scope]), _START)
    return text_hashes(ids, int(start))


def body_hashes(columns: Iterable[pa.Array]) -> Hashes:
    """A hash of each row of the columns, shape (n,); their order matters, and null is a value of its own.

    Columns are strings, int64, or float64 that stands for a number of three decimals.
    """
    hashes: Hashes | None = None
    for column in columns:
        words = text_hashes(column, _START) if pa.types.is_string(column.type) else _number_words(column)
        if column.null_count:
            words = np.where(column.is_null(), _NULL, words)
        hashes = _stir(np.full(len(column), _START, np.uint64) if hashes is None else hashes, words)
    return np.empty(0, np.uint64) if hashes is None else hashes


def text_hashes(texts: pa.Array, start: int) -> Hashes:
    """The hashes of strings, shape (n,), each from the state `start`; that of a null means nothing."""
    if not len(texts):
        return np.empty(0, np.uint64)
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    lengths = np.diff(bounds)
    hashes = _stir(np.full(len(texts), start, np.uint64), lengths.astype(np.uint64))
    for rows, words in _words(memoryview(data or b"")[bounds[0] : bounds[-1]], bounds[:-1] - bounds[0], lengths):
        hashes[rows] = _stir(hashes[rows], words)
    return hashes


def _words(
    data: memoryview, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Iterator[tuple[slice | npt.NDArray[np.int64], Hashes]]:
    """The texts' next words of eight octets each, filled up with zeros, and the rows that have one."""
    octets = np.frombuffer(b"".join((data, bytes(_WORD))), np.uint8)
    words = np.ndarray((len(octets) - _WORD + 1,), "<u8", octets, strides=(1,))  # they overlap
    shortest, longest = int(lengths.min()), int(lengths.max())
    rows: slice | npt.NDArray[np.int64] = slice(None)
    for begin in range(0, longest, _WORD):
        if shortest <= begin:
            rows = np.flatnonzero(lengths > begin)
        found = words[starts[rows] + begin]
        if shortest < begin + _WORD:
            found &= _MASKS[np.minimum(lengths[rows] - begin, _WORD)]
        yield rows, found


def _number_words(column: pa.Array) -> Hashes:
    numbers = np.asarray(column.fill_null(0) if column.null_count else column)
    if numbers.dtype == np.float64:
        with np.errstate(invalid="ignore"):  # what is no number is refused when it is stored
            numbers = np.rint(numbers * 1000).astype(np.int64)
    return numbers.view(np.uint64)


def _stir(states: Hashes, words: Hashes) -> Hashes:
    """`states` with a further word each; they are overwritten."""
    states ^= words
    states *= _ODD
    states ^= states >> _FOLD
    return states
