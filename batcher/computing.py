"""Computations for the API: so many at a time, so many that wait, and each within its deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from batcher import metrics
from batcher.admission import Admission, AdmissionRules
from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.database_file import Interruption
from batcher.objections import Busy, NoRun, TooLate
from batcher.runs import Run
from batcher.sites import Site
from runtime.settings import ApiSettings

T = TypeVar("T")


class ComputeDesk:
    """Lets requests in, and reads the database for them."""

    def __init__(self, database: AsyncDatabase, settings: ApiSettings) -> None:
        self._database = database
        self._admission = Admission(AdmissionRules(settings.max_computations, settings.max_waiting))
        self._places = asyncio.Semaphore(settings.max_computations)
        self._deadline_s = settings.compute_deadline.total_seconds()

    async def compute(self, site: Site, as_of_ms: int | None, horizon: str, skus: Sequence[str]) -> tuple[Run, str]:
        """The site's run of an instant, or its newest one of a complete instant, and `answers.results_of` it.

        Raises:
            NoRun: there is none.
            Busy: too many wait already.
            TooLate: the deadline has passed; the query was interrupted.
        """
        until_ms = site.complete_until_ms if as_of_ms is None else as_of_ms
        if until_ms is None:
            raise NoRun(site.site_id, as_of_ms, horizon)
        exact = as_of_ms is not None
        found = await self._in_turn(lambda: self._read(site.site_id, horizon, until_ms, skus, exact=exact))
        if found is None:
            raise NoRun(site.site_id, as_of_ms, horizon)
        return found

    async def _in_turn(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work once it is its turn, and within the deadline."""
        stay_away_s = self._admission.arrive()
        if stay_away_s is not None:
            metrics.COMPUTE_REFUSED.labels("busy").inc()
            raise Busy(self._admission.inside, stay_away_s)
        metrics.COMPUTE_REQUESTS.set(self._admission.inside)
        worked_s: float | None = None
        try:
            async with asyncio.timeout(self._deadline_s), self._places:
                started_s = time.monotonic()
                try:
                    return await work()
                finally:
                    worked_s = time.monotonic() - started_s
        except TimeoutError:
            metrics.COMPUTE_REFUSED.labels("deadline").inc()
            raise TooLate(self._deadline_s, self._admission.retry_after_s) from None
        finally:
            self._admission.depart(worked_s)
            metrics.COMPUTE_REQUESTS.set(self._admission.inside)

    async def _read(
        self, site_id: str, horizon: str, until_ms: int, skus: Sequence[str], *, exact: bool
    ) -> tuple[Run, str] | None:
        """Ask the database; whoever is cancelled while it works leaves no query behind."""
        interruption = Interruption()
        try:
            return await self._database.read(
                Database.compute, site_id, horizon, until_ms, skus, exact=exact, interruption=interruption
            )
        except asyncio.CancelledError:
            interruption.interrupt()
            raise
