"""Sending dead letters back to where they came from: as they are, once.

Record and audit-log entry are one transaction of a producer with a fixed transactional id, so a second replay fences
the first. Before it sends anything a replay reads the audit log to its end: what a killed one committed is in it, what
it did not commit was aborted by the fencing.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time_ns

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced

from console.desk.letters import REPLAYED, LetterFilter, read_letters, replayed_ids
from console.errors import CommandFailed
from console.progress import Meter
from console.who import who
from runtime.connections import transactional_producer
from runtime.crash_points import crash_point
from runtime.settings import Settings
from schemas.codecs import encode
from schemas.dead_letters import Chain, DeadLetter
from schemas.records import AuditEntry
from schemas.sources import Source
from schemas.topics import TopicRole

PER_TRANSACTION = 500
BYTES_PER_TRANSACTION = 8 << 20


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
        return await _Replay(settings, wanted, None, why).run()
    producer = transactional_producer(
        settings.kafka,
        f"{settings.kafka.stream_group}/dlq-replay",
        compression_type="lz4",
    )
    try:
        await producer.start()
        return await _Replay(settings, wanted, producer, why).run()
    except ProducerFenced:
        raise CommandFailed(
            "another replay has taken over; run this one again to send what that one does not"
        ) from None
    finally:
        await producer.stop()


class _Replay:
    """One replay under way; without a producer it only counts."""

    def __init__(self, settings: Settings, wanted: LetterFilter, producer: AIOKafkaProducer | None, why: str) -> None:
        self._settings, self._wanted, self._producer, self._why = settings, wanted, producer, why
        self._sources = {settings.topics.source_topic(source) for source in Source}
        self._who = who()
        self._result = Replayed(dry_run=producer is None)

    async def run(self) -> Replayed:
        done = await replayed_ids(self._settings)
        unseen, waiting, size = set(self._wanted.ids), list[DeadLetter](), 0
        only = next(iter(self._wanted.ids)) if len(self._wanted.ids) == 1 else None
        with Meter("dry run" if self._producer is None else "replay", unit="dead letters") as meter:
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
                        await self._send(waiting, meter)
                        waiting, size = [], 0
            await self._send(waiting, meter)
        self._result.missing = sorted(unseen)
        return self._result

    async def _send(self, letters: Sequence[DeadLetter], meter: Meter) -> None:
        if not letters:
            return
        if self._producer is not None:
            await self._commit(self._producer, letters)
        self._result.sent += len(letters)
        self._result.by_class.update(letter.error_class.value for letter in letters)
        meter.advance(len(letters))

    async def _commit(self, producer: AIOKafkaProducer, letters: Sequence[DeadLetter]) -> None:
        async with producer.transaction():
            waiting = [future for letter in letters for future in await self._post(producer, letter)]
            await asyncio.gather(*waiting)
            crash_point("replay.before_commit")
        crash_point("replay.after_commit")

    async def _post(self, producer: AIOKafkaProducer, letter: DeadLetter) -> list[asyncio.Future]:
        """Hand the record and its audit-log entry to the producer; the futures are done once the broker has them."""
        chain = Chain(letter.attempts, letter.root, letter.first_failed_at).to_headers()
        record = await producer.send(
            letter.topic, letter.value, key=letter.key, partition=letter.partition, headers=[*letter.headers, *chain]
        )
        entry = AuditEntry(
            at=time_ns() // 1_000_000,
            who=self._who,
            action="replay",
            why=self._why,
            what={
                REPLAYED: letter.id,
                "root": letter.root,
                "error_class": letter.error_class.value,
                "attempts": str(letter.attempts),
            },
        )
        audit_log = self._settings.topics.name(TopicRole.AUDIT_LOG)
        return [record, await producer.send(audit_log, encode(entry))]
