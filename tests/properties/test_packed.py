"""Packed values are what was packed, whole and in parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.packed import Packed

_values = st.lists(st.none() | st.binary(max_size=4) | st.sampled_from([b"\n", b"\n\n", b"{}"]), max_size=12)


def check(packed: Packed, values: list[bytes | None]) -> None:
    """One by one, and by where they stand."""
    assert list(packed) == values
    assert [packed[index - len(values)] for index in range(len(values))] == values
    assert packed.total_bytes == sum(len(value or b"") for value in values)
    where = zip(packed.starts.tolist(), packed.ends.tolist(), strict=True)
    assert [packed.data[start:end] for start, end in where] == [value or b"" for value in values]
    assert packed.data.endswith(b"\n") or not values, "something stands behind the last one, too"


@given(_values, st.data())
def test_what_was_packed_comes_out_again(values: list[bytes | None], data: st.DataObject) -> None:
    """None, the empty value and newlines among them; of a mask, of a slice, and of parts put together."""
    packed = Packed.of(values)
    check(packed, values)
    mask = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    check(packed.pick(np.array(mask, np.bool_)), [value for value, wanted in zip(values, mask, strict=True) if wanted])
    begin, end = data.draw(st.integers(-3, 13)), data.draw(st.integers(-3, 13))
    check(packed[begin:end], values[begin:end])
    half = len(values) // 2
    check(Packed.joined([packed[:half], Packed(), packed[half:]]), values)


def test_values_are_neither_skipped_nor_invented() -> None:
    """What a buffer cannot do without copying piece by piece is refused, and so is what is not there."""
    with pytest.raises(ValueError, match="one after another"):
        Packed.of([b"1", b"2"])[::2]
    with pytest.raises(IndexError):
        Packed.of([b"1"])[1]
