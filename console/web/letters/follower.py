"""Keeping the index of dead letters up to date while the console runs."""

import asyncio
import time
from contextlib import suppress
from typing import NamedTuple

import structlog

from console.desk.following import follow
from runtime.health import Health
from runtime.settings import Settings

log = structlog.get_logger(__name__)

EVERY_S = 2.0
AGAIN_S = 5.0  # after a failure
FRESH_S = 2.0  # that questions wait for the first reading, and after an act of this console for one that has it
LATE_S = 10.0  # after which pages and `/readyz` say that the index lags
REASON, LAGS = "letters-index", "the index of dead letters lags"
READING = "New letters are being read"


class IndexState(NamedTuple):
    """What pages say of the index: `filling` how far the first reading is, `trouble` what is wrong; None: nothing."""

    filling: str | None
    trouble: str | None


class IndexFollower:
    """Reads what the topics have beyond the index, again and again.

    `followed_at` is in seconds since the epoch; for `filling` and `trouble` see `IndexState`.
    """

    def __init__(self, settings: Settings, health: Health) -> None:
        self._settings, self._health = settings, health
        self._wanted = asyncio.Event()
        self._began_s = self._wanted_s = time.monotonic()
        self._read = 0
        self._acts, self._acts_read = 0, -1  # of this console; how many of them the index has, none before it was read
        self._news = asyncio.Condition()
        self.followed_at: float | None = None
        self.filling: str | None = f"{READING}; the index does not have them yet."
        self.trouble: str | None = None

    async def run(self) -> None:
        """For ever; what fails is said in `trouble` and in the health, and tried again."""
        while True:
            self._began_s, self._read, acts = time.monotonic(), 0, self._acts
            try:
                await follow(self._settings, self._on_progress)
            except Exception as error:  # whatever it is, the index stays as it was and the pages say so
                self.trouble = f"the index of dead letters is not kept up to date: {_reason(error)}"
                self._health.raise_reason(REASON, self.trouble)
                pause_s = AGAIN_S
            else:
                self.followed_at, self.filling, self.trouble = time.time(), None, None
                self._health.clear(REASON)
                pause_s = EVERY_S
            async with self._news:
                self._acts_read = acts
                self._news.notify_all()
            await self._sleep(pause_s)

    async def fresh(self) -> None:
        """Wait until everything that was done here is in the index, but not longer than a page may take."""
        wanted = self._acts
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._wanted_s + FRESH_S - time.monotonic())), self._news:
                await self._news.wait_for(lambda: self._acts_read >= wanted)

    @property
    def state(self) -> IndexState:
        """What to say now; of an answer, what was to be said before it was asked for."""
        return IndexState(self.filling, self.trouble)

    def hurry(self) -> None:
        """Somebody has acted: look again at once."""
        self._acts, self._wanted_s = self._acts + 1, time.monotonic()
        self._wanted.set()

    def _on_progress(self, total: int, more: int) -> None:
        self._read += more
        if self.followed_at is None:
            self.filling = f"{READING}: {self._read:,} of {total:,} are in the index so far, and only these are shown."
        if time.monotonic() - self._began_s > LATE_S:
            self.trouble = f"{LAGS}: {self._read:,} of {total:,} new letters are in it"
            self._health.raise_reason(REASON, LAGS)  # the figures are on the pages

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):  # not wait_for: before Python 3.12 a cancellation may get lost in it
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        self._wanted.clear()


def _reason(error: Exception) -> str:
    text = str(error) or "no reason given"
    return f"topic {error} does not exist" if isinstance(error, KeyError) else f"{text} ({type(error).__name__})"
