"""Hashes of ids and bodies are the same for the same values, however Arrow holds them, and others for others."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from batcher.row_hash import body_hashes, key_hashes

_texts = st.text(max_size=40)
_rows = st.lists(
    st.tuples(_texts, st.none() | _texts, st.none() | st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 10**12)),
    max_size=30,
)


def columns(rows: list[tuple[str, str | None, int | None, int]]) -> pa.RecordBatch:
    texts, nullable, numbers, thousandths = (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
    quantities = [thousandth / 1000 for thousandth in thousandths]
    types = (pa.string(), pa.string(), pa.int64(), pa.float64())
    arrays = [pa.array(v, t) for v, t in zip((texts, nullable, numbers, quantities), types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=["a", "b", "c", "d"])


@given(_rows, st.data())
def test_a_row_has_the_same_hash_wherever_it_stands(
    rows: list[tuple[str, str | None, int | None, int]], data: st.DataObject
) -> None:
    """In a slice of a longer column, and alone."""
    table = columns(rows)
    whole = body_hashes(table.columns)
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    np.testing.assert_array_equal(body_hashes(table.slice(start, stop - start).columns), whole[start:stop])
    for row, found in zip(rows, whole, strict=True):
        assert body_hashes(columns([row]).columns).tolist() == [found]


@given(_rows)
def test_rows_have_the_same_hash_where_they_are_the_same(rows: list[tuple[str, str | None, int | None, int]]) -> None:
    """A null is neither nothing nor zero."""
    assert len(set(body_hashes(columns(rows).columns).tolist())) == len(set(rows))


@given(st.lists(_texts, unique=True), st.lists(_texts, min_size=2, max_size=5, unique=True))
def test_ids_differ_by_scope(ids: list[str], scopes: list[str]) -> None:
    """The same id of another site is another id."""
    found = np.concatenate([key_hashes(scope, pa.array(ids, pa.string())) for scope in scopes])
    assert len(set(found.tolist())) == len(ids) * len(scopes)


def test_hashes_never_change() -> None:
    """They are stored: these values were written down once."""
    rows = [("E1", None, 7, 2500), ("an id of more than sixteen octets", "ü", None, 0), ("", "", -1, 1)]
    assert body_hashes(columns(rows).columns).tolist() == [
        0x10FA2AE809D1297A,
        0x4E9EBCBCD103FC15,
        0xCDC6A49F512613A8,
    ]
    assert key_hashes("orders/S1/", pa.array(["E1", "E2", ""])).tolist() == [
        0x883FB96BF1907598,
        0x50C5FFEC7FF6481F,
        0xCCD81A8E650DFA6D,
    ]
