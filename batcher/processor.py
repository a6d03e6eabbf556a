"""The velocity of any number of SKUs by way of the compute API: chunks side by side, answers in the order of the SKUs.

    async with VelocityBatchProcessor("http://127.0.0.1:8080") as processor:
        rows = await processor.process_full_dataset(skus)

1. Every SKU is answered once, in its place, duplicates too: `ok`, `unknown`, or `failed` with the reason.
2. All answers come from one calculation. The first one pins it; whoever had asked before that and got a newer one is
   asked again. If the pinned calculation is replaced meanwhile, `process_full_dataset` starts again, and
   `stream_dataset`, which has given answers away by then, raises `RunChanged`.
3. A chunk that is given up becomes a `FailedChunk`, which `on_failed` is awaited with before its SKUs are answered.
4. At most `LOOK_AHEAD` chunks for each slot are in memory; SKUs are taken from the iterable as chunks are begun.
5. Whatever ends it early ends all of its tasks and connections.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import structlog

from batcher.compute_chunks import Answer, Chunk, Pin, Question, Row, failed_rows, request_id, split
from batcher.compute_client import CONNECTIONS_PER_HOST, ComputeClient, GivenUp, Patience
from batcher.compute_data_set import DataSet
from schemas.failed_chunks import ChunkError, FailedChunk
from schemas.instants import rfc3339

log = structlog.get_logger(__name__)

SMALLEST, LARGEST = 5_000, 20_000  # SKUs of a chunk
LOOK_AHEAD = 2  # chunks per slot: those that wait for a retry do not stop the others
RESTARTS = 3
SINK = "compute"  # of failed chunks

OnFailed = Callable[[FailedChunk], Awaitable[None]]


class RunChanged(RuntimeError):
    """The calculation that a data set is answered from was replaced by another one of the same instant."""

    def __init__(self, pinned: Pin, found: Pin) -> None:
        super().__init__(
            f"run {pinned.run_id} of site {pinned.site_id} as of {pinned.as_of} was replaced by {found.run_id} (as of "
            f"{found.as_of}) while its chunks were asked for: ask for the whole data set again"
        )


class VelocityBatchProcessor:
    """An async context manager over one HTTP session; several data sets may share it, a journal only one at a time.

    `base_url` is that of any batch worker. `window` is a horizon; without `site_id` there must be one site alone;
    without `as_of` (RFC 3339) the newest calculation answers. `token` is one of the workers' `serve.tokens_file`.

    Raises:
        ValueError: `batch_size`, `max_concurrency` or `base_url` make no sense; says why.
    """

    def __init__(
        self,
        base_url: str,
        batch_size: int = SMALLEST,
        max_concurrency: int = 12,
        *,
        window: str = "rolling_30d",
        site_id: str | None = None,
        as_of: str | None = None,
        patience: Patience | None = None,
        on_failed: OnFailed | None = None,
        on_chunk: Callable[[int], None] | None = None,
        journal: Path | None = None,
        token: str | None = None,
    ) -> None:
        _check(base_url, batch_size, max_concurrency)
        self._batch_size, self._ahead = batch_size, LOOK_AHEAD * max_concurrency
        self._question = Question(window=window, site_id=site_id, as_of=as_of)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = ComputeClient(base_url.rstrip("/"), max_concurrency, patience or Patience(), headers)
        self._on_failed, self._on_chunk, self._journal = on_failed, on_chunk, journal
        self._tasks: set[asyncio.Task[list[Row]]] = set()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await _end(self._tasks)
        finally:
            await self._client.__aexit__()

    async def fetch_chunk(self, skus: Sequence[str]) -> list[Row]:
        """A row for each of 1 to 20,000 SKUs, in their order, by one request that is repeated where that may help.

        Raises:
            ValueError: too many or too few SKUs.
        """
        if not 1 <= len(skus) <= LARGEST:
            raise ValueError(f"a chunk has 1 to {LARGEST:,} SKUs, not {len(skus):,}: process_full_dataset takes more")
        data_set, asked = DataSet(self._question), list(skus)
        return await self._rows_of(data_set, Chunk(0, asked, request_id(data_set.name, 0, asked)))

    async def process_full_dataset(self, skus: Iterable[str]) -> list[Row]:
        """A row for each SKU, in their order.

        Raises:
            RunChanged: calculations were replaced again and again while it asked.
            JournalRefused: the journal is another data set's, or in use.
        """
        asked, left = list(skus), RESTARTS
        with DataSet.opened(self._question, self._batch_size, self._journal) as data_set:
            while True:
                try:
                    return [row async for rows in self._chunks(data_set, asked) for row in rows]
                except RunChanged as error:
                    if not left:
                        raise
                    left -= 1
                    log.warning("asking for all chunks again", reason=str(error))
                    data_set.begin_again(self._batch_size)

    async def stream_dataset(self, skus: Iterable[str]) -> AsyncGenerator[Row, None]:
        """The rows of `process_full_dataset` one after another, without keeping those that were given away.

        Raises:
            RunChanged: the calculation was replaced; the rows so far are those of one that is gone.
            JournalRefused: the journal is another data set's, or in use.
        """
        with DataSet.opened(self._question, self._batch_size, self._journal) as data_set:
            async with aclosing(self._chunks(data_set, skus)) as chunks:
                async for rows in chunks:
                    for row in rows:
                        yield row

    async def _chunks(self, data_set: DataSet, skus: Iterable[str]) -> AsyncGenerator[list[Row], None]:
        """The rows of each chunk, in order."""
        begun = deque[asyncio.Task[list[Row]]]()
        try:
            for chunk in split(skus, self._batch_size, data_set.name):
                begun.append(self._begin(data_set, chunk))
                if len(begun) == self._ahead:
                    yield await begun[0]
                    begun.popleft()
            while begun:
                yield await begun[0]
                begun.popleft()
        finally:
            await _end(begun)

    def _begin(self, data_set: DataSet, chunk: Chunk) -> asyncio.Task[list[Row]]:
        task = asyncio.create_task(self._rows_of(data_set, chunk), name=f"chunk {chunk.number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _rows_of(self, data_set: DataSet, chunk: Chunk) -> list[Row]:
        """The rows of a chunk: from the journal, from the API, or those that say that it failed."""
        rows = data_set.journal.rows_of(chunk) if data_set.journal else None
        if rows is None:
            found = await self._ask(data_set, chunk)
            if isinstance(found, GivenUp):
                rows = await self._failed(data_set, chunk, found)
            else:
                rows = found.rows
                if data_set.journal:
                    data_set.journal.finished(chunk, found)
        if self._on_chunk:
            self._on_chunk(len(rows))
        return rows

    async def _ask(self, data_set: DataSet, chunk: Chunk) -> Answer | GivenUp:
        """An answer of the pinned calculation.

        Raises:
            RunChanged: there is another one in its place.
        """
        while True:
            pinned = data_set.pin
            question = data_set.question.at(pinned) if pinned else data_set.question
            found = await self._client.ask(chunk, question.about(chunk.skus))
            if isinstance(found, GivenUp):
                return found
            data_set.pin = data_set.pin or found.pin
            if found.pin == data_set.pin:
                return found
            if pinned or found.pin.as_of == data_set.pin.as_of:
                raise RunChanged(data_set.pin, found.pin)

    async def _failed(self, data_set: DataSet, chunk: Chunk, given_up: GivenUp) -> list[Row]:
        failure, pin = given_up.failure, data_set.pin
        log.warning("chunk failed", chunk=chunk.number, reason=failure.reason, attempts=given_up.attempts)
        record = FailedChunk(
            chunk_id=f"{SINK}-{chunk.request_id}",
            sink=SINK,
            site_id=pin.site_id if pin else data_set.question.site_id,
            horizon=data_set.question.window,
            run_id=pin.run_id if pin else "",
            skus=list(chunk.skus),
            retries=max(0, given_up.attempts - 1),
            error=ChunkError(kind=failure.kind, message=failure.reason, status=failure.status, body=given_up.body),
            at=rfc3339(time.time_ns() // 1_000_000),
        )
        if self._on_failed:
            await self._on_failed(record)
        return failed_rows(chunk.skus, failure.reason)


async def _end(tasks: Iterable[asyncio.Task[list[Row]]]) -> None:
    """Cancel tasks, and wait until they are gone."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _check(base_url: str, batch_size: int, max_concurrency: int) -> None:
    if not SMALLEST <= batch_size <= LARGEST:
        raise ValueError(
            f"batch_size {batch_size:,} is not from {SMALLEST:,} to {LARGEST:,}: with fewer SKUs the requests "
            "themselves cost more than the answers, and more are refused by the API"
        )
    if not 1 <= max_concurrency <= CONNECTIONS_PER_HOST:
        raise ValueError(
            f"max_concurrency {max_concurrency} is not from 1 to {CONNECTIONS_PER_HOST}: there are no more "
            "connections to a host, and requests that wait for one run into its time-out"
        )
    if urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname:
        raise ValueError(f"base_url {base_url!r} is not an address such as http://127.0.0.1:8080")
