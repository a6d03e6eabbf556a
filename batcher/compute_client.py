"""Asks the compute API for one chunk until it is answered or given up: slots, circuits, retries, owners.

A slot is held while a request is under way and at no other time: not while a retry, a `Retry-After` or an open circuit
is waited for.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

import aiohttp
import msgspec

from batcher.compute_chunks import PATH, Answer, Chunk, WrongAnswer, read_answer
from batcher.delivery.circuit import Circuit, CircuitRules, Permit
from batcher.delivery.retries import Failure, FailureKind, Retries, RetryRules, failure_of
from schemas.delivery import REQUEST_ID_HEADER

TOTAL_S, CONNECT_S = 30.0, 10.0
CONNECTIONS, CONNECTIONS_PER_HOST = 100, 50
MOVES = 3  # from worker to worker, before a site that changes hands is left alone for a while
PROBING_S = 0.05  # until an outcome of the probes under way is looked for
BODY_SHOWN = 500  # characters


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long and how often a chunk is tried; `outage_s` is how long a host may be away before chunks are given up
    without being tried."""

    retries: RetryRules = field(default_factory=RetryRules)
    circuit: CircuitRules = field(default_factory=CircuitRules)
    outage_s: float = 300.0


@dataclass(frozen=True, slots=True)
class GivenUp:
    """No answer after so many `attempts`; the last failure, and the beginning of what was answered."""

    failure: Failure
    body: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class _Failed:
    failure: Failure
    body: str | None = None


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """The site's owner is another worker."""

    url: str


_Outcome = Answer | _Elsewhere | _Failed


class _Host:
    """A worker: its circuit, and since when it has not answered."""

    def __init__(self, rules: CircuitRules) -> None:
        self.circuit = Circuit(rules)
        self._away_since_s: float | None = None

    def answered(self, permit: Permit) -> None:
        self._away_since_s = None
        self.circuit.succeeded(permit)

    def failed(self, permit: Permit, now: float) -> None:
        self._away_since_s = now if self._away_since_s is None else self._away_since_s
        self.circuit.failed(permit, now)

    def away_s(self, now: float) -> float:
        """For how long every request has failed."""
        return 0.0 if self._away_since_s is None else now - self._away_since_s


class ComputeClient:
    """An async context manager over one HTTP session; `base_url` is that of any worker, `headers` go along."""

    def __init__(
        self, base_url: str, max_concurrency: int, patience: Patience, headers: Mapping[str, str] | None = None
    ) -> None:
        self._headers = dict(headers or {})
        self._base, self._home = base_url, base_url  # the home is where the last answer came from
        self._patience = patience
        self._slots = asyncio.Semaphore(max_concurrency)
        self._hosts: dict[str, _Host] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TOTAL_S, connect=CONNECT_S),
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, limit_per_host=CONNECTIONS_PER_HOST),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
            self._session = None
            await asyncio.sleep(0)  # transports close at the loop's next turn

    async def ask(self, chunk: Chunk, body: bytes) -> Answer | GivenUp:
        """Ask until there is an answer, or no attempt is left."""
        retries, url, moves = Retries(self._patience.retries), self._home, 0
        while True:
            outcome = await self._once(url, chunk, body)
            if isinstance(outcome, Answer):
                self._home = url
                return outcome
            if isinstance(outcome, GivenUp):
                return GivenUp(outcome.failure, outcome.body, retries.attempts)
            if isinstance(outcome, _Elsewhere):
                url, moves = outcome.url, moves + 1
                if moves <= MOVES:
                    continue
                outcome = _Failed(Failure(FailureKind.TRANSIENT, f"{moves} workers named another as the owner", 421))
            wait_s = retries.wait_after(outcome.failure, random.random())
            if wait_s is None:
                return GivenUp(outcome.failure, outcome.body, retries.attempts)
            await asyncio.sleep(wait_s)
            url, moves = self._next_home(url, outcome), 0

    def _next_home(self, url: str, outcome: _Failed) -> str:
        """Where to ask after a failure: a worker that no longer answers, or is no owner, may have a successor."""
        if outcome.failure.status in (None, 421) and url == self._home:
            self._home = self._base
        return self._home

    async def _once(self, url: str, chunk: Chunk, body: bytes) -> _Outcome | GivenUp:
        """One attempt, once the circuit permits it and a slot is free."""
        host = self._hosts.setdefault(url, _Host(self._patience.circuit))
        while True:
            async with self._slots:
                if permit := host.circuit.permit(_now()):
                    return await self._send(host, permit, url, chunk, body)
            if host.away_s(_now()) > self._patience.outage_s:
                reason = f"{url} has not answered for {host.away_s(_now()):.0f} s"
                return GivenUp(Failure(FailureKind.TRANSIENT, reason), None, 0)
            await asyncio.sleep(max(PROBING_S, host.circuit.wait_s(_now())))

    async def _send(self, host: _Host, permit: Permit, url: str, chunk: Chunk, body: bytes) -> _Outcome:
        if self._session is None:
            raise RuntimeError("the processor is not open: use it as an async context manager")
        headers = {REQUEST_ID_HEADER: chunk.request_id, "Content-Type": "application/json"}
        try:
            async with self._session.post(f"{url}{PATH}", data=body, headers=headers) as reply:
                content = await reply.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            host.failed(permit, _now())
            return _Failed(Failure(FailureKind.TRANSIENT, f"{type(error).__name__}: {error}"))
        except BaseException:  # cancelled: it says nothing of the host
            host.circuit.returned(permit)
            raise
        outcome = _judge(reply, content, chunk)
        match outcome:
            case _Failed(Failure(kind=FailureKind.TRANSIENT)):
                host.failed(permit, _now())
            case _Failed(Failure(kind=FailureKind.THROTTLED)):
                host.circuit.returned(permit)
            case _:
                host.answered(permit)
        return outcome


def _judge(reply: aiohttp.ClientResponse, content: bytes, chunk: Chunk) -> _Outcome:
    """What a reply means."""
    fault = {} if reply.ok else _fault_of(content)
    if reply.status == 421 and isinstance(owner := fault.get("owner"), str):
        return _Elsewhere(owner.rstrip("/"))
    reason = f"{reply.status} {fault.get('message') or reply.reason}"
    if failure := failure_of(reply.status, reason, reply.headers, datetime.now(UTC)):
        return _Failed(failure, _beginning_of(content))
    try:
        return read_answer(content, chunk.skus)
    except WrongAnswer as error:
        return _Failed(Failure(FailureKind.TRANSIENT, str(error), reply.status), _beginning_of(content))


def _fault_of(content: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _beginning_of(content: bytes) -> str:
    return content[: 4 * BODY_SHOWN].decode("utf-8", "replace")[:BODY_SHOWN]


def _now() -> float:
    return asyncio.get_running_loop().time()
