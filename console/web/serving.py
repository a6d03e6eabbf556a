"""`velocity serve` as a process: start, watch what the console reaches, signals, stop."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import aiohttp
import structlog

from console.web.app import build_app
from console.web.masking import masked
from runtime.connections import probe
from runtime.health import Health, serve_http
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from runtime.stopping import stop_on_signals

log = structlog.get_logger(__name__)

STOP_WITHIN_S = 9.0
FINISH_S = 2.0  # for requests under way once a stop was asked for; streams end at once
WATCH_S = 5.0
PATIENCE_S = 3.0


async def run_console(settings: Settings) -> int:
    """Run until a signal; returns the exit code.

    Raises:
        SettingsRefused: it cannot listen where it should.
    """
    stop, health = stop_on_signals(STOP_WITHIN_S), Health()
    where = settings.serve
    try:
        runner, port = await serve_http(build_app(settings, health), where.host, where.port, FINISH_S)
    except OSError as error:
        raise SettingsRefused(f"the console cannot listen at {where.host}:{where.port}: {error}") from error
    url = f"http://{where.host}:{port}/"
    log.info("console", url=url, api=settings.api.url, kafka=settings.kafka.bootstrap_servers)
    watching = asyncio.create_task(watch(settings, health))
    try:
        await stop.wait()
        log.info("stopping")
        return 0
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await runner.cleanup()


async def watch(settings: Settings, health: Health, every_s: float = WATCH_S) -> None:
    """Keep the reasons of `/readyz` true, for ever: whether Kafka and the batch workers' API answer."""
    for key in ("kafka", "batch-api"):
        health.raise_reason(key, "has not been asked yet")
    while True:
        await asyncio.gather(
            _note(health, "kafka", f"Kafka at {settings.kafka.bootstrap_servers}", lambda: _ask_kafka(settings)),
            _note(health, "batch-api", f"the batch API at {settings.api.url}", lambda: _ask_api(settings)),
        )
        await asyncio.sleep(every_s)


async def _note(health: Health, key: str, what: str, ask: Callable[[], Awaitable[None]]) -> None:
    try:
        await ask()
    except Exception as error:  # whatever it is, the pages that need it say so, and the others work
        health.raise_reason(key, masked(f"{what} does not answer ({type(error).__name__})"))
    else:
        health.clear(key)


async def _ask_kafka(settings: Settings) -> None:
    await asyncio.to_thread(probe, settings.kafka)


async def _ask_api(settings: Settings) -> None:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{settings.api.url}/livez") as answer:
        await answer.read()
