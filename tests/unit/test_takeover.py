"""What a new owner takes from the coefficients topic."""

from batcher.takeover import BaselineReader
from schemas.coefficients import BATCHES_TOPIC_ID
from schemas.instants import parse_rfc3339

OURS = [(BATCHES_TOPIC_ID, b"this")]


def value(as_of: str) -> bytes:
    """As much of a coefficient as says when it is of."""
    return f'{{"as_of":"{as_of}","sku":"A"}}'.encode()


def test_a_site_is_complete_until_the_latest_instant_that_was_calculated_from_the_same_topic() -> None:
    """What another batches topic gave says nothing about this one; nor does what is no coefficient."""
    reader = BaselineReader("this")
    reader.put("S/rolling_30d/A", "S", value("2026-03-28T16:00:00Z"), OURS)
    reader.put("S/rolling_30d/B", "S", value("2026-03-28T16:00:00.500Z"), OURS)
    reader.put("S/rolling_30d/C", "S", value("2027-01-01T00:00:00Z"), [(BATCHES_TOPIC_ID, b"that")])
    reader.put("S/rolling_30d/D", "S", value("2027-01-01T00:00:00Z"), [])
    reader.put("S/rolling_30d/E", "S", b"what?", OURS)
    reader.put("S/rolling_30d/F", "S", value("noon"), OURS)
    reader.put("T/rolling_30d/A", "T", value("2027-01-01T00:00:00Z"), [])
    assert reader.baseline().complete_until == {"S": parse_rfc3339("2026-03-28T16:00:00.500Z")}


def test_the_baseline_is_the_newest_value_of_each_key() -> None:
    """A tombstone takes it away."""
    reader = BaselineReader("this")
    reader.put("S/rolling_30d/A", "S", b"1", OURS)
    reader.put("S/rolling_30d/A", "S", b"2", OURS)
    reader.put("S/rolling_30d/B", "S", b"1", [])
    reader.put("S/rolling_30d/B", "S", None, [])
    assert reader.baseline().values == {"S/rolling_30d/A": b"2"}
