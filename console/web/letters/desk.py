"""What the pages of the desk share: the index, asked in threads, and the follower that keeps it up to date."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeVar

from aiohttp import web

from console.desk.index import DeskIndex
from console.desk.index_file import index_path
from console.desk.indexed import IndexedLetter
from console.desk.whole_letters import text_search, whole_letters
from console.web.keys import HEALTH, SETTINGS
from console.web.letters.choice import Choice
from console.web.letters.follower import IndexFollower
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter

Answer = TypeVar("Answer")


class Desk:
    """Questions to the index. Every method may raise `CommandFailed`: it cannot be used."""

    def __init__(self, settings: Settings, follower: IndexFollower) -> None:
        self._settings, self.follower = settings, follower
        self._path = index_path(settings)

    async def ask(self, question: Callable[[DeskIndex], Answer]) -> Answer:
        """What the index answers, asked in a thread."""

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

    async def retention_ms(self) -> int | None:
        """How long the topic keeps a letter; None where it keeps all."""
        return None

    async def whole(self, letter: IndexedLetter) -> DeadLetter | None:
        """A letter byte for byte; None if the topic has forgotten it meanwhile."""
        async for _, found in whole_letters(self._settings, [letter.place]):
            return found
        return None


DESK = web.AppKey("DESK", Desk)


def add_desk(app: web.Application) -> None:
    """The desk; its follower runs as long as the application."""
    app[DESK] = Desk(app[SETTINGS], IndexFollower(app[SETTINGS], app[HEALTH]))
    app.cleanup_ctx.append(_following)


async def _following(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[DESK].follower.run(), name="index of dead letters")
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
