"""One sink at work: round after round of what is due to it, one delivery at a time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from batcher import metrics, runs
from batcher.database import Database
from batcher.delivery import ledger
from batcher.delivery.book import LedgerBook
from batcher.delivery.chunks import Chunk, Target
from batcher.delivery.drop import Drop
from batcher.delivery.ledger import Published
from batcher.delivery.opening import open_courier, open_lines
from batcher.delivery.round import Clock, End, Round
from batcher.delivery.standing import Overview, Standing
from batcher.queries import Connection
from batcher.workbench import Workbench
from runtime.sink_settings import SinkSettings

log = structlog.get_logger(__name__)

OpenUntil = Callable[[str, int], int | None]


def always_open(site_id: str, now_ms: int) -> int | None:
    """Until when a site may be delivered, in wall-clock milliseconds; None: not now."""
    return now_ms + 86_400_000


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for. `full` names a full synchronisation; `now`: whatever the schedule says."""

    full: str | None = None
    now: bool = False


class SinkDesk:
    """`owns` says whether a site is still this worker's. Wants a running event loop."""

    def __init__(
        self,
        bench: Workbench,
        name: str,
        sink: SinkSettings,
        *,
        owns: Callable[[str], bool],
        open_until: OpenUntil = always_open,
        clock: Clock | None = None,
    ) -> None:
        self.name, self.sink = name, sink
        self.requests: dict[Target, Request] = {}
        self.in_hand: Target | None = None
        self._shown: set[str] = set()  # sites that gauges speak of
        self._bench, self._owns, self._open_until = bench, owns, open_until
        self._book = LedgerBook(bench.database, bench.wall_ms)
        self.lines = open_lines(name, sink)
        self._courier = open_courier(name, sink, self.lines, self._book, clock)

    # -- what is due ---------------------------------------------------------------------------------------------------

    def targets(self, overview: Overview) -> dict[Target, Published]:
        """What of the published runs this sink takes."""
        return {
            Target(self.name, run.site_id, run.horizon): run
            for run in overview.published
            if run.horizon in self.sink.horizons and self.sink.takes_site(run.site_id)
        }

    def is_open(self, site_id: str) -> bool:
        """Whether the schedule lets the site be delivered now."""
        return self.sink.when == "always" or self._open_until(site_id, self._bench.wall_ms()) is not None

    async def visit(self, overview: Overview) -> None:
        """Deliver what is due and allowed, target by target."""
        self._show(overview)
        if self.name in overview.stopped:
            return
        for target, published in self.targets(overview).items():
            request = self.requests.get(target)
            standing = overview.standings.get(target, Standing())
            if not (request or standing.is_due(published.run_id)):
                continue
            if not (self.is_open(target.site_id) or (request and request.now)):
                continue
            self.in_hand = target
            try:
                end = await self._deliver(target, published, request)
            finally:
                self.in_hand = None
            if end is End.STOPPED:
                return

    async def _deliver(self, target: Target, published: Published, request: Request | None) -> End:
        chunks = await self._bench.database.write(Database.change, self._planned(target, published, request))
        if self.requests.get(target) == request:
            self.requests.pop(target, None)  # it is on disk by now
        this = Round(self._may_go_on(target.site_id, now=bool(request and request.now)))
        if chunks:
            with self._bench.traces.delivering(target.sink, target.site_id) as this.traceparent:
                await self._courier.deliver(chunks, this)
        if this.drift:
            await self._stop(this.drift)
        through = await self._book.finish(target)
        if chunks:
            site = {"site_id": target.site_id, "horizon": target.horizon, "run_id": published.run_id}
            log.info("delivered" if through else "delivery not through", sink=self.name, end=this.end.value, **site)
        return this.end

    def _planned(
        self, target: Target, published: Published, request: Request | None
    ) -> Callable[[Connection], list[Chunk]]:
        """In a transaction: what is to be sent, of the delivery in hand or of a new one."""
        now_ms = self._bench.wall_ms()
        full = request.full if request else None

        def plan(connection: Connection) -> list[Chunk]:
            planned, run = ledger.planned(connection, target), runs.find(connection, published.run_id)
            if run and run.current and (full or planned is None or planned.run_id != run.run_id):
                ledger.plan(connection, target, run, chunk_skus=self.sink.chunk_skus, now_ms=now_ms, request=full)
            return ledger.unsettled(connection, target)

        return plan

    def _may_go_on(self, site_id: str, *, now: bool) -> Callable[[], bool]:
        return lambda: self._owns(site_id) and (now or self.is_open(site_id))

    # -- trouble -------------------------------------------------------------------------------------------------------

    async def _stop(self, reason: str) -> None:
        now_ms = self._bench.wall_ms()
        log.error("sink stopped: it speaks another version of the agreement", sink=self.name, reason=reason)
        await self._bench.database.write(Database.change, lambda c: ledger.stop(c, self.name, reason, now_ms))

    def _show(self, overview: Overview) -> None:
        """Readiness and gauges, from what is on disk."""
        reason, failed = overview.stopped.get(self.name), overview.failed.get(self.name, 0)
        self._say("stopped", reason and f"{reason}. Once that is mended: velocity sinks resume {self.name}")
        some = f"{failed} chunks were given up; `velocity chunks list` names them" if failed else None
        self._say("failed chunks", some)
        metrics.SINK_STOPPED.labels(self.name).set(reason is not None)
        metrics.FAILED_CHUNKS.labels(self.name).set(failed)
        backlog, now_ms = 0, self._bench.wall_ms()
        targets = self.targets(overview)
        self._show_only({target.site_id for target in targets})
        for target, published in targets.items():
            standing = overview.standings.get(target, Standing())
            backlog += standing.backlog_skus
            has_it = standing.acknowledged and standing.acknowledged.run_id == published.run_id
            age_s = 0.0 if has_it else (now_ms - published.calculated_at_ms) / 1000
            metrics.DELIVERY_AGE.labels(self.name, target.site_id).set(max(0.0, age_s))
            if chunks := sum(standing.chunks.values()):
                share = standing.chunks.get("acknowledged", 0) / max(1, chunks - standing.chunks.get("pending", 0))
                metrics.CHUNK_SUCCESS.labels(target.site_id, self.name).set(share)
        metrics.DELIVERY_BACKLOG.labels(self.name).set(backlog)

    def _show_only(self, sites: set[str]) -> None:
        """Say nothing more of sites that another worker speaks of now."""
        for site_id in self._shown - sites:
            metrics.DELIVERY_AGE.remove(self.name, site_id)
            metrics.CHUNK_SUCCESS.remove(site_id, self.name)
        self._shown = sites

    def _say(self, what: str, reason: str | None) -> None:
        key = f"sink {self.name}: {what}"
        if reason:
            self._bench.health.raise_reason(key, reason)
        else:
            self._bench.health.clear(key)

    async def sweep(self) -> None:
        """Remove files of the drop that no chunk waits in any more."""
        if self.sink.drop_dir is None:
            return
        keys = await self._bench.database.read(Database.ask, lambda c: ledger.dropped_keys(c, self.name))
        with suppress(OSError):
            await asyncio.to_thread(Drop(self.sink.drop_dir, self.name).keep_only, keys)
