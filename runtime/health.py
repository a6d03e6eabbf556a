"""Liveness and readiness over HTTP, with reasons.

A worker is *alive* while its loop turns and nothing has failed for good; it is *ready* while it can make progress.
Parts of a worker raise and clear named reasons; the answer lists them.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest

#: Of whichever worker this process is; set when somebody asks.
WORKER_READY = Gauge("velocity_worker_ready", "1 while the worker can make progress; /readyz says why not")

log = structlog.get_logger(__name__)


@dataclass
class Health:
    """Why a worker is not ready, or not alive. Reasons are keyed, so that raising one twice says it once."""

    clock: Callable[[], float] = time.monotonic
    not_ready: dict[str, str] = field(default_factory=dict[str, str])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    beats: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def raise_reason(self, key: str, reason: str) -> None:
        """The worker cannot make progress because of this, until `clear`."""
        if _without_numbers(self.not_ready.get(key, "")) != _without_numbers(reason):
            log.warning("not ready", key=key, reason=reason)
        self.not_ready[key] = reason

    def clear(self, key: str) -> None:
        """This reason is gone."""
        if self.not_ready.pop(key, None) is not None:
            log.info("recovered", key=key)

    def fail(self, key: str, reason: str) -> None:
        """The worker will never make progress again: it should be restarted, or a person is needed."""
        self.failed[key] = reason

    def beat(self, name: str, within_s: float) -> None:
        """Part `name` has just worked and will again `within_s` seconds."""
        self.beats[name] = (self.clock(), within_s)

    def live(self) -> tuple[bool, dict[str, str]]:
        """Whether the process is worth keeping, and what is wrong if not."""
        now = self.clock()
        late = {
            name: f"silent for {now - at:.0f} s, expected every {within:.0f} s"
            for name, (at, within) in self.beats.items()
            if now - at > within
        }
        problems = {**self.failed, **late}
        return not problems, problems

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether the worker makes progress, and why not."""
        alive, problems = self.live()
        return alive and not self.not_ready, {**problems, **self.not_ready}


def _without_numbers(reason: str) -> str:
    """What is worth a line of the log once: a reason stays one while bytes and backlogs in it change."""
    return re.sub(r"\d[\d.,]*", "#", reason)


def add_health_routes(app: web.Application, health: Health, registry: CollectorRegistry = REGISTRY) -> None:
    """`/livez`, `/readyz` (200 or 503, with reasons) and `/metrics`."""

    def answer(name: str, verdict: tuple[bool, dict[str, str]]) -> web.Response:
        good, reasons = verdict
        return web.json_response({name: good, "reasons": reasons}, status=200 if good else 503)

    async def livez(_: web.Request) -> web.Response:
        return answer("live", health.live())

    async def readyz(_: web.Request) -> web.Response:
        return answer("ready", health.ready())

    async def metrics(_: web.Request) -> web.Response:
        WORKER_READY.set(health.ready()[0])
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)


async def serve_http(app: web.Application, host: str, port: int, finish_s: float = 60.0) -> tuple[web.AppRunner, int]:
    """Start serving; returns the runner (to `cleanup()`) and the port, which the system chose where `port` is 0.
    Requests under way have `finish_s` seconds once it is cleaned up.

    Raises:
        OSError: the address is taken or not ours.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=finish_s)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, runner.addresses[0][1]
