"""Bytes are found wherever they stand."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.avro_bytes import AvroBytes

_octets = st.binary(max_size=60) | st.text("ab\0", max_size=60).map(str.encode)
_patterns = st.binary(min_size=1, max_size=33) | st.text("ab\0", min_size=1, max_size=33).map(str.encode)


@given(st.lists(_octets, max_size=5), _patterns, st.integers(0, 3))
def test_every_occurrence_is_found(pieces: list[bytes], pattern: bytes, times: int) -> None:
    """Of up to 33 octets, as sites have; over the seam of two pieces, at the very end, and one within another."""
    pieces = [*pieces, pattern * times]
    data = b"".join(pieces)
    expected = [at for at in range(len(data)) if data.startswith(pattern, at)]
    assert AvroBytes(*pieces).occurrences(pattern).tolist() == expected
