"""Asking the batch workers. A site has one owner, whom any other worker names with a 421; all owners know all sites."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
import pyarrow as pa

from console import screen
from console.errors import CommandFailed, UsageError
from runtime.door import bearer
from runtime.refusals import AccessRefused, Refusal
from runtime.settings import Settings

ARROW_STREAM = "application/vnd.apache.arrow.stream"
PARTITIONS_HEADER = "Velocity-Partitions"
PATIENCE_S = 60.0
AGAIN_S = 0.5
REQUEST_S = 600.0  # a recalculation may take long
MOVES = 3


class Incomplete(Refusal):
    """The instant is not complete."""


class NotFound(CommandFailed):
    """The workers have no such thing."""


class _OwnerGone(CommandFailed):
    """A worker that others named does not answer; it is safe to ask again once they have noticed."""


_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


@dataclass(frozen=True, slots=True)
class Question:
    """A request to the API. `params` that are None are left out."""

    path: str
    params: dict[str, str | None] = field(default_factory=dict[str, str | None])
    body: dict[str, Any] | None = None
    arrow: bool = False

    @property
    def method(self) -> str:
        """`POST` where there is a body."""
        return "GET" if self.body is None else "POST"


def _say_aside(text: str) -> None:
    screen.remark(text, style="yellow")


class BatchApi:
    """An async context manager. Every method raises `CommandFailed` if no worker answers, or not in time.

    `patience_s` is how long workers are waited for that catch up, or a site that changes hands. `remark` is told what
    somebody should know beside the answer.
    """

    def __init__(
        self, settings: Settings, patience_s: float = PATIENCE_S, remark: Callable[[str], None] = _say_aside
    ) -> None:
        self._base = settings.api.url.rstrip("/")
        self._headers = bearer(settings.serve)
        self._patience_s, self._remark = patience_s, remark
        self._deadline = time.monotonic() + patience_s
        self._said: set[str] = set()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_S, connect=5), headers=self._headers
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            await self._session.close()

    async def ask(self, question: Question, site: str | None) -> list[bytes]:
        """Ask the owner of a site, or all owners; those that have nothing of the kind are left out.

        Raises:
            NotFound: nobody has it.
            Incomplete: the instant is not complete.
            UsageError: the request is wrong.
        """
        answers = await self._answers(question, site)
        found = [answer for answer in answers if isinstance(answer, bytes)]
        faults = [answer for answer in answers if isinstance(answer, BaseException)]
        fault = next((fault for fault in faults if not found or not isinstance(fault, NotFound)), None)
        if fault is not None:
            raise fault
        for missing in faults:
            self._remark(str(missing))
        return found

    async def rows(self, question: Question, site: str | None) -> list[dict[str, Any]]:
        """The rows of a list or table from all who were asked; sites that are left out are remarked on.

        Raises:
            NotFound: sites were left out and nothing is left; says why.
        """
        rows, left_out = list[dict[str, Any]](), dict[str, str]()
        for answer in await self.ask(question, site):
            content = msgspec.json.decode(answer)
            rows += content.get("rows") or _rows_of(content.get("columns", {}))
            left_out |= content.get("not_ready", {})
        if left_out and not rows:
            raise NotFound("; ".join(left_out.values()))
        self._remark_on(left_out)
        return rows

    async def table(self, question: Question, site: str | None) -> pa.Table:
        """A table with its exact types, sorted by site and SKU; sites that are left out are remarked on.

        Raises:
            NotFound: nothing is left; says why.
        """
        tables = [pa.ipc.open_stream(answer).read_all() for answer in await self.ask(question, site)]
        left_out = {name: why for table in tables for name, why in _not_ready_of(table).items()}
        filled = [table.replace_schema_metadata(None) for table in tables if table.num_columns]
        if not filled:
            raise NotFound("; ".join(left_out.values()) or "there are no sites yet: no window has been closed")
        self._remark_on(left_out)
        return pa.concat_tables(filled).sort_by([("site_id", "ascending"), ("sku", "ascending")])

    async def _answers(self, question: Question, site: str | None) -> list[bytes | BaseException]:
        """What those who were asked say; asked again from the start where an owner is not what it was a moment ago."""
        while True:
            urls, wanted = ([self._base], []) if site is not None else await self._owners()
            found: list[int] = []
            asked = (self._answer(url, question, found) for url in urls)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            gone = next((answer for answer in answers if isinstance(answer, _OwnerGone)), None)
            if gone is None and (site is not None or sorted(found) == wanted):
                return answers
            await self._wait(str(gone or "partitions have changed hands while their owners were asked"))

    async def _owners(self) -> tuple[list[str], list[int]]:
        """The addresses of all workers that own partitions, and all partitions, once every one is owned."""
        while True:
            known = msgspec.json.decode(await self._answer(self._base, Question("/api/v1/owners"), []))
            if not known["unowned"]:
                urls = [owner["url"] for owner in known["owners"] if owner["partitions"]]
                return urls, list(range(known["partitions"]))
            await self._wait(f"partitions {known['unowned']} of {known['topic']} are owned by no batch worker yet")

    async def _answer(self, url: str, question: Question, about: list[int]) -> bytes:
        """The answer of a worker, or of the one that it names; the partitions that it is about are added to `about`."""
        moves = 0
        while True:
            status, body, partitions = await self._send(url, question)
            if status not in (421, 503):
                about += partitions
            if status == 200:
                return body
            fault = _fault(body)
            if status == 421 and moves < MOVES:
                url, moves = fault["owner"].rstrip("/"), moves + 1
            elif status in (421, 503):
                moves = 0
                await self._wait(fault["message"])
            else:
                raise _error(status, fault)

    async def _send(self, url: str, question: Question) -> tuple[int, bytes, list[int]]:
        if self._session is None:
            raise RuntimeError("the client is not open")
        params = {name: value for name, value in question.params.items() if value is not None}
        headers = {"Accept": ARROW_STREAM} if question.arrow else {}
        target = f"{url}{question.path}"
        try:
            async with self._session.request(
                question.method, target, params=params, json=question.body, headers=headers
            ) as answer:
                named = answer.headers.get(PARTITIONS_HEADER, "")
                return answer.status, await answer.read(), [int(number) for number in named.split(",") if number]
        except (aiohttp.ClientError, TimeoutError) as error:
            nobody = f"no batch worker answers at {url} ({type(error).__name__})"
            if url != self._base and (question.body is None or isinstance(error, _NOT_SENT)):
                raise _OwnerGone(f"{nobody}, which should own what was asked for") from error
            raise CommandFailed(
                f"{nobody}: is one running there? VELOCITY_API__URL says where, `velocity batch` starts one"
            ) from error

    async def _wait(self, reason: str) -> None:
        """Wait a little, saying why once."""
        if time.monotonic() > self._deadline:
            raise CommandFailed(f"not ready within {self._patience_s:.0f} s: {reason}")
        if reason not in self._said:
            self._said.add(reason)
            self._remark(f"waiting: {reason}")
        await asyncio.sleep(AGAIN_S)

    def _remark_on(self, left_out: Mapping[str, str]) -> None:
        for name, reason in left_out.items():
            self._remark(f"site {name} is left out: {reason}")


def _not_ready_of(table: pa.Table) -> dict[str, str]:
    return msgspec.json.decode((table.schema.metadata or {}).get(b"not_ready", b"{}"))


def _rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _fault(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {"error": "unknown", "message": body[:200].decode("utf-8", "replace")}


def _error(status: int, fault: dict[str, Any]) -> Exception:
    message = fault.get("message", "the worker did not say why")
    if status in (401, 403):
        return AccessRefused(f"the batch worker lets nobody in who may not do that: {message}")
    kinds: dict[int, type[Exception]] = {400: UsageError, 404: NotFound, 409: Incomplete}
    return kinds.get(status, CommandFailed)(
        message if status in kinds else f"the batch worker answered {status}: {message}"
    )
