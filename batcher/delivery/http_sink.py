"""A WMS that takes chunks over HTTP: `schemas/delivery.py` has the words."""

from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp

from batcher.delivery.chunks import Chunk
from batcher.delivery.receipts import SHOWN, AttemptFailed, read_receipt
from batcher.delivery.retries import Failure, FailureKind, failure_of
from runtime.tracing import TRACEPARENT
from schemas.delivery import IDEMPOTENCY_HEADER, PATH, REQUEST_ID_HEADER, SCHEMA_VERSION, VERSION_HEADER

TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
CONNECTIONS, PER_HOST = 100, 50
_REQUEST_ID_DIGITS = 32


def open_session(token: str | None) -> aiohttp.ClientSession:
    """The one session of a sink."""
    headers = {"Content-Type": "application/json", VERSION_HEADER: str(SCHEMA_VERSION)}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, limit_per_host=PER_HOST)
    return aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, headers=headers)


class HttpEndpoint:
    """One node of a WMS. Nodes share the session: closing one closes all."""

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url.rstrip("/")
        self._session = session
        self._now = now

    @property
    def name(self) -> str:
        """Its address, without what may be a secret."""
        return self._url.rpartition("@")[2].partition("?")[0]

    async def send(self, chunk: Chunk, body: bytes, attempt: int, traceparent: str | None) -> None:
        """See `Endpoint`."""
        headers = {
            IDEMPOTENCY_HEADER: chunk.key,
            REQUEST_ID_HEADER: f"{chunk.key[:_REQUEST_ID_DIGITS]}-{attempt}",
            **({TRACEPARENT: traceparent} if traceparent else {}),
        }
        try:
            async with self._session.post(
                f"{self._url}{PATH}", data=body, headers=headers, allow_redirects=False
            ) as answer:
                content = await answer.read()
                status, reason, answered = answer.status, answer.reason or "", answer.headers
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            why = f"{type(error).__name__}: {error}".rstrip(": ")
            raise AttemptFailed(Failure(FailureKind.TRANSIENT, why)) from error
        if failure := failure_of(status, f"{status} {reason}".rstrip(), answered, self._now()):
            raise AttemptFailed(failure, content[:SHOWN].decode("utf-8", "replace"))
        read_receipt(content, chunk.key, chunk.rows, chunk.removed)

    async def close(self) -> None:
        """See `Endpoint`."""
        await self._session.close()
