"""Hashes of texts and of facts that never change, so that they may be stored; 64 bits, no Python loop over rows.

A state takes in one word of 64 bits after the other:

    state ← (state xor word) * odd;  state ← state xor (state >> 32)

Both halves can be undone, so states that took in different last words differ, and texts of up to eight octets never
have the same hash. It is no defence against a forger: events come from one's own warehouse.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.avro_bytes import MARGIN, Longs, Octets

Hashes = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio (Knuth, TAOCP 3, 6.4)
_FOLD = np.uint64(32)
_START = 0x243F6A8885A308D3  # of pi
_NULL = np.uint64(0x13198A2E03707344)  # of pi, too: what stands for a null
_WORD = 8
_PIECE = MARGIN  # octets of a text that are read at once
_MASKS = np.array([(1 << 8 * octets) - 1 for octets in range(_WORD + 1)], np.uint64)  # of a word, the first so many


class Texts(NamedTuple):
    """UTF-8 texts by where they stand: `octets[starts[i]:ends[i]]`. `MARGIN` more octets come behind them."""

    octets: Octets
    starts: Longs
    ends: Longs

    @classmethod
    def of(cls, text: str) -> "Texts":
        """A single one."""
        encoded = text.encode()
        octets = np.frombuffer(encoded + bytes(MARGIN), np.uint8)
        return cls(octets, np.zeros(1, np.int64), np.full(1, len(encoded)))


class HashColumn(NamedTuple):
    """A field of rows, and which of them have it: texts, int64, or float64 for numbers of three decimals."""

    values: Texts | npt.NDArray[Any]
    valid: npt.NDArray[np.bool_] | None = None


def key_hashes(scope: str, ids: Texts) -> Hashes:
    """The hashes of the ids within a scope; shape (n,)."""
    (start,) = _text_hashes(Texts.of(scope), _START)
    return _text_hashes(ids, int(start))


def body_hashes(rows: int, columns: Iterable[HashColumn]) -> Hashes:
    """A hash of each row of the columns, shape (rows,); their order matters, and null is a value of its own.

    A column with one value has it in all rows.
    """
    hashes = np.full(rows, _START, np.uint64)
    for values, valid in columns:
        words = _text_hashes(values, _START) if isinstance(values, Texts) else _number_words(values)
        hashes = _stir(hashes, words if valid is None else np.where(valid, words, _NULL))
    return hashes


def _text_hashes(texts: Texts, start: int) -> Hashes:
    """The hashes of texts, shape (n,), each from the state `start`."""
    lengths = texts.ends - texts.starts
    hashes = _stir(np.full(len(lengths), start, np.uint64), lengths.view(np.uint64))
    for begin in range(0, int(lengths.max(initial=0)), _PIECE):
        rows = np.flatnonzero(lengths > begin) if begin else slice(None)
        hashes[rows] = _stir_pieces(hashes[rows], texts.octets, texts.starts[rows] + begin, lengths[rows] - begin)
    return hashes


def _stir_pieces(states: Hashes, octets: Octets, at: Longs, lengths: Longs) -> Hashes:
    """`states`, overwritten, with the texts at each place, of these lengths; up to `_PIECE` octets of each."""
    shortest, longest = int(lengths.min()), min(int(lengths.max()), _PIECE)
    width = -(-longest // _WORD)
    places = np.ndarray((len(octets) - width * _WORD + 1,), _words_type(width), octets, strides=(1,))  # they overlap
    words = places[at].view("<u8").reshape(-1, width)
    if shortest == longest:  # as ids often are
        words[:, -1] &= _MASKS[longest - (width - 1) * _WORD]
    else:
        words &= _piece_masks(width)[np.minimum(lengths, longest)].view("<u8").reshape(-1, width)
    for index in range(width):
        begin = index * _WORD
        if begin < shortest:
            states = _stir(states, words[:, index])
        else:
            states = np.where(lengths > begin, _stir(states.copy(), words[:, index]), states)
    return states


def _words_type(width: int) -> np.dtype[np.void]:
    """So many words as a single value, for numpy fetches one that is large as quickly as one that is small."""
    return np.dtype(f"V{width * _WORD}")


@cache
def _piece_masks(width: int) -> npt.NDArray[np.void]:
    """For every length up to that of so many words: the masks of the words that leave so many octets."""
    octets = np.clip(np.arange(width * _WORD + 1)[:, None] - np.arange(width) * _WORD, 0, _WORD)
    return _MASKS[octets].view(_words_type(width)).ravel()


def _number_words(numbers: npt.NDArray[Any]) -> Hashes:
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
