"""What a fetch hands on of each record, and how to get it without what aiokafka does for each.

aiokafka builds a `ConsumerRecord` of eleven fields for every record, a third of the time of a fetch. The record that
its parser makes underneath has the fields that we need, under the same names.

aiokafka offers no way to ask for it, so `spare_records`, like `spare_batches` of `record_batches`, reaches inside, and
gives up without harm where the inside is not what it knows: then the records that come are `ConsumerRecord`s, which are
`SourceRecord`s too. The setting `stream.lean_records` switches it off.
"""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

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


def spare_records(fetcher: Any) -> bool:
    """Have an aiokafka fetcher hand on its parser's records; returns whether it will. Call it again at no cost."""
    return put_inside(fetcher, Unwrapped)


class Unwrapped(dict[Any, Any]):
    """aiokafka's fetched but unread records by partition; what is put in is told not to wrap its records."""

    def __setitem__(self, tp: Any, result: Any) -> None:
        if (records := getattr(result, "_partition_records", None)) is not None:
            self.prepare(records)
        super().__setitem__(tp, result)

    def prepare(self, records: Any) -> None:
        """Tell aiokafka's records of one partition what to do; they have not been read yet."""
        records._consumer_record = _as_it_is


def _as_it_is(tp: Any, record: Any) -> Any:
    return record


def put_inside(fetcher: Any, kind: type[Unwrapped]) -> bool:
    """Let a fetcher keep what it has fetched in such a dictionary; returns whether it is as known, and will."""
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
