"""The letters of one transaction of a replay: what is to be done with each, and doing it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time_ns
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from console.audit_log import offset_of
from console.desk.acts import RECIPE, RECIPE_SHA256, SENT_TO, ActBook, Action, entry_of
from console.desk.grouping import producer_in
from console.desk.repair import Schemas, Unrepairable, repair
from console.desk.replay_order import ReplayOrder, Tally
from runtime.settings import Settings
from schemas import dead_letters
from schemas.dead_letters import Chain, DeadLetter
from schemas.records import AuditEntry, partition_key
from schemas.sources import Source

BYTES_PER_TRANSACTION = 8 << 20


class Item(NamedTuple):
    """A letter that is replayed with this value, or parked."""

    letter: DeadLetter
    action: Action
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Desk:
    """What the portions of one replay have in common; `book` and `tally` change as it goes on."""

    settings: Settings
    order: ReplayOrder
    book: ActBook
    tally: Tally
    schemas: Schemas
    run: str
    actor: str
    sources: dict[str, Source] = field(default_factory=dict[str, Source])

    def source_of(self, topic: str) -> Source | None:
        """The source that a topic carries, None where it carries none here."""
        if not self.sources:
            self.sources.update({self.settings.topics.source_topic(source): source for source in Source})
        return self.sources.get(topic)


class Portion:
    """Letters are added until it is `full`; `send` is handed to the audit log's writer, and may be called again."""

    def __init__(self, desk: Desk, most: int) -> None:
        self._desk, self._most = desk, most
        self._items: dict[str, Item] = {}
        self._bytes = 0
        self.places: list[str] = []  # where the records went, `topic/partition/offset`

    @property
    def full(self) -> bool:
        """Whether it is time to send."""
        return len(self._items) >= self._most or self._bytes >= BYTES_PER_TRANSACTION

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self._items

    def take(self) -> list[Item]:
        """What was added, for somebody who only wants to know; the portion is empty then."""
        items, self._items, self._bytes = list(self._items.values()), {}, 0
        return items

    def add(self, letter: DeadLetter) -> None:
        """Decide on a letter: it is sent, parked, or left, and then the tally says why."""
        desk, tally = self._desk, self._desk.tally
        source = desk.source_of(letter.topic)
        if source is None:
            tally.elsewhere += 1
        elif not self._is_meant(letter, source):
            tally.unmatched += 1
        elif letter.id not in self._items and not self._is_left(letter):
            self._put(letter)

    def _is_meant(self, letter: DeadLetter, source: Source) -> bool:
        recipe = self._desk.order.recipe
        if recipe is None:
            return True
        return recipe.is_for(letter, source, producer_in(letter.headers, self._desk.settings.desk.producer_header))

    def _is_left(self, letter: DeadLetter) -> bool:
        """Whether something was done to it before; what this replay did itself needs no mention."""
        desk = self._desk
        act = desk.book.hinders(letter.id, "replay", include_parked=desk.order.include_parked)
        if act is not None and act.run != desk.run:
            desk.tally.leftovers.add(letter.id, act)
        return act is not None

    def _put(self, letter: DeadLetter) -> None:
        desk, order = self._desk, self._desk.order
        if letter.attempts >= order.max_attempts and not order.include_parked:
            self._items[letter.id] = Item(letter, "park", None)
            return
        value = letter.value
        if order.recipe is not None:
            repaired = repair(order.recipe, value, desk.schemas)
            if isinstance(repaired, Unrepairable):
                desk.tally.cannot(letter.id, repaired)
                return
            desk.tally.repaired += 1
            value = repaired
        self._items[letter.id] = Item(letter, "replay", value)
        self._bytes += len(value or b"")

    # -- doing it ------------------------------------------------------------------------------------------------------

    async def send(self, producer: AIOKafkaProducer) -> Sequence[AuditEntry]:
        """Send the records; the entries that it returns say where they went. What others acted on meanwhile is left."""
        self._items = {letter_id: item for letter_id, item in self._items.items() if not self._is_left(item.letter)}
        replayed = [item for item in self._items.values() if item.action == "replay"]
        sent = await asyncio.gather(*[await self._post(producer, item) for item in replayed])
        self.places = [_place(metadata) for metadata in sent]
        entries = [
            self._entry(item, {SENT_TO: place, **self._recipe_named()})
            for item, place in zip(replayed, self.places, strict=True)
        ]
        parked = [item for item in self._items.values() if item.action == "park"]
        return entries + [self._entry(item, {}) for item in parked]

    def count(self) -> None:
        """What was committed, into the tally."""
        tally = self._desk.tally
        for item in self._items.values():
            if item.action == "park":
                tally.parked += 1
            else:
                tally.sent += 1
                tally.by_class[item.letter.error_class.value] += 1

    async def _post(self, producer: AIOKafkaProducer, item: Item) -> "asyncio.Future[RecordMetadata]":
        """Hand a record to the producer; the future is done once the broker has it."""
        letter = item.letter
        chain = Chain(letter.attempts, letter.root, letter.first_failed_at).to_headers()
        recipe = self._desk.order.recipe
        made_by = [] if recipe is None else [(dead_letters.RECIPE, f"{recipe.name}@{recipe.sha256}".encode())]
        return await producer.send(
            letter.topic,
            item.value,
            key=letter.key,
            partition=letter.partition,
            headers=[*letter.headers, *chain, *made_by],
        )

    def _recipe_named(self) -> dict[str, str]:
        recipe = self._desk.order.recipe
        return {} if recipe is None else {RECIPE: recipe.name, RECIPE_SHA256: recipe.sha256}

    def _entry(self, item: Item, more: dict[str, str]) -> AuditEntry:
        desk = self._desk
        why = desk.order.why
        if item.action == "park":
            why = f"failed {item.letter.attempts} times; desk.max_attempts is {desk.order.max_attempts}"
        now = time_ns() // 1_000_000
        return entry_of(item.letter, item.action, at=now, who=desk.actor, why=why, run=desk.run, more=more)


def _place(metadata: RecordMetadata) -> str:
    return f"{partition_key(metadata.topic, metadata.partition)}/{offset_of(metadata)}"
