"""Hashes of ids and bodies are the same for the same values, wherever they stand, and others for others."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batcher.row_hash import HashColumn, Texts, body_hashes, key_hashes
from schemas.avro_bytes import MARGIN

_texts = st.text(max_size=40) | st.text(min_size=60, max_size=140)  # pieces of 64 octets are read at once
_rows = st.lists(
    st.tuples(_texts, st.none() | _texts, st.none() | st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 10**12)),
    max_size=30,
)


def texts(values: Sequence[str | None]) -> Texts:
    """Texts one behind the other, with something between them."""
    pieces = [(text or "").encode() for text in values]
    ends = np.cumsum([len(piece) + 1 for piece in pieces], dtype=np.int64) - 1
    octets = np.frombuffer(b"".join(piece + b"|" for piece in pieces) + bytes(MARGIN), np.uint8)
    return Texts(octets, ends - np.array([len(piece) for piece in pieces], np.int64), ends)


def hashes(rows: list[tuple[str, str | None, int | None, int]]) -> list[int]:
    ids, nullable, numbers, thousandths = (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
    columns = [
        HashColumn(texts(ids)),
        HashColumn(texts(nullable), np.array([text is not None for text in nullable], np.bool_)),
        HashColumn(
            np.array([number or 0 for number in numbers], np.int64),
            np.array([number is not None for number in numbers], np.bool_),
        ),
        HashColumn(np.array([thousandth / 1000 for thousandth in thousandths], np.float64)),
    ]
    return body_hashes(len(rows), columns).tolist()


@given(st.lists(_texts, max_size=20), _texts)
def test_an_id_has_the_hash_of_the_formula(ids: list[str], scope: str) -> None:
    """Word by word, as the module says."""
    assert key_hashes(scope, texts(ids)).tolist() == [by_the_formula(one, by_the_formula(scope)) for one in ids]


def by_the_formula(text: str, state: int = 0x243F6A8885A308D3) -> int:
    """The hash of a text in plain Python: its length is its first word, the last one is filled up with zeros."""
    octets = text.encode()
    words = [octets[begin : begin + 8] for begin in range(0, len(octets), 8)]
    for word in (len(octets), *(int.from_bytes(word, "little") for word in words)):
        state = (state ^ word) * 0x9E3779B97F4A7C15 % (1 << 64)
        state ^= state >> 32
    return state


@given(_rows)
def test_a_row_has_the_same_hash_wherever_it_stands(rows: list[tuple[str, str | None, int | None, int]]) -> None:
    """Among others, and alone."""
    assert hashes(rows) == [found for row in rows for found in hashes([row])]


@given(_rows)
def test_rows_have_the_same_hash_where_they_are_the_same(rows: list[tuple[str, str | None, int | None, int]]) -> None:
    """A null is neither nothing nor zero."""
    assert len(set(hashes(rows))) == len(set(rows))


@given(st.lists(_texts, unique=True), st.lists(_texts, min_size=2, max_size=5, unique=True))
def test_ids_differ_by_scope(ids: list[str], scopes: list[str]) -> None:
    """The same id of another site is another id."""
    found = np.concatenate([key_hashes(scope, texts(ids)) for scope in scopes])
    assert len(set(found.tolist())) == len(ids) * len(scopes)


def test_hashes_never_change() -> None:
    """They are stored: these values were written down once."""
    rows = [("E1", None, 7, 2500), ("an id of more than sixteen octets", "ü", None, 0), ("", "", -1, 1)]
    assert hashes(rows) == [
        0x10FA2AE809D1297A,
        0x4E9EBCBCD103FC15,
        0xCDC6A49F512613A8,
    ]
    assert key_hashes("orders/S1/", texts(["E1", "E2", ""])).tolist() == [
        0x883FB96BF1907598,
        0x50C5FFEC7FF6481F,
        0xCCD81A8E650DFA6D,
    ]
