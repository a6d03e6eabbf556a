"""Asking workers for `/metrics` and `/readyz`, all at once."""

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from console.errors import UsageError
from console.top import Labels, Reading, Stage
from runtime.settings import Settings

PATIENCE_S = 3.0
EVERYWHERE = ("0.0.0.0", "::")

Worker = tuple[Stage, str]


def workers_of(settings: Settings, stream: Sequence[str], batch: Sequence[str]) -> list[Worker]:
    """Who is to be asked: these addresses, or those that the settings name.

    Raises:
        UsageError: an address is none, or the settings name none.
    """
    if not stream:
        if settings.stream.http_port == 0:
            raise UsageError("stream.http_port is 0, so the port is only in the worker's log: say --stream URL")
        host = "127.0.0.1" if settings.stream.http_host in EVERYWHERE else settings.stream.http_host
        stream = [f"http://{host}:{settings.stream.http_port}"]
    batch = batch or [settings.api.url.replace("//0.0.0.0", "//127.0.0.1")]
    for url in (*stream, *batch):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise UsageError(f"{url!r} is no address; it must be like http://127.0.0.1:8081")
    return [*(("stream", url.rstrip("/")) for url in stream), *(("batch", url.rstrip("/")) for url in batch)]


async def read_all(workers: Sequence[Worker]) -> list[Reading]:
    """A reading of each, in their order; one that does not answer says so in its own."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return list(await asyncio.gather(*(_read(session, stage, url) for stage, url in workers)))


async def _read(session: aiohttp.ClientSession, stage: Stage, url: str) -> Reading:
    try:
        async with session.get(f"{url}/metrics") as answer:
            answer.raise_for_status()
            at_s, samples = time.monotonic(), samples_of(await answer.text())
        async with session.get(f"{url}/readyz") as answer:
            verdict = await answer.json(content_type=None)
        return Reading(stage, url, at_s, samples, bool(verdict["ready"]), verdict["reasons"])
    except aiohttp.ClientConnectorError:
        return Reading(stage, url, time.monotonic(), error="nobody listens there")
    except TimeoutError:
        return Reading(stage, url, time.monotonic(), error=f"not within {PATIENCE_S:.0f} s")
    except (aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
        return Reading(stage, url, time.monotonic(), error=str(error) or type(error).__name__)


def samples_of(text: str) -> dict[tuple[str, Labels], float]:
    """The samples of an exposition in Prometheus' text format.

    Raises:
        ValueError: it is none.
    """
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}
