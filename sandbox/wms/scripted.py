"""What the fake servers have in common: they listen on loopback, fail by script, and count what they answered."""

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar, Self

from aiohttp import web

from sandbox.wms.faults import Fault, FaultScript

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 << 20


@dataclass
class ScriptedServer(ABC):
    """Started and stopped as an async context manager; its fields may be changed while it runs.

    `statuses` counts answers by status, 0 for connections that it ended.
    """

    path: ClassVar[str]

    script: FaultScript = field(default_factory=FaultScript)
    port: int = 0
    away: bool = False  # an outage: connections end before anything is answered
    statuses: Counter[int] = field(default_factory=Counter[int])
    _requests: int = 0
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(self.path, self.take)
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

    @abstractmethod
    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""

    def next_fault(self) -> Fault | None:
        """What befalls the request that has just come."""
        number, self._requests = self._requests, self._requests + 1
        return Fault.RESET if self.away else self.script.fault_of(number)

    def retry_after(self, fault: Fault | None) -> dict[str, str]:
        """The headers of an answer to a request that comes too soon."""
        told = fault in (Fault.THROTTLED, Fault.UNAVAILABLE)
        return {"Retry-After": f"{self.script.retry_after_s:.0f}"} if told else {}

    def hang_up(self, request: web.Request) -> web.Response:
        """End the connection in place of an answer."""
        self.statuses[0] += 1
        end_connection(request)
        return web.Response(status=500)  # goes nowhere

    async def begin_body(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """An answer of 200 that announces the body, and has none of it yet."""
        self.statuses[200] += 1
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(request)
        return response


def end_connection(request: web.Request) -> None:
    """Reset the connection of a request."""
    if request.transport:
        request.transport.abort()
