"""Setting dead letters aside: discarded ones are done with, parked ones wait for somebody to decide."""

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from time import time_ns
from typing import Literal

from aiokafka import AIOKafkaProducer

from console.audit_log import AuditLog
from console.desk.acts import ActBook, Leftovers, entry_of
from console.who import who
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter
from schemas.records import AuditEntry


@dataclass(slots=True)
class SetAside:
    """How many letters were set aside, and which were left because something had been done to them."""

    run: str
    done: int = 0
    leftovers: Leftovers = field(default_factory=Leftovers)


async def set_aside(
    settings: Settings,
    action: Literal["discard", "park"],
    letters: AsyncGenerator[DeadLetter, None],
    why: str,
    actor: str | None = None,
) -> SetAside:
    """Write an act on each letter into the audit log; nothing is sent and nothing is removed.

    Raises:
        KafkaError: the broker refused, or the outcome is unknown; running again is safe.
    """
    book, result = ActBook(), SetAside(uuid.uuid4().hex[:12])
    async with AuditLog(settings, book.take) as log, aclosing(letters):
        acts = _Acts(action, why, actor or who(), book, result)
        async for letter in letters:
            acts.waiting[letter.id] = letter
            if len(acts.waiting) >= settings.desk.per_transaction:
                await acts.commit(log)
        await acts.commit(log)
    return result


@dataclass(slots=True)
class _Acts:
    """Those of one transaction after another."""

    action: Literal["discard", "park"]
    why: str
    who: str
    book: ActBook
    result: SetAside
    waiting: dict[str, DeadLetter] = field(default_factory=dict[str, DeadLetter])

    async def commit(self, log: AuditLog) -> None:
        """Write those that wait, but for what others acted on meanwhile."""
        if self.waiting:
            await log.commit(self._entries)
            self.result.done += len(self.waiting)
            self.waiting = {}

    async def _entries(self, _: AIOKafkaProducer) -> Sequence[AuditEntry]:
        for letter_id in list(self.waiting):
            act = self.book.hinders(letter_id, self.action)
            if act is not None:
                del self.waiting[letter_id]
                if act.run != self.result.run:
                    self.result.leftovers.add(letter_id, act)
        now = time_ns() // 1_000_000
        return [
            entry_of(letter, self.action, at=now, who=self.who, why=self.why, run=self.result.run)
            for letter in self.waiting.values()
        ]
