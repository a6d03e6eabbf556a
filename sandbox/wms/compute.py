"""A compute API that misbehaves by script: it answers every SKU with `ok`, from the run that it is told to have."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from aiohttp import web

from sandbox.wms.faults import Fault
from sandbox.wms.scripted import ScriptedServer, end_connection

STATUSES = {
    Fault.ERROR: 503,
    Fault.UNAVAILABLE: 503,
    Fault.BROKEN: 500,
    Fault.REFUSED: 422,
    Fault.THROTTLED: 429,
    Fault.THROTTLED_SILENTLY: 429,
}


@dataclass
class FakeCompute(ScriptedServer):
    """A `ScriptedServer` of the compute API.

    `run_id` and `as_of` are those of the newest calculation; one that is asked for by another `as_of` has the run id of
    `runs`. `owner` is the worker that it names, if it is not to answer itself. `asked` are the chunks by request id, in
    the order of their first request.
    """

    path: ClassVar[str] = "/api/v1/velocity/compute"

    run_id: str = "run-1"
    as_of: str = "2026-03-28T15:00:00Z"
    runs: dict[str, str] = field(default_factory=dict[str, str])
    owner: str | None = None
    lost_sku: str | None = None  # an SKU that answers leave out
    asked: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    questions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    at_once: int = 0
    most_at_once: int = 0

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, and count how many are answered at once."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, self.next_fault())
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        question = msgspec.json.decode(await request.read())
        self.asked.setdefault(request.headers.get("X-Request-ID", ""), question["skus"])
        self.questions.append({name: value for name, value in question.items() if name != "skus"})
        if self.script.latency_s:
            await asyncio.sleep(self.script.latency_s)
        if fault in (Fault.RESET, Fault.RESET_LATE):
            return self.hang_up(request)
        if fault and fault in STATUSES:
            said = {"error": fault, "message": f"by script: {fault}"}
            return self._reply(STATUSES[fault], said, self.retry_after(fault))
        if self.owner:
            return self._reply(421, {"error": "wrong_owner", "message": "not mine", "owner": self.owner}, {})
        if fault is Fault.HALF_BODY:
            return await self._half(request, msgspec.json.encode(self._results(question)))
        return self._reply(200, "well" if fault is Fault.WRONG_JSON else self._results(question), {})

    def _results(self, question: dict[str, Any]) -> dict[str, Any]:
        as_of = question.get("as_of") or self.as_of
        return {
            "site_id": question.get("site_id") or "A",
            "as_of": as_of,
            "run_id": self.runs.get(as_of, self.run_id),
            "results": [{"sku": sku, "status": "ok"} for sku in question["skus"] if sku != self.lost_sku],
        }

    def _reply(self, status: int, content: Any, headers: dict[str, str]) -> web.Response:
        self.statuses[status] += 1
        return web.Response(
            status=status, body=msgspec.json.encode(content), headers=headers, content_type="application/json"
        )

    async def _half(self, request: web.Request, body: bytes) -> web.StreamResponse:
        response = await self.begin_body(request, body)
        await response.write(body[: len(body) // 2])
        end_connection(request)
        return response
