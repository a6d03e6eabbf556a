"""Records of our own topics, decoded; one that is none of ours is named by its place."""

from typing import TypeVar

import msgspec
from aiokafka.structs import ConsumerRecord

from console.errors import CommandFailed
from schemas.codecs import decode
from schemas.records import AuditEntry, ControlRecord, Frontier, Manifest

Record = TypeVar("Record", Manifest, Frontier, ControlRecord, AuditEntry)


class RecordUnreadable(CommandFailed):
    """A record of one of our topics is none of ours."""

    def __init__(self, record: ConsumerRecord, kind: type, why: str) -> None:
        self.where = f"{record.topic}/{record.partition}/{record.offset}"
        super().__init__(f"{self.where} is no {kind.__name__}: {why}")


def decoded(record: ConsumerRecord, kind: type[Record]) -> Record:
    """
    Raises:
        RecordUnreadable: it is no such record.
    """
    try:
        return decode(record.value or b"", kind)
    except msgspec.DecodeError as error:
        raise RecordUnreadable(record, kind, str(error)) from error
