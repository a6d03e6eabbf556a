"""What the pages of the desk share: the index, asked in threads, and the follower that keeps it up to date."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from aiohttp import web
from confluent_kafka import KafkaException

from console.desk.expiry import UNLIMITED, Retention, read_retention
from console.desk.following import follow
from console.desk.index import DeskIndex
from console.desk.index_file import index_path
from console.desk.indexed import IndexedLetter, State
from console.desk.letter_filter import LetterFilter
from console.desk.repair import Schemas
from console.desk.whole_letters import text_search, whole_letters
from console.web.keys import HEALTH, SETTINGS
from console.web.letters.choice import Choice
from console.web.letters.follower import IndexFollower, IndexState
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter
from schemas.sources import Source
from streams.intake import Intake
from streams.intake_rules import IntakeRules

Answer = TypeVar("Answer")

CATCH_UP_S = 5.0
CANCEL_AGAIN_S = 1.0
RETENTION_KEPT_S = 60.0


@dataclass(frozen=True, slots=True)
class Gates:
    """The gate of each source as the pipeline has it, and the schemas by which Avro is read."""

    of: dict[Source, Intake]
    schemas: Schemas


class Desk:
    """Questions to the index. Every method may raise `CommandFailed`: it cannot be used."""

    def __init__(self, settings: Settings, follower: IndexFollower) -> None:
        self._settings, self.follower = settings, follower
        self._path = index_path(settings)
        self._gates: Gates | None = None
        self._retention, self._asked_s = UNLIMITED, -RETENTION_KEPT_S
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Keep the index up to date from now on; the first page that asks begins it, too."""
        if self._task is None:
            self._task = asyncio.create_task(self.follower.run(), name="index of dead letters")

    async def close(self) -> None:
        """End that, even where a library it is waiting for has lost a cancellation."""
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CANCEL_AGAIN_S)

    async def ready(self) -> IndexState:
        """Wait a moment if it is being filled, or lacks what was done here; returns what answers may still lack."""
        self.begin()
        await self.follower.fresh()
        return self.follower.state

    async def ask(self, question: Callable[[DeskIndex], Answer]) -> Answer:
        """What the index answers, asked in a thread."""
        await self.ready()

        def ask() -> Answer:
            with DeskIndex.open(self._path) as index:
                return question(index)

        return await asyncio.to_thread(ask)

    async def confirmed(self, choice: Choice) -> set[int]:
        """Letters that have the wanted text where the index does not hold it: read from the topic."""
        if choice.wanted.text is None:
            return set()
        with DeskIndex.open(self._path) as index:
            return await text_search(self._settings, index, choice.wanted, choice.states)

    async def retention(self) -> Retention:
        """How long the topic keeps a letter, as the broker said not long ago; without limit where it says nothing."""
        if monotonic() - self._asked_s > RETENTION_KEPT_S:
            self._asked_s = monotonic()
            with suppress(KafkaException):  # the follower says that Kafka does not answer
                self._retention = await asyncio.to_thread(read_retention, self._settings)
        return self._retention

    async def whole(self, letter: IndexedLetter) -> DeadLetter | None:
        """A letter byte for byte; None if the topic has forgotten it meanwhile."""
        return next(iter(await self.wholes([letter])), None)

    async def wholes(self, letters: Collection[IndexedLetter]) -> list[DeadLetter]:
        """Some letters byte for byte, but for those that the topic has forgotten."""
        return [found async for _, found in whole_letters(self._settings, [one.place for one in letters])]

    async def letters_of(self, group_id: str, states: Collection[State]) -> AsyncGenerator[DeadLetter, None]:
        """The letters of a group that are in one of some states now, those of a partition in their order."""
        wanted = LetterFilter(groups=frozenset({group_id}))
        places = await self.ask(lambda index: index.places(wanted, states=states))
        async with aclosing(whole_letters(self._settings, places)) as letters:
            async for _, letter in letters:
                yield letter

    async def catch_up(self) -> None:
        """Bring the index up to date at once, as far as that does not take long: somebody wants to see their act."""
        with suppress(Exception):  # the follower says what is wrong
            await asyncio.wait_for(follow(self._settings), CATCH_UP_S)

    async def gates(self) -> Gates:
        """The gates by the settings, made once."""
        if self._gates is None:
            rules = await asyncio.to_thread(IntakeRules.from_settings, self._settings.intake)
            self._gates = Gates({source: Intake(source, rules) for source in Source}, rules.avro_schemas)
        return self._gates


DESK = web.AppKey("DESK", Desk)


def add_desk(app: web.Application) -> None:
    """The desk; its follower ends with the application."""
    app[DESK] = Desk(app[SETTINGS], IndexFollower(app[SETTINGS], app[HEALTH]))
    app.cleanup_ctx.append(_closing)


async def _closing(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[DESK].close()
