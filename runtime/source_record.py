"""What a fetch hands on of each record, and how to get it without what aiokafka does for each.

aiokafka builds a `ConsumerRecord` of eleven fields for every record, a third of the time of a fetch. The record that
its parser makes underneath has the fields that we need, under the same names. And it passes every single record through
a generator and an iterator, more than half of what is left then, though its parser yields whole batches.

aiokafka offers no way to ask for either, so `spare_records` and `spare_batches` reach inside, and give up without harm
where the inside is not what they know: then the records that come are `ConsumerRecord`s, which are `SourceRecord`s too.
The setting `stream.lean_records` switches it off.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from aiokafka.record.default_records import DefaultRecordBatch

log = logging.getLogger(__name__)


class SourceRecord(Protocol):
    """One record of a topic, as far as the intake, its dead letters and their index want it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


#: Offsets of a batch from which on it is worth being passed on as one.
_WORTH_IT = 8


class RecordBatch(list[SourceRecord]):
    """The records of a batch, in place of one record; `offset` is the last one's."""

    offset = -1


def spare_records(fetcher: Any) -> bool:
    """Have an aiokafka fetcher hand on its parser's records; returns whether it will. Call it again at no cost."""
    return _put_inside(fetcher, _Unwrapped)


def spare_batches(fetcher: Any) -> bool:
    """The same, with a `RecordBatch` in place of most records: only for who takes all that has been fetched."""
    return _put_inside(fetcher, _InBatches)


def singly(fetched: Iterable[Any]) -> list[SourceRecord]:
    """The records of what a fetcher handed on, whatever it does for each."""
    records: list[SourceRecord] = []
    for item in fetched:
        if isinstance(item, RecordBatch):
            records += item
        else:
            records.append(item)
    return records


class _Unwrapped(dict[Any, Any]):
    """aiokafka's fetched but unread records by partition; what is put in is told not to wrap its records."""

    def __setitem__(self, tp: Any, result: Any) -> None:
        if (records := getattr(result, "_partition_records", None)) is not None:
            self._prepare(records)
        super().__setitem__(tp, result)

    def _prepare(self, records: Any) -> None:
        records._consumer_record = _as_it_is


class _InBatches(_Unwrapped):
    """What is put in is told to take a batch for one record, too."""

    def _prepare(self, records: Any) -> None:
        super()._prepare(records)
        records._records = _Batches(records._records, records.next_fetch_offset)


def _as_it_is(tp: Any, record: Any) -> Any:
    return record


class _Batches:
    """aiokafka's batches of one partition, of which all but small and odd ones yield themselves."""

    def __init__(self, inside: Any, fetch_offset: int) -> None:
        self._inside, self._fetch_offset = inside, fetch_offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)

    def next_batch(self) -> Any:
        batch = self._inside.next_batch()
        if not isinstance(batch, DefaultRecordBatch) or batch.is_control_batch:
            return batch
        return batch if batch.next_offset - batch.base_offset < _WORTH_IT else _AsOne(batch, self._fetch_offset)


class _AsOne:
    """A batch as aiokafka knows it, but for its records from `fetch_offset` on, which come as one."""

    def __init__(self, batch: Any, fetch_offset: int) -> None:
        self._batch, self._fetch_offset = batch, fetch_offset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[RecordBatch]:
        records = RecordBatch(self._batch)
        if self._batch.base_offset < self._fetch_offset:
            records = RecordBatch(record for record in records if record.offset >= self._fetch_offset)
        if records:
            records.offset = records[-1].offset
            yield records


def _put_inside(fetcher: Any, kind: type[_Unwrapped]) -> bool:
    inside = getattr(fetcher, "_records", None)
    if type(inside) is kind:
        return True
    if not isinstance(inside, dict) or not _known():
        log.warning("aiokafka is not as known: fetching builds its own records, which is slower")
        return False
    fetcher._records = kind()
    for tp, result in inside.items():
        fetcher._records[tp] = result
    return True


def _known() -> bool:
    """Whether aiokafka's reader of fetched records asks for what is replaced here."""
    from aiokafka.consumer import fetcher

    reader = getattr(fetcher, "PartitionRecords", None)
    unpack = getattr(getattr(reader, "_unpack_records", None), "__code__", None)
    asked = {"_consumer_record", "_records", "has_next", "next_batch", "next_fetch_offset", "offset", "next_offset"}
    return unpack is not None and hasattr(reader, "_consumer_record") and asked <= set(unpack.co_names)
