"""Sending dead letters back to where they came from: as they are, once.

Record and audit-log entry are one transaction of the audit log's writer, so a second replay fences the first. Before
it sends anything a replay reads the audit log to its end: what a killed one committed is in it, what it did not commit
was aborted by the fencing. One that was fenced by another act goes on; one that was fenced by a replay ends.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time_ns

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from console.audit_log import AuditLog, offset_of
from console.desk.letters import REPLAYED, LetterFilter, read_letters, replayed_ids
from console.errors import CommandFailed
from console.progress import Meter
from console.who import who
from runtime.settings import Settings
from schemas.dead_letters import Chain, DeadLetter
from schemas.records import AuditEntry, partition_key
from schemas.sources import Source

PER_TRANSACTION = 500
BYTES_PER_TRANSACTION = 8 << 20
RUN = "run"  # in the audit log's `what`: which command it was


@dataclass(slots=True)
class Replayed:
    """What a replay did, or on a dry run would do.

    `skipped` letters were replayed before, `elsewhere` ones came from topics that are no sources here, and `missing`
    ids are unknown.
    """

    sent: int = 0
    skipped: int = 0
    elsewhere: int = 0
    by_class: Counter[str] = field(default_factory=Counter[str])
    missing: list[str] = field(default_factory=list[str])
    dry_run: bool = False


async def replay(settings: Settings, wanted: LetterFilter, *, why: str = "", dry_run: bool = False) -> Replayed:
    """Send every letter that the filter means and that was not replayed yet back to its topic and partition.

    Letters that arrive meanwhile are left for the next time. After a crash, run it again.

    Raises:
        CommandFailed: another replay has taken over; what was committed is not sent again.
        KafkaError: the broker refused, or the outcome is unknown; running again is safe.
    """
    if dry_run:
        return await _Replay(settings, wanted, await replayed_ids(settings), why).run(None)
    done: set[str] = set()
    others = _Others(uuid.uuid4().hex[:12])

    def take(entry: AuditEntry) -> None:
        others.take(entry)
        if entry.action == "replay":
            done.add(entry.what[REPLAYED])

    async with AuditLog(settings, take) as log:
        others.begin()
        return await _Replay(settings, wanted, done, why, others).run(log)


class _Others:
    """Whether another replay has written to the audit log since this one, `run`, began."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._watching = self._seen = False

    def begin(self) -> None:
        """From here on entries are news."""
        self._watching = True

    def take(self, entry: AuditEntry) -> None:
        """Look at an entry."""
        if self._watching and entry.action == "replay" and entry.what.get(RUN) != self.run:
            self._seen = True

    async def refuse(self) -> None:
        """
        Raises:
            CommandFailed: there is one.
        """
        if self._seen:
            raise CommandFailed("another replay has taken over; run this one again to send what that one does not")


class _Replay:
    """One replay under way; without a log it only counts."""

    def __init__(
        self, settings: Settings, wanted: LetterFilter, done: set[str], why: str, others: _Others | None = None
    ) -> None:
        self._settings, self._wanted, self._done, self._why = settings, wanted, done, why
        self._others = others or _Others("")
        self._sources = {settings.topics.source_topic(source) for source in Source}
        self._who = who()
        self._result = Replayed()

    async def run(self, log: AuditLog | None) -> Replayed:
        self._result.dry_run = log is None
        done = self._done.copy()
        unseen, waiting, size = set(self._wanted.ids), list[DeadLetter](), 0
        only = next(iter(self._wanted.ids)) if len(self._wanted.ids) == 1 else None
        with Meter("dry run" if log is None else "replay", unit="dead letters") as meter:
            async for portion in read_letters(self._settings, only):
                for letter in (p.letter for p in portion if p.letter is not None and self._wanted.matches(p.letter)):
                    unseen.discard(letter.id)
                    if letter.id in done:
                        self._result.skipped += 1
                        continue
                    if letter.topic not in self._sources:
                        self._result.elsewhere += 1
                        continue
                    done.add(letter.id)  # one that stands twice in the topic is sent once
                    waiting.append(letter)
                    size += len(letter.value or b"")
                    if len(waiting) >= PER_TRANSACTION or size >= BYTES_PER_TRANSACTION:
                        await self._send(log, waiting, meter)
                        waiting, size = [], 0
            await self._send(log, waiting, meter)
        self._result.missing = sorted(unseen)
        return self._result

    async def _send(self, log: AuditLog | None, letters: Sequence[DeadLetter], meter: Meter) -> None:
        if not letters:
            return

        async def post(producer: AIOKafkaProducer) -> list[AuditEntry]:
            waiting = [await self._post(producer, letter) for letter in letters]
            sent = await asyncio.gather(*waiting)
            return [self._entry(letter, place) for letter, place in zip(letters, sent, strict=True)]

        if log is not None:
            await log.commit(post, self._others.refuse)
        self._result.sent += len(letters)
        self._result.by_class.update(letter.error_class.value for letter in letters)
        meter.advance(len(letters))

    async def _post(self, producer: AIOKafkaProducer, letter: DeadLetter) -> asyncio.Future[RecordMetadata]:
        """Hand the record to the producer; the future is done once the broker has it."""
        chain = Chain(letter.attempts, letter.root, letter.first_failed_at).to_headers()
        return await producer.send(
            letter.topic, letter.value, key=letter.key, partition=letter.partition, headers=[*letter.headers, *chain]
        )

    def _entry(self, letter: DeadLetter, sent: RecordMetadata) -> AuditEntry:
        return AuditEntry(
            at=time_ns() // 1_000_000,
            who=self._who,
            action="replay",
            why=self._why,
            what={
                REPLAYED: letter.id,
                "root": letter.root,
                "error_class": letter.error_class.value,
                "attempts": str(letter.attempts),
                "sent_to": f"{partition_key(letter.topic, letter.partition)}/{offset_of(sent)}",
                RUN: self._others.run,
            },
        )
