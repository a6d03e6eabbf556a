"""A fetch's records, field by field, are those that aiokafka gives one by one."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from runtime.record_batches import Record, RecordBatch, Records, joined, spare_batches

TP = TopicPartition("orders", 3)
# Bits of a batch's attributes.
PLAIN, STAMPED_BY_BROKER, TRANSACTIONAL, ABORT_MARKER = 0, 0x08, 0x10, 0x30

Content = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]  # key, value, headers
Log = tuple[bytes, int, list[tuple[int, int]]]

_bytes = st.none() | st.binary(max_size=3)
_headers = st.lists(st.tuples(st.sampled_from(["a", "traceparent"]), st.binary(max_size=2)), max_size=2)
_contents = st.lists(st.tuples(_bytes, _bytes, _headers), min_size=1, max_size=4)


def batch_of(base: int, span: int, deltas: list[int], attributes: int, producer: int, contents: list[Content]) -> bytes:
    """A batch of `span` offsets with records at these distances from its base; `contents` in turn."""
    made = DefaultRecordBatchBuilder(2, 0, False, producer, 0, 0, 1 << 16)
    for delta in deltas:
        key, value, headers = contents[delta % len(contents)]
        marker = b"\0\0\0\0" if attributes == ABORT_MARKER else None
        made.append(delta, timestamp=1_000 + delta, key=marker or key, value=value, headers=headers)
    data = bytearray(made.build())
    data[0:8] = base.to_bytes(8, "big")
    data[21:23] = attributes.to_bytes(2, "big")
    data[23:27] = (span - 1).to_bytes(4, "big")
    return bytes(data)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Batches as a broker sends them, where to begin to read, and the transactions among them that were aborted."""
    data, base, aborted, ends = b"", draw(st.integers(0, 5)), list[tuple[int, int]](), list[int]()
    kinds = st.sampled_from([PLAIN, PLAIN, STAMPED_BY_BROKER, TRANSACTIONAL, ABORT_MARKER])
    for _ in range(draw(st.integers(1, 6))):
        attributes, producer = draw(kinds), draw(st.integers(7, 8))
        span = 1 if attributes == ABORT_MARKER else draw(st.integers(1, 30))
        deltas = draw(st.just(range(span)) | st.sets(st.integers(0, span - 1), min_size=1))  # what compaction has left
        data += batch_of(base, span, sorted(deltas), attributes, producer, draw(_contents))
        if attributes == TRANSACTIONAL and draw(st.booleans()):
            aborted.append((producer, base))
        ends.append(base + span)
        base += span + draw(st.integers(0, 3))
    return data, draw(st.integers(0, ends[0])), aborted  # a broker sends no batch that lies before


def read_from(log: Log, *, check_crcs: bool = False) -> PartitionRecords:
    """What aiokafka reads of it; checksums do not cover what the log has changed."""
    data, begin, aborted = log
    return PartitionRecords(TP, MemoryRecords(data), list(aborted), begin, None, None, check_crcs, READ_COMMITTED)


def in_batches(records: PartitionRecords) -> PartitionRecords:
    """The same, once the fetcher that keeps them has been told to pass on whole batches."""
    fetcher = SimpleNamespace(_records={})
    assert spare_batches(fetcher)
    fetcher._records[TP] = FetchResult(TP, assignment=None, partition_records=records, backoff=0)
    return records


def fields(record: Any) -> tuple[Any, ...]:
    """What the intake and its dead letters want of a record."""
    return record.offset, record.timestamp, record.key, record.value, list(record.headers)


def each(records: Records) -> list[Record]:
    """One by one."""
    return [records[index] for index in range(len(records))]


@given(logs())
def test_batches_passed_on_whole_hold_what_single_records_do(log: Log) -> None:
    """From the middle of a batch, with gaps, markers and aborted transactions; the position ends where it would."""
    plain, whole = read_from(log), in_batches(read_from(log))
    expected, found = list(plain), list(whole)
    assert [fields(record) for record in each(joined(found))] == [fields(record) for record in expected]
    assert whole.next_fetch_offset == plain.next_fetch_offset
    assert [fields(record) for record in each(joined(expected))] == [fields(record) for record in expected]


@given(logs(), st.data())
def test_a_part_of_records_holds_those_from_one_place_to_another(log: Log, data: st.DataObject) -> None:
    """With the headers of its own, and none of others."""
    records = joined(list(in_batches(read_from(log))))
    start = data.draw(st.integers(0, len(records)))
    stop = data.draw(st.integers(start, len(records) + 1))
    part = records.part(start, stop)
    assert each(part) == each(records)[start:stop]
    assert set(part.headers) == {index for index, record in enumerate(each(part)) if record.headers}


def test_a_large_batch_is_passed_on_as_one() -> None:
    """That is what it is for; of a thousand records, too, which are not taken apart all at once."""
    contents: list[Content] = [(None, b"1", []), (b"k", b"2", [("a", b"")])]
    log = batch_of(0, 1_000, list(range(1_000)), PLAIN, -1, contents), 3, list[tuple[int, int]]()
    (batch,) = list(in_batches(read_from(log)))
    assert isinstance(batch, RecordBatch)
    assert batch.offset == 999
    assert [fields(record) for record in each(batch.records)] == [fields(record) for record in read_from(log)]


def test_all_that_a_fetcher_gives_at_once_is_taken() -> None:
    """By the way that the lane takes it: nothing stays behind, and the position is moved on."""
    log = batch_of(0, 20, list(range(20)), PLAIN, -1, [(None, b"1", [])]), 5, list[tuple[int, int]]()
    records = in_batches(read_from(log))
    moved: list[int] = []
    state = SimpleNamespace(paused=False, position=5, consumed_to=moved.append)
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    result = FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)
    assert [record.offset for record in each(joined(result.getall()))] == list(range(5, 20))
    assert moved == [20]


def test_a_batch_that_was_damaged_is_refused_as_ever() -> None:
    """By aiokafka, which checks the checksum before it asks for a record."""
    log = batch_of(0, 20, list(range(20)), PLAIN, -1, [(None, b"1", [])]), 0, list[tuple[int, int]]()
    damaged = bytes([*log[0][:-1], log[0][-1] ^ 1]), *log[1:]
    with pytest.raises(CorruptRecordException, match="CRC"):
        list(in_batches(read_from(damaged, check_crcs=True)))


def test_no_records_have_no_fields() -> None:
    """Of a fetch that brought none."""
    assert len(joined([])) == len(Records()) == 0
    assert each(joined([])) == []
