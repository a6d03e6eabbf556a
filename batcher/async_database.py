"""The database for the event loop: writes one after the other on a thread of their own, reads beside them.

DuckDB releases the GIL while it works, so the loop goes on meanwhile.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from batcher.database import Database

P = ParamSpec("P")
T = TypeVar("T")

_READERS = 2


class AsyncDatabase:
    """Work goes on also when who awaits it is cancelled: a transaction that has begun is finished."""

    def __init__(self, database: Database, computations: int = 0) -> None:
        """`computations` are reads of the API that may go on at the same time; they hold up no others."""
        self._database = database
        self.writes = 0  # that have ended: what was read since the last one is so still
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database-write")
        self._readers = ThreadPoolExecutor(max_workers=_READERS + computations, thread_name_prefix="database-read")

    @property
    def direct(self) -> Database:
        """The database itself, for calls that must not wait behind others. They block."""
        return self._database

    async def write(self, work: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await `work(database, …)`, after all that was asked for before."""

        def counted(database: Database) -> T:
            try:
                return work(database, *args, **kwargs)
            finally:
                self.writes += 1

        return await self._run(self._writer, counted)

    async def read(self, work: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await `work(database, …)`, which sees what is committed."""
        return await self._run(self._readers, work, *args, **kwargs)

    async def close(self, patience_s: float) -> None:
        """Finish what is in hand, forget what waits, and close the file; work that takes longer is interrupted."""
        for threads in (self._writer, self._readers):
            threads.shutdown(wait=False, cancel_futures=True)
        ended = asyncio.gather(*(asyncio.to_thread(t.shutdown) for t in (self._writer, self._readers)))
        try:
            await asyncio.wait_for(asyncio.shield(ended), patience_s)
        except TimeoutError:
            self._database.interrupt()
            await ended
        self._database.close()

    async def _run(
        self,
        threads: Executor,
        work: Callable[Concatenate[Database, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        call = lambda: work(self._database, *args, **kwargs)  # noqa: E731
        return await asyncio.get_running_loop().run_in_executor(threads, call)
