"""Brings chunks of a delivery in hand to a sink: so many requests under way, each chunk as often as its rules allow.

Whatever waits – for a retry, for the rate, for a circuit – holds no slot. While no circuit permits a call, none is
made: an outage costs time, and of the chunks that probe it an attempt each, of which they have many. Where there is a
drop, chunks go there until an endpoint is back.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from batcher import metrics
from batcher.delivery.chunks import Chunk, Progress
from batcher.delivery.circuit import Permit
from batcher.delivery.drop import Drop
from batcher.delivery.endpoints import Line, Lines
from batcher.delivery.pace import Pace
from batcher.delivery.receipts import AttemptFailed, Drift
from batcher.delivery.retries import Retries, RetryRules
from batcher.delivery.round import Clock, End, Round
from runtime.crash_points import crash_point

log = structlog.get_logger(__name__)

PROBE_POLL_S = 1.0  # while others' probes decide whether a circuit closes


class Book(Protocol):
    """Where it is on disk how each chunk stands."""

    async def body(self, chunk: Chunk) -> bytes | None:
        """What is sent; None if the chunk is in hand no more."""
        ...

    async def moved(self, chunk: Chunk, progress: Progress, attempts: int, failed: AttemptFailed | None = None) -> None:
        """The chunk has come so far, after so many attempts in all."""
        ...


@dataclass(slots=True)
class _Parcel:
    """A chunk on its way. `marked`: that it is being sent is on disk."""

    chunk: Chunk
    retries: Retries
    attempts: int
    marked: bool = False


class Courier:
    """Of one sink. `deliver` is called for one delivery at a time."""

    def __init__(
        self,
        sink: str,
        lines: Lines,
        book: Book,
        *,
        rules: RetryRules,
        pace: Pace,
        max_concurrency: int,
        drop: Drop | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._sink, self._lines, self._book, self._drop = sink, lines, book, drop
        self._rules, self._pace, self._clock = rules, pace, clock or Clock()
        self._slots = asyncio.Semaphore(max_concurrency)

    async def deliver(self, chunks: list[Chunk], this: Round) -> End:
        """Do with every chunk what can be done: it is acknowledged, failed, or left for another round.

        Cancelled, it gives requests under way a few seconds; chunks whose outcome is not known then stay in doubt.
        """
        this.dropped += [chunk for chunk in chunks if chunk.progress is Progress.DROPPED]
        fresh = [chunk for chunk in chunks if chunk.progress is not Progress.DROPPED]
        await this.run([self._bring(chunk, this, self._drop) for chunk in fresh])
        for chunk in sorted(this.dropped, key=lambda chunk: chunk.number):
            if this.end is End.THROUGH:
                await this.run([self._bring(chunk, this, None)])
        return this.end

    async def _bring(self, chunk: Chunk, this: Round, drop: Drop | None) -> None:
        """One chunk, until it is acknowledged, failed or dropped, or the round ends."""
        parcel = _Parcel(chunk, Retries(self._rules), chunk.attempts)
        try:
            while True:
                async with self._slots:
                    if this.over.is_set() or not this.is_open():
                        this.cut_short(End.CLOSED if this.end is End.THROUGH else this.end)
                        return
                    now = self._clock.now()
                    turn_s = self._pace.wait_s(now)
                    taken = None if turn_s else self._lines.permit(now)
                    if taken:
                        self._pace.take(chunk.skus, now)
                        wait_s = await self._attempt(parcel, this, *taken)
                        if wait_s is None:
                            return
                    elif not turn_s and drop and await self._dropped(parcel, this, drop):
                        return
                    else:
                        wait_s = 0.0
                await self._wait(turn_s, "rate")
                await self._wait(wait_s, "retry")
                if not taken and not turn_s:
                    await self._until_permitted()
        except Exception:
            this.over.set()
            raise

    async def _attempt(self, parcel: _Parcel, this: Round, line: Line, permit: Permit) -> float | None:
        """Send a chunk once; returns how many seconds to wait before it is tried again, None: that is not to be."""
        task = asyncio.current_task()
        assert task is not None
        this.under_way.add(task)
        try:
            failed = await self._send(parcel, this, line)
        except Drift as drift:
            self._lines.came_to_nothing(line, permit)
            metrics.DELIVERY_ATTEMPTS.labels(self._sink, "drift").inc()
            this.cut_short(End.STOPPED, f"{line.endpoint.name}: {drift}")
            return None
        except BaseException:
            self._lines.came_to_nothing(line, permit)
            raise
        else:
            if failed is None:
                self._lines.succeeded(line, permit)
                await self._arrived(parcel)
                return None
            of_chunk = self._lines.failed(line, permit, failed.failure, self._clock.now())
            return await self._after(parcel, failed, of_chunk=of_chunk)
        finally:
            this.under_way.discard(task)

    async def _send(self, parcel: _Parcel, this: Round, line: Line) -> AttemptFailed | None:
        """The request, and how it failed, if it did; a chunk that is in hand no more is none."""
        chunk = parcel.chunk
        body = await self._book.body(chunk)
        if body is None:
            return None
        parcel.attempts += 1
        if not parcel.marked:
            await self._book.moved(chunk, Progress.SENDING, parcel.attempts)
            parcel.marked = True
        crash_point("delivery.before_send")
        try:
            with metrics.DELIVERY_SECONDS.labels(self._sink).time():
                await line.endpoint.send(chunk, body, parcel.attempts, this.traceparent)
        except AttemptFailed as failed:
            metrics.DELIVERY_ATTEMPTS.labels(self._sink, failed.failure.kind.value).inc()
            log.debug("attempt failed", sink=self._sink, chunk=chunk.key, reason=failed.failure.reason)
            return failed
        metrics.DELIVERY_ATTEMPTS.labels(self._sink, "ok").inc()
        return None

    async def _arrived(self, parcel: _Parcel) -> None:
        crash_point("delivery.before_acknowledge")
        await self._book.moved(parcel.chunk, Progress.ACKNOWLEDGED, parcel.attempts)
        metrics.DELIVERED_ROWS.labels(self._sink).inc(parcel.chunk.skus)
        self._settled(parcel, "acknowledged")

    async def _after(self, parcel: _Parcel, failed: AttemptFailed, *, of_chunk: bool) -> float | None:
        """How long to wait after a failure of the chunk, or of the endpoint; where that is None it is given up."""
        rule = parcel.retries.wait_after if of_chunk else parcel.retries.wait_in_outage
        wait_s = rule(failed.failure, self._clock.dice())
        if wait_s is None:
            await self._book.moved(parcel.chunk, Progress.FAILED, parcel.attempts, failed)
            self._settled(parcel, "failed")
        return wait_s

    def _settled(self, parcel: _Parcel, outcome: str) -> None:
        metrics.DELIVERED_CHUNKS.labels(self._sink, outcome).inc()
        if self._drop and parcel.chunk.progress is Progress.DROPPED:
            with suppress(OSError):  # what lies there too long is removed at the next start
                self._drop.remove(parcel.chunk)

    async def _dropped(self, parcel: _Parcel, this: Round, drop: Drop) -> bool:
        """Put the chunk into a file if no endpoint will take it for a while; returns whether it is there."""
        body = await self._book.body(parcel.chunk) if self._lines.wait_s(self._clock.now()) > 0 else None
        if body is None:
            return False
        try:
            await asyncio.to_thread(drop.put, parcel.chunk, body)
        except OSError as error:
            log.warning("a chunk could not be dropped; it waits", sink=self._sink, error=str(error))
            return False
        await self._book.moved(parcel.chunk, Progress.DROPPED, parcel.attempts)
        metrics.DELIVERED_CHUNKS.labels(self._sink, "dropped").inc()
        this.dropped.append(replace(parcel.chunk, progress=Progress.DROPPED, attempts=parcel.attempts))
        return True

    async def _until_permitted(self) -> None:
        """Wait until a circuit may permit a call again."""
        if wait_s := self._lines.wait_s(self._clock.now()):
            await self._wait(wait_s, "circuit")
            return
        self._lines.news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_POLL_S):
                await self._lines.news.wait()

    async def _wait(self, seconds: float, reason: str) -> None:
        if seconds > 0:
            metrics.DELIVERY_WAITS.labels(self._sink, reason).inc(seconds)
            await self._clock.sleep(seconds)
