"""An index of dead letters in a test without a broker: records as they would come from the topics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord

from console.desk.grouping import Group, form_of, parts_of, path_shown, producer_in
from console.desk.index import DeskIndex
from console.desk.index_file import open_file
from console.desk.indexing import IndexWriter, Source
from console.desk.letter_rows import Stretch, stretch_of
from schemas.codecs import encode
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.records import AuditEntry

NOON = 1_298_980_800_000  # 2011-03-01T12:00:00Z
TOPIC = "wms.orders.v1"
SOURCE = Source("dead-letters", "audit-log", "producer", {"dead_letters": "dead-letters 1"})
ENDS = {"dead-letters": {0: 1 << 30, 1: 1 << 30}, "audit-log": {0: 1 << 30}}


def letter(offset: int = 7, *, error_class: ErrorClass = ErrorClass.BAD_FORMAT, **changes: Any) -> DeadLetter:
    """A dead letter of orders partition 2; its record arrived `offset` seconds after noon."""
    known: dict[str, Any] = {
        "value": b'{"site_id": "S1", "sku": "A%d", "event_time": "12/31/2010 08:26"}' % offset,
        "headers": (("producer", b"scanner-7"),),
        "topic": TOPIC,
        "partition": 2,
        "offset": offset,
        "timestamp": NOON + offset * 1000,
        "key": b"post",
        "stage": "validate",
        "path": "$.event_time",
        "message": "not an RFC 3339 time",
        "attempts": 1,
        "root": f"{TOPIC}/2/{offset}",
        "first_failed_at": NOON,
        "pipeline_version": "0.1.0",
    }
    return DeadLetter(error_class=error_class, **{**known, **changes})


def group_of(letter: DeadLetter) -> Group:
    """The group of a letter, worked out by itself."""
    _, structure, pattern = form_of(letter.value, parts_of(letter.path))
    path, producer = path_shown(letter.path), producer_in(letter.headers, SOURCE.producer_header)
    return Group(letter.topic, letter.error_class.value, path, producer, structure, pattern)


def record(
    topic: str, offset: int, value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), **more: Any
) -> ConsumerRecord:
    """A record as a consumer gives it; written at noon and `offset` minutes."""
    known = {"partition": 0, "timestamp": NOON + offset * 60_000, **more}
    return ConsumerRecord(
        topic=topic,
        offset=offset,
        timestamp_type=0,
        key=None,
        value=value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(headers),
        **known,
    )


def letter_records(letters: Sequence[DeadLetter], first: int = 0, partition: int = 0) -> list[ConsumerRecord]:
    """Letters as records from an offset on."""
    numbered = enumerate(letters, first)
    return [record(SOURCE.dead_letters, n, one.value, one.to_headers(), partition=partition) for n, one in numbered]


def stretch(records: Sequence[ConsumerRecord]) -> Stretch:
    """Records as the index's writer wants them."""
    return stretch_of(records[0].partition, records, SOURCE.producer_header)


def act_records(acts: Sequence[tuple[str, str, dict[str, str]]], first: int = 0) -> list[ConsumerRecord]:
    """Entries of the audit log from an offset on: action, letter id, and what else it is about."""
    entries = [
        AuditEntry(at=NOON, who="ann@desk", action=action, why="because", what={"dead_letter": letter_id, **what})  # type: ignore[arg-type]
        for action, letter_id, what in acts
    ]
    return [record(SOURCE.audit_log, n, encode(entry)) for n, entry in enumerate(entries, first)]


class DeskWorld:
    """An index, its writer, and how much of the topics it was given."""

    def __init__(self, path: Path, source: Source = SOURCE) -> None:
        self.path = path
        self.index = DeskIndex.open(path)
        self.writer = IndexWriter(open_file(path), source)
        self.positions = self.writer.begin(ENDS)
        self.letters = self.acts = 0

    def close(self) -> None:
        """Close the file."""
        self.index.close()
        self.writer.close()

    def post(self, *letters: DeadLetter) -> None:
        """Letters arrive."""
        self.writer.add_letters(stretch(letter_records(letters, self.letters)))
        self.letters += len(letters)

    def expire(self, begin: int) -> None:
        """Retention removes what is below an offset."""
        self.writer.finish({0: begin}, {SOURCE.dead_letters: {0: self.letters}, SOURCE.audit_log: {0: self.acts}})

    def act(self, action: str, letter_id: str, **what: str) -> None:
        """Something is done about a letter."""
        self.writer.add_acts(act_records([(action, letter_id, what)], self.acts))
        self.acts += 1
