"""What pages ask the batch workers: with little patience, and each answer kept a moment."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from console.client import BatchApi, Question
from console.errors import CommandFailed
from console.insight.kept import Kept
from runtime.settings import Settings

PATIENCE_S = 2.0  # for a worker that catches up: a page says so rather than wait
KEEP_S = 2.0

Row = dict[str, Any]


@dataclass(slots=True)
class Answer:
    """Rows of all workers, and what they said beside them."""

    rows: list[Row] = field(default_factory=list[Row])
    remarks: list[str] = field(default_factory=list[str])


class Asking:
    """Questions to the batch workers. Every method raises `CommandFailed` if there is no answer, or not in time."""

    def __init__(self, settings: Settings, keep_s: float = KEEP_S) -> None:
        self._settings = settings
        self._kept = Kept[Any](keep_s)

    async def one(self, path: str, site: str | None, **params: str | None) -> Row:
        """What the owner of a site answers; without a site, the first worker that has it.

        Raises:
            NotFound: nobody has it.
            UsageError: the request is wrong.
        """
        return await self._kept.get((path, site, *params.items()), lambda: self._one(path, site, params))

    async def rows(self, path: str, site: str | None = None, **params: str | None) -> Answer:
        """The rows of a list from the owner of a site, or from all."""
        return await self._kept.get((path, site, *params.items()), lambda: self._rows(path, site, params))

    async def sites(self) -> Answer:
        """The sites of all workers, by name, and up to when they are complete; none where no batch has named one."""
        answer = await self.rows("/api/v1/sites")
        return Answer(sorted(answer.rows, key=lambda row: row["site_id"]), answer.remarks)

    async def _one(self, path: str, site: str | None, params: dict[str, str | None]) -> Row:
        async with BatchApi(self._settings, patience_s=PATIENCE_S, remark=_ignore) as api:
            answers = await api.ask(Question(path, {"site_id": site, **params}), site)
        if not answers:
            raise CommandFailed("no batch worker has an answer")
        return msgspec.json.decode(answers[0])

    async def _rows(self, path: str, site: str | None, params: dict[str, str | None]) -> Answer:
        answer = Answer()
        async with BatchApi(self._settings, patience_s=PATIENCE_S, remark=answer.remarks.append) as api:
            answer.rows = await api.rows(Question(path, {"site_id": site, **params}), site)
        return answer


def _ignore(_: str) -> None:
    pass
