"""The letters that a filter means, one by one, for whoever acts on them."""

from collections.abc import AsyncGenerator

from console.desk.letters import LetterFilter, read_letters
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter


class WantedLetters:
    """`read` them once; `missing` then has the ids that were asked for and are not there."""

    def __init__(self, settings: Settings, wanted: LetterFilter) -> None:
        self._settings, self._wanted = settings, wanted
        self._unseen = set(wanted.ids)

    @property
    def missing(self) -> list[str]:
        """Ids that were not met, sorted."""
        return sorted(self._unseen)

    async def read(self) -> AsyncGenerator[DeadLetter, None]:
        """Every letter that is meant, those of now: what arrives meanwhile is left for the next time."""
        only = next(iter(self._wanted.ids)) if len(self._wanted.ids) == 1 else None
        async for portion in read_letters(self._settings, only):
            for posted in portion:
                if posted.letter is not None and self._wanted.matches(posted.letter):
                    self._unseen.discard(posted.letter.id)
                    yield posted.letter
