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

from runtime.source_record import spare_records

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
