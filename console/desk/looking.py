"""Looking at dead letters from the command line: the index is brought up to date first, with progress if it takes."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from console.desk.following import follow
from console.desk.index import EVERYTHING, DeskIndex
from console.desk.indexed import LetterCounts, State
from console.desk.letter_filter import LetterFilter
from console.desk.whole_letters import text_search
from console.progress import Meter
from runtime.settings import Settings

SHOWN_FROM = 20_000  # letters to read: fewer are there before anybody wonders


@dataclass(frozen=True, slots=True)
class Look:
    """The index as of now, and which letters have the wanted text beyond what it holds (see `text_search`)."""

    index: DeskIndex
    confirmed: Collection[int]


@asynccontextmanager
async def looking(settings: Settings, wanted: LetterFilter, states: Collection[State] = ()) -> AsyncIterator[Look]:
    """The index for as long as it is looked at.

    Raises:
        CommandFailed, RecordUnreadable, KeyError, KafkaException, KafkaError: as `follow` does.
    """
    with _Progress() as progress:
        path = await follow(settings, progress.note)
    with await asyncio.to_thread(DeskIndex.open, path) as index:
        yield Look(index, await text_search(settings, index, wanted, states))


async def letter_counts(settings: Settings, wanted: LetterFilter = EVERYTHING) -> LetterCounts:
    """Count the letters that a filter means, as of now.

    Raises:
        CommandFailed, RecordUnreadable, KeyError, KafkaException, KafkaError: as `follow` does.
    """
    async with looking(settings, wanted) as look:
        return look.index.stats(wanted, confirmed=look.confirmed)


class _Progress:
    """A meter that appears only where there is much to read."""

    def __init__(self) -> None:
        self._meter: Meter | None = None

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._meter is not None:
            self._meter.__exit__(*error)  # type: ignore[arg-type]

    def note(self, total: int, more: int) -> None:
        """So many letters in all, so many more are read."""
        if total < SHOWN_FROM:
            return
        if self._meter is None:
            self._meter = Meter("index", total=total, unit="dead letters").__enter__()
        self._meter.advance(more)
