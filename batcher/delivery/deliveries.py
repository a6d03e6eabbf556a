"""All sinks of a worker at work, and what people ask of them."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from batcher.agenda import Agenda
from batcher.database import Database
from batcher.delivery import failed_records, ledger
from batcher.delivery.board import row_of
from batcher.delivery.chunks import Progress, Target
from batcher.delivery.failed_chunks import FailedChunkLog
from batcher.delivery.round import Clock
from batcher.delivery.sink_desk import OpenUntil, Request, SinkDesk, always_open
from batcher.delivery.standing import Overview, read_overview
from batcher.ownership import Ownership
from batcher.queries import Connection
from batcher.workbench import Workbench
from schemas.failed_chunks import ChunkState
from schemas.instants import rfc3339

log = structlog.get_logger(__name__)

POLL_S = 1.0


class Deliveries:
    """Delivers for ever what is published of the sites that this worker owns. Wants a running event loop."""

    def __init__(
        self,
        bench: Workbench,
        agenda: Agenda,
        ownership: Ownership,
        failed_log: FailedChunkLog,
        *,
        open_until: OpenUntil = always_open,
        clock: Clock | None = None,
    ) -> None:
        self._bench, self._agenda, self._ownership, self._failed_log = bench, agenda, ownership, failed_log
        self._news = {name: asyncio.Event() for name in bench.settings.sinks}
        self._read: tuple[int, list[str], Overview] | None = None  # after so many writes, of these sites
        self.desks = {
            name: SinkDesk(bench, name, sink, owns=self._owns, open_until=open_until, clock=clock)
            for name, sink in bench.settings.sinks.items()
        }

    async def run(self) -> None:
        """Deliver for ever."""
        if not self.desks:
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for desk in self.desks.values():
                    tasks.create_task(self._serve(desk), name=f"sink {desk.name}")
                tasks.create_task(self._keep_records(), name="failed chunks")
        finally:
            for desk in self.desks.values():
                await desk.lines.close()
            await self._failed_log.close()

    async def _serve(self, desk: SinkDesk) -> None:
        news = self._news[desk.name]
        await desk.sweep()
        while True:
            await desk.visit(await self.overview())
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await news.wait()
            news.clear()

    async def _keep_records(self) -> None:
        """Tell the topic of failed chunks."""
        told_after = -1  # writes
        while True:
            await asyncio.sleep(POLL_S)
            if (writes := self._bench.database.writes) == told_after:
                continue
            records = await self._bench.database.read(Database.ask, failed_records.untold)
            try:
                for record in records:
                    await self._failed_log.write(record)
            except KafkaError as error:
                log.warning("records of failed chunks wait for Kafka", error=repr(error))
                continue
            if records:
                await self._bench.database.write(
                    Database.change, lambda c, told=records: failed_records.set_told(c, told)
                )
            told_after = writes

    def known_sites(self) -> list[str]:
        """Ours, as far as what is published of them is known."""
        partitions = self._ownership.partitions.items()
        ready = {number for number, one in partitions if one.ready and one.marked and one.baseline is None}
        return [site.site_id for site in self._agenda.book.of(ready)]

    def _owns(self, site_id: str) -> bool:
        owned = self._ownership.of_site(site_id)
        return owned is not None and owned.ready and owned.marked

    # -- what people ask -----------------------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """How everything stands, for the sites that are ours. Read once for all sinks, and again after a write."""
        sites, writes = self.known_sites(), self._bench.database.writes
        if self._read is None or self._read[:2] != (writes, sites):
            overview = await self._bench.database.read(Database.ask, lambda c: read_overview(c, sites))
            self._read = writes, sites, overview
        return self._read[2]

    def wake(self, names: Sequence[str]) -> None:
        """There may be something to deliver to these sinks."""
        for name in names:
            self._news[name].set()

    async def ask_for(
        self, sink: str | None, site_id: str | None, request: Request
    ) -> tuple[list[Target], list[Target]]:
        """Ask for deliveries; returns the targets that will be delivered, and those that the schedule keeps closed."""
        overview = await self.overview()
        wanted = [
            (desk, target)
            for name, desk in self.desks.items()
            for target in desk.targets(overview)
            if sink in (None, name) and site_id in (None, target.site_id)
        ]
        taken = [(desk, target) for desk, target in wanted if request.now or desk.is_open(target.site_id)]
        for desk, target in taken:
            desk.requests[target] = request
        self.wake(sorted({desk.name for desk, _ in taken}))
        closed = [target for desk, target in wanted if (desk, target) not in taken]
        return [target for _, target in taken], closed

    async def resume(self, sink: str) -> bool:
        """Deliver again to a stopped sink; returns whether it was stopped."""
        was = await self._bench.database.write(Database.change, lambda connection: ledger.resume(connection, sink))
        self.wake([sink])
        return was

    async def retry(self, chunk_id: str) -> bool:
        """Try a failed chunk again; False if it is in hand no more."""

        def again(connection: Connection) -> Target | None:
            chunk = ledger.chunk_named(connection, chunk_id)
            if chunk is None or chunk.progress is not Progress.FAILED:
                return None
            ledger.move(connection, chunk, Progress.SENDING, attempts=chunk.attempts)
            failed_records.turn(connection, chunk.target, chunk_id, ChunkState.RETRY, self._now())
            return chunk.target

        target = await self._bench.database.write(Database.change, again)
        if target and target.sink in self._news:
            self.wake([target.sink])
        return target is not None

    async def discard(self, chunk_id: str, reason: str) -> bool:
        """Give a failed chunk up for good: its SKUs are part of the next delivery. False if no such chunk failed."""

        def give_up(connection: Connection) -> bool:
            record = failed_records.find(connection, chunk_id)
            if record is None:
                return False
            target = Target(record.sink, record.site_id or "", record.horizon)
            failed_records.turn(connection, target, chunk_id, ChunkState.DISCARDED, self._now(), reason=reason)
            chunk = ledger.chunk_named(connection, chunk_id)
            if chunk and record.state is ChunkState.RETRY:  # which nobody wants any more
                ledger.move(connection, chunk, Progress.FAILED, attempts=chunk.attempts)
            return True

        return await self._bench.database.write(Database.change, give_up)

    def _now(self) -> str:
        return rfc3339(self._bench.wall_ms())

    async def rows(self) -> list[dict[str, Any]]:
        """A row for each sink and target, for people and programs."""
        overview = await self.overview()
        return [
            row_of(desk, target, published, overview)
            for desk in self.desks.values()
            for target, published in desk.targets(overview).items()
        ]
