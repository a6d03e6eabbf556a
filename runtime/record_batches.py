"""The records of a fetch, field by field, and how aiokafka passes on whole batches of them.

aiokafka passes every record through a generator and an iterator of its own, though its parser yields whole batches. And
an object per record, with a list for its headers, costs as much again later: the garbage collector looks through it, it
is asked for each of its fields, and it is freed, when it has long left the CPU's caches. So records are taken apart as
they are parsed, some hundred at a time, and few objects are kept: keys, and headers where there are any.

See `source_record` for what happens where aiokafka is not as known here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from aiokafka.record.default_records import DefaultRecordBatch

from runtime.source_record import SourceRecord, Unwrapped, put_inside
from schemas.packed import Packed, Packer

Longs = npt.NDArray[np.int64]
Headers = Sequence[tuple[str, bytes]]

_WORTH_IT = 8  # offsets of a batch from which on it is passed on as one
_AT_ONCE = 512  # records that are taken apart together, while they are in the CPU's caches
_LOG_APPEND_TIME = 1
_NO_TIMESTAMP = -1  # Kafka's own sign for it; aiokafka has None for records of its oldest format
_ASKED_OF_A_BATCH = ("base_offset", "next_offset", "is_control_batch", "timestamp_type", "max_timestamp")


class Record(NamedTuple):
    """One record: a `SourceRecord`."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Records of one partition in the order of their offsets; all fields have one element for each.

    But for `headers`: those of the records that have any, by index.
    """

    offsets: Longs = field(default_factory=lambda: np.empty(0, np.int64))
    timestamps: Longs = field(default_factory=lambda: np.empty(0, np.int64))  # UTC milliseconds
    keys: Sequence[bytes | None] = ()
    values: Packed = field(default_factory=Packed)
    headers: Mapping[int, Headers] = field(default_factory=dict[int, Headers])

    @classmethod
    def of(cls, records: Sequence[SourceRecord]) -> Self:
        """The same records, field by field."""
        timestamps = [_NO_TIMESTAMP if record.timestamp is None else record.timestamp for record in records]
        return cls(
            np.array([record.offset for record in records], np.int64),
            np.array(timestamps, np.int64),
            [record.key for record in records],
            Packed.of([record.value for record in records]),
            {index: record.headers for index, record in enumerate(records) if record.headers},
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> Record:
        offset, timestamp = int(self.offsets[index]), int(self.timestamps[index])
        return Record(offset, timestamp, self.keys[index], self.values[index], self.headers.get(index, ()))

    def part(self, start: int, stop: int) -> "Records":
        """The records `[start, stop)`."""
        if start <= 0 and stop >= len(self):
            return self
        headers = {index - start: found for index, found in self.headers.items() if start <= index < stop}
        rows = slice(start, stop)
        return Records(self.offsets[rows], self.timestamps[rows], self.keys[rows], self.values[rows], headers)


class RecordBatch:
    """The records of a batch, in place of one record; `offset` is the last one's."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.offset = int(records.offsets[-1])


def spare_batches(fetcher: Any) -> bool:
    """Have an aiokafka fetcher hand on a `RecordBatch` in place of most records; returns whether it will.

    Only for who takes all that has been fetched. Call it again at no cost.
    """
    known = all(hasattr(DefaultRecordBatch, name) for name in _ASKED_OF_A_BATCH)
    return put_inside(fetcher, _InBatches if known else Unwrapped)


def joined(fetched: Iterable[Any]) -> Records:
    """The records of what a fetcher handed on, whatever it does for each."""
    parts: list[Records] = []
    singles: list[SourceRecord] = []
    for item in fetched:
        if isinstance(item, RecordBatch):
            if singles:
                parts.append(Records.of(singles))
                singles = []
            parts.append(item.records)
        else:
            singles.append(item)
    if singles or not parts:
        parts.append(Records.of(singles))
    return parts[0] if len(parts) == 1 else _concatenated(parts)


def _concatenated(parts: Sequence[Records]) -> Records:
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    return Records(
        np.concatenate([part.offsets for part in parts]),
        np.concatenate([part.timestamps for part in parts]),
        list(chain.from_iterable(part.keys for part in parts)),
        Packed.joined(part.values for part in parts),
        {
            start + index: found
            for start, part in zip(starts, parts, strict=False)
            for index, found in part.headers.items()
        },
    )


class _InBatches(Unwrapped):
    """What is put in is told to take a batch for one record, too."""

    def prepare(self, records: Any) -> None:
        super().prepare(records)
        records._records = _Batches(records._records, records.next_fetch_offset)


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
        records = _taken_apart(self._batch)
        if self._batch.base_offset < self._fetch_offset:
            records = records.part(int(np.searchsorted(records.offsets, self._fetch_offset)), len(records))
        if len(records):
            yield RecordBatch(records)


def _taken_apart(batch: Any) -> Records:
    """The records of a batch of aiokafka's."""
    keys: list[bytes | None] = []
    values = Packer()
    headers: dict[int, Headers] = {}
    offsets: list[int] = []
    timestamps: list[int] = []
    stamped = batch.timestamp_type == _LOG_APPEND_TIME  # by the broker: all records have the same
    parsed = chain(batch)  # a batch itself can be asked for its iterator but once
    while records := list(islice(parsed, _AT_ONCE)):
        if any(found := [record.headers for record in records]):
            headers |= {index: one for index, one in enumerate(found, len(offsets)) if one}
        keys += [record.key for record in records]
        values.add([record.value for record in records])
        offsets += [record.offset for record in records]
        if not stamped:
            timestamps += [record.timestamp for record in records]
    stamps = np.full(len(offsets), batch.max_timestamp) if stamped else np.array(timestamps, np.int64)
    return Records(np.array(offsets, np.int64), stamps, keys, values.packed(), headers)
