"""Records without aiokafka's wrapping are the same; where aiokafka is not as known, it goes on wrapping them."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from runtime.source_record import RecordBatch, singly, spare_batches, spare_records

TP = TopicPartition("orders", 3)
HEADERS = [("dlq.root", b"a/0/1"), ("traceparent", b"")]
SENT = [(b"k", b'{"sku":"A"}', HEADERS), (None, b"x", []), (b"", None, [])]


def fetched(base: int = 40) -> PartitionRecords:
    """Three records as a broker sends them, from offset 40; 41 is where the consumer stands."""
    batch = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 16)
    for offset, (key, value, headers) in enumerate(SENT):
        batch.append(offset, timestamp=1_000 + offset, key=key, value=value, headers=headers)
    data = bytearray(batch.build())
    data[0:8] = base.to_bytes(8, "big")  # the base offset stands before what the checksum covers
    return PartitionRecords(TP, MemoryRecords(bytes(data)), [], base + 1, None, None, True, READ_COMMITTED)


def result(records: PartitionRecords) -> FetchResult:
    """What aiokafka keeps of a fetch until it is asked for it."""
    return FetchResult(TP, assignment=None, partition_records=records, backoff=0)


def fields(record: Any) -> tuple[Any, ...]:
    """What the intake and its dead letters want of a record."""
    return record.offset, record.timestamp, record.key, record.value, list(record.headers)


def test_the_records_are_those_that_aiokafka_would_wrap() -> None:
    """Same fields, same offsets skipped, and the position moves on as before; nothing is wrapped."""
    plain, lean = fetched(), fetched()
    consumer = SimpleNamespace(_records={})
    assert spare_records(consumer)
    consumer._records[TP] = result(lean)
    wrapped, bare = list(plain), list(lean)
    assert [record.offset for record in bare] == [41, 42]
    assert [fields(record) for record in bare] == [fields(record) for record in wrapped]
    assert all(isinstance(record, ConsumerRecord) for record in wrapped)
    assert not any(isinstance(record, ConsumerRecord) for record in bare)
    assert plain.next_fetch_offset == lean.next_fetch_offset == 43


def test_what_was_fetched_before_is_unwrapped_too_and_asking_again_changes_nothing() -> None:
    """The fetcher may have prefetched before the lane first asks; errors among its results are left alone."""
    records, error = fetched(), object()
    consumer = SimpleNamespace(_records={TP: result(records), "other": error})
    assert spare_records(consumer)
    inside = consumer._records
    assert spare_records(consumer)
    assert consumer._records is inside
    assert set(inside) == {TP, "other"}
    assert inside["other"] is error
    assert not any(isinstance(record, ConsumerRecord) for record in records)


@pytest.mark.parametrize("inside", [None, [], "gone"])
def test_another_aiokafka_goes_on_wrapping(inside: Any) -> None:
    """No dictionary of results: nothing is touched."""
    consumer = SimpleNamespace(_records=inside)
    assert not spare_records(consumer)
    assert consumer._records is inside
    assert not spare_records(SimpleNamespace())


def test_a_reader_that_wraps_another_way_goes_on_wrapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of fetched records must ask the very method that is replaced."""
    monkeypatch.setattr(fetcher.PartitionRecords, "_unpack_records", lambda self: iter(()))
    consumer = SimpleNamespace(_records={})
    assert not spare_records(consumer)
    assert type(consumer._records) is dict


# -- whole batches -----------------------------------------------------------------------------------------------------

PLAIN, TRANSACTIONAL, ABORT_MARKER = 0, 0x10, 0x30  # bits of a batch's attributes


def batch_of(base: int, deltas: list[int], attributes: int, producer: int) -> bytes:
    """A batch with records at these distances from its base, which need not be all."""
    made = DefaultRecordBatchBuilder(2, 0, False, producer, 0, 0, 1 << 16)
    for delta in deltas:
        key = b"\0\0\0\0" if attributes == ABORT_MARKER else None
        made.append(delta, timestamp=1_000 + delta, key=key, value=b"%d" % (base + delta), headers=[])
    data = bytearray(made.build())
    data[0:8] = base.to_bytes(8, "big")
    data[21:23] = attributes.to_bytes(2, "big")
    return bytes(data)


@st.composite
def logs(draw: st.DrawFn) -> tuple[bytes, int, list[tuple[int, int]]]:
    """Batches as a broker sends them, where to begin to read, and the transactions among them that were aborted."""
    data, base, aborted, ends = b"", draw(st.integers(0, 5)), list[tuple[int, int]](), list[int]()
    for _ in range(draw(st.integers(1, 6))):
        attributes, producer = (
            draw(st.sampled_from([PLAIN, PLAIN, TRANSACTIONAL, ABORT_MARKER])),
            draw(st.integers(7, 8)),
        )
        span = 1 if attributes == ABORT_MARKER else draw(st.integers(1, 30))
        deltas = sorted({0, *draw(st.sets(st.integers(0, span - 1))), span - 1})
        data += batch_of(base, deltas[1:] or deltas, attributes, producer)
        if attributes == TRANSACTIONAL and draw(st.booleans()):
            aborted.append((producer, base))
        ends.append(base + span)
        base += span + draw(st.integers(0, 3))
    return data, draw(st.integers(0, ends[0])), aborted  # a broker sends no batch that lies before


def read_from(log: tuple[bytes, int, list[tuple[int, int]]]) -> PartitionRecords:
    """What aiokafka reads of it; checksums do not cover what the log has changed."""
    data, begin, aborted = log
    return PartitionRecords(TP, MemoryRecords(data), list(aborted), begin, None, None, False, READ_COMMITTED)


@given(logs())
def test_batches_passed_on_whole_hold_what_single_records_do(log: tuple[bytes, int, list[tuple[int, int]]]) -> None:
    """From the middle of a batch, with gaps, markers and aborted transactions; the position ends where it would."""
    plain, whole = read_from(log), read_from(log)
    fetcher = SimpleNamespace(_records={})
    assert spare_batches(fetcher)
    fetcher._records[TP] = result(whole)
    expected, found = list(plain), list(whole)
    assert [fields(record) for record in singly(found)] == [fields(record) for record in expected]
    assert whole.next_fetch_offset == plain.next_fetch_offset
    assert singly(expected) == expected


def test_a_large_batch_is_passed_on_as_one() -> None:
    """That is what it is for."""
    whole = read_from((batch_of(0, list(range(100)), PLAIN, -1), 3, []))
    fetcher = SimpleNamespace(_records={TP: result(whole)})
    assert spare_batches(fetcher)
    (batch,) = list(whole)
    assert isinstance(batch, RecordBatch)
    assert [record.offset for record in batch] == list(range(3, 100))
