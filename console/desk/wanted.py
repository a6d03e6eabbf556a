"""The letters that a filter means, for who acts on them: the index knows where they lie, the topic has them whole."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Self

from console.desk.letter_filter import LetterFilter
from console.desk.looking import looking
from console.desk.places import Place
from console.desk.whole_letters import whole_letters
from runtime.settings import Settings
from runtime.threads import to_its_end
from schemas.dead_letters import DeadLetter


class WantedLetters:
    """`find` them, `read` them once; `missing` then has the ids that were asked for and are not there."""

    def __init__(self, settings: Settings, ids: Iterable[str], places: list[Place]) -> None:
        self._settings, self._places = settings, places
        self._unseen = set(ids)

    @classmethod
    async def find(cls, settings: Settings, wanted: LetterFilter) -> Self:
        """Those of now, whatever was done to them; what arrives meanwhile is left for the next time.

        The index is brought up to date first, with progress if it takes.

        Raises:
            CommandFailed, RecordUnreadable, KeyError, KafkaException, KafkaError: as `looking` does.
        """
        async with looking(settings, wanted) as look:
            places = await to_its_end(look.index.places, wanted, confirmed=look.confirmed)
        return cls(settings, wanted.ids, places)

    @property
    def missing(self) -> list[str]:
        """Ids that were not met, sorted."""
        return sorted(self._unseen)

    async def read(self) -> AsyncGenerator[DeadLetter, None]:
        """Every letter, but for those that the topic has forgotten; those of a partition in their order."""
        async with aclosing(whole_letters(self._settings, self._places)) as letters:
            async for _, letter in letters:
                self._unseen.discard(letter.id)
                yield letter
