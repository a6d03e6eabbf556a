"""Asking the batch workers to make the job of the night: for the command line, cron and Prefect alike."""

from dataclasses import dataclass
from typing import Any

import msgspec

from console.client import BatchApi, Question
from console.errors import CommandFailed
from runtime.refusals import Refusal
from runtime.settings import Settings


class NightRefused(Refusal):
    """A site is closed: the message says why, and until when."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each site's job, by site; and sites of which no job could be asked, with the reason."""

    rows: list[dict[str, Any]]
    left_out: dict[str, str]

    def judge(self) -> None:
        """Nothing, where all is done or was already.

        Raises:
            CommandFailed, NightRefused: see `judge_failures` and `judge_refusals`; failures come first.
        """
        self.judge_failures()
        self.judge_refusals()

    def judge_failures(self) -> None:
        """
        Raises:
            CommandFailed: a job failed, or a site could not be asked: trying again may help.
        """
        failed = [*self._named("failed"), *(f"{name}: {why}" for name, why in self.left_out.items())]
        if failed:
            raise CommandFailed("; ".join(failed))

    def judge_refusals(self) -> None:
        """
        Raises:
            NightRefused: a job was refused: trying again does not help before the site opens.
        """
        if refused := self._named("refused"):
            raise NightRefused("; ".join(refused))

    def _named(self, outcome: str) -> list[str]:
        return [f"{row['site_id']}: {row['why']}" for row in self.rows if row["outcome"] == outcome]


async def request_night(settings: Settings, site: str | None, *, outside: bool) -> Outcome:
    """Ask for the job of a site's present night, or of all sites'; `outside`: also outside of off-peak hours.

    Raises:
        CommandFailed: no worker answers, or not in time.
    """
    rows, left_out = list[dict[str, Any]](), dict[str, str]()
    question = Question("/api/v1/schedule/run", body={"site_id": site, "now": outside})
    async with BatchApi(settings) as api:
        for answer in await api.ask(question, site):
            content = msgspec.json.decode(answer)
            rows += content["rows"]
            left_out |= content["not_ready"]
    return Outcome(sorted(rows, key=lambda row: row["site_id"]), left_out)
