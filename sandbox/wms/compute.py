"""A compute API that misbehaves by script: it answers every SKU with `ok`, from the run that it is told to have."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from aiohttp import web

from sandbox.wms.faults import Fault, FaultScript

HOST = "127.0.0.1"
PATH = "/api/v1/velocity/compute"
MAX_BODY_BYTES = 64 << 20
STATUSES = {
    Fault.ERROR: 503,
    Fault.BROKEN: 500,
    Fault.REFUSED: 422,
    Fault.THROTTLED: 429,
    Fault.THROTTLED_SILENTLY: 429,
}


@dataclass
class FakeCompute:
    """Started and stopped as an async context manager; its fields may be changed while it runs.

    `run_id` and `as_of` are those of the newest calculation; one that is asked for by another `as_of` has the run id of
    `runs`. `owner` is the worker that it names, if it is not to answer itself. `asked` are the chunks by request id, in
    the order of their first request; `statuses` counts answers, 0 for connections that it ended.
    """

    script: FaultScript = field(default_factory=FaultScript)
    port: int = 0
    away: bool = False
    run_id: str = "run-1"
    as_of: str = "2026-03-28T15:00:00Z"
    runs: dict[str, str] = field(default_factory=dict[str, str])
    owner: str | None = None
    lost_sku: str | None = None  # an SKU that answers leave out
    asked: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    questions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    statuses: Counter[int] = field(default_factory=Counter[int])
    at_once: int = 0
    most_at_once: int = 0
    _requests: int = 0
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(PATH, self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections of clients that are open now."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    async def _take(self, request: web.Request) -> web.StreamResponse:
        number, self._requests = self._requests, self._requests + 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            fault = Fault.RESET if self.away else self.script.fault_of(number)
            return await self._answer(request, fault)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        question = msgspec.json.decode(await request.read())
        self.asked.setdefault(request.headers.get("X-Request-ID", ""), question["skus"])
        self.questions.append({name: value for name, value in question.items() if name != "skus"})
        if self.script.latency_s:
            await asyncio.sleep(self.script.latency_s)
        if fault in (Fault.RESET, Fault.RESET_LATE):
            return self._hang_up(request)
        if fault and fault in STATUSES:
            later = {"Retry-After": f"{self.script.retry_after_s:.0f}"} if fault is Fault.THROTTLED else {}
            return self._reply(STATUSES[fault], {"error": fault, "message": f"by script: {fault}"}, later)
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

    def _hang_up(self, request: web.Request) -> web.Response:
        self.statuses[0] += 1
        if request.transport:
            request.transport.abort()
        return web.Response(status=500)  # goes nowhere

    async def _half(self, request: web.Request, body: bytes) -> web.StreamResponse:
        self.statuses[200] += 1
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport:
            request.transport.abort()
        return response
