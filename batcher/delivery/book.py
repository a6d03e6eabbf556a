"""How each chunk stands, on disk before anything rests on it: the ledger behind the event loop."""

import asyncio
from collections.abc import Callable, Sequence

from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.delivery import failed_records, ledger
from batcher.delivery.chunks import Chunk, Progress, Target
from batcher.delivery.receipts import AttemptFailed
from batcher.queries import Connection
from schemas.failed_chunks import ChunkError, ChunkState, FailedChunk
from schemas.instants import rfc3339

Change = Callable[[Connection], None]


class LedgerBook:
    """Each change is on disk when it is awaited; a chunk that fails enters its record together with it.

    Changes that come while one is being committed share the next transaction.
    """

    def __init__(self, database: AsyncDatabase, wall_ms: Callable[[], int]) -> None:
        self._database = database
        self._wall_ms = wall_ms
        self._waiting: list[tuple[Change, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def body(self, chunk: Chunk) -> bytes | None:
        """What is sent of a chunk; None if it is in hand no more."""
        return await self._database.read(Database.ask, lambda connection: ledger.body(connection, chunk))

    async def moved(self, chunk: Chunk, progress: Progress, attempts: int, failed: AttemptFailed | None = None) -> None:
        """The chunk has come so far, after so many attempts in all; `failed` is why it is given up."""
        at = rfc3339(self._wall_ms())

        def move(connection: Connection) -> None:
            error = str(failed) if failed else None
            ledger.move(connection, chunk, progress, attempts=attempts, error=error)
            if progress is Progress.ACKNOWLEDGED:
                failed_records.turn(connection, chunk.target, chunk.key, ChunkState.DELIVERED, at, retries=attempts - 1)
            elif failed:
                record = _record(connection, chunk, attempts, failed, at)
                failed_records.enter(connection, chunk.target, record)

        await self._committed(move)

    async def _committed(self, change: Change) -> None:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((change, done))
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit())
        await done

    async def _commit(self) -> None:
        """Commit what waits, again and again until nothing does."""
        while self._waiting:
            together, self._waiting = self._waiting, []
            try:
                await self._database.write(Database.change, _all_of([change for change, _ in together]))
            except Exception as error:
                for _, done in together:
                    if not done.done():
                        done.set_exception(error)
            for _, done in together:
                if not done.done():
                    done.set_result(None)

    async def finish(self, target: Target) -> bool:
        """End the delivery in hand if all of it is acknowledged, and with it what had failed before."""
        now_ms = self._wall_ms()

        def end(connection: Connection) -> bool:
            through = ledger.finish(connection, target, now_ms)
            if through:
                failed_records.supersede(connection, target, rfc3339(now_ms))
            return through

        return await self._database.write(Database.change, end)


def _all_of(changes: Sequence[Change]) -> Change:
    def make(connection: Connection) -> None:
        for change in changes:
            change(connection)

    return make


def _record(connection: Connection, chunk: Chunk, attempts: int, failed: AttemptFailed, at: str) -> FailedChunk:
    failure, planned = failed.failure, ledger.planned(connection, chunk.target)
    return FailedChunk(
        chunk_id=chunk.key,
        sink=chunk.target.sink,
        site_id=chunk.target.site_id,
        horizon=chunk.target.horizon,
        run_id=planned.run_id if planned else "",
        skus=ledger.skus_of(connection, chunk),
        retries=attempts - 1,
        error=ChunkError(kind=failure.kind.value, message=failure.reason, status=failure.status, body=failed.body),
        at=at,
    )
