"""Keys are placed where Kafka's other producers place them."""

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from runtime.partitioning import partition_of, partitions_of


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 200))
def test_keys_are_placed_as_aiokafka_places_them(keys: list[bytes], partitions: int) -> None:
    """All at once, whatever their lengths."""
    numbers = list(range(partitions))
    assert partitions_of(keys, partitions) == [DefaultPartitioner()(key, numbers, numbers) for key in keys]


def test_one_key_is_placed_as_among_many() -> None:
    """A figure of Kafka's own test of `Utils.murmur2`: "foobar" has the hash -790332482."""
    assert partition_of("foobar", 1000) == (-790332482 & 0x7FFFFFFF) % 1000
    assert partitions_of([b"foobar", b"", b"x"], 1000)[0] == partition_of("foobar", 1000)
