"""Computations for the API: so many at a time, so many that wait, and each within its deadline."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from batcher import metrics
from batcher.admission import Admission, AdmissionRules
from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.database_file import Interruption
from batcher.objections import Busy, TooLate
from batcher.runs import Run
from runtime.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Wanted:
    """Results of a site: those of the instant `until_ms` if it is to be `exact`, else the newest ones up to it."""

    site_id: str
    horizon: str
    until_ms: int
    exact: bool
    skus: Sequence[str]


class ComputeDesk:
    """Lets requests in, and reads the database for them."""

    def __init__(self, database: AsyncDatabase, settings: ApiSettings) -> None:
        self._database = database
        self._admission = Admission(AdmissionRules(settings.max_computations, settings.max_waiting))
        self._places = asyncio.Semaphore(settings.max_computations)
        self._deadline_s = settings.compute_deadline.total_seconds()

    async def compute(self, wanted: Wanted) -> tuple[Run, str] | None:
        """The run, and its results as JSON objects with commas between them; None where there is no such run.

        Raises:
            Busy: too many wait already.
            TooLate: the deadline has passed; the query was interrupted.
        """
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
                    return await self._read(wanted)
                finally:
                    worked_s = time.monotonic() - started_s
        except TimeoutError:
            metrics.COMPUTE_REFUSED.labels("deadline").inc()
            raise TooLate(self._deadline_s, self._admission.retry_after_s) from None
        finally:
            self._admission.depart(worked_s)
            metrics.COMPUTE_REQUESTS.set(self._admission.inside)

    async def _read(self, wanted: Wanted) -> tuple[Run, str] | None:
        """Ask the database; whoever is cancelled while it works leaves no query behind."""
        interruption = Interruption()
        try:
            return await self._database.read(
                Database.compute,
                wanted.site_id,
                wanted.horizon,
                wanted.until_ms,
                wanted.skus,
                exact=wanted.exact,
                interruption=interruption,
            )
        except asyncio.CancelledError:
            interruption.interrupt()
            raise
