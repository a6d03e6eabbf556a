"""A stream worker without a broker: the real state, files and loop; fetches are handed in, transactions recorded."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.types import TP

from runtime.health import Health
from runtime.record_batches import Records
from runtime.settings import Settings, StoreSettings, StreamSettings
from runtime.tracing import OFF, Tracing
from schemas.sources import Source
from streams.checkpoint import Identity
from streams.fetch_lane import Fetch, FetchLane
from streams.ledger import Announced, Entry, Ledger
from streams.owned import OwnedPartition, Recovered
from streams.partition import Partition
from streams.process import build_workbench
from streams.worker import StreamWorker

ORDERS = TP("wms.orders.v1", 0)
KAFKA_TIME_MS = 1_772_363_700_000


class RecordedLedger:
    """Commits at once; `before_commit` is awaited first, and may raise."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.closed = False
        self.before_commit: Callable[[], Awaitable[None]] | None = None

    async def commit(self, entry: Entry) -> Announced:
        if self.before_commit:
            await self.before_commit()
        self.entries.append(entry)
        return Announced(entry.frontier, (entry.frontier.committed, "metadata"))

    async def close(self) -> None:
        self.closed = True

    async def open(self) -> None: ...


@dataclass
class RecordedLane:
    """What the worker asks of the lane."""

    resumed: list[tuple[TP, int]] = field(default_factory=list)
    resting: set[TP] = field(default_factory=set)
    closed: bool = False
    log_end: int = 0

    def withhold(self, *tps: TP) -> None: ...

    def rest(self, tp: TP) -> None:
        self.resting.add(tp)

    def wake(self, tp: TP) -> None:
        self.resting.discard(tp)

    def close_lane(self) -> None:
        self.closed = True

    def reaches(self, tp: TP) -> int | None:
        return None

    async def resume(self, tp: TP, offset: int) -> None:
        self.resumed.append((tp, offset))

    async def call(self, method: str, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self.log_end)

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        return None


class WorkerWorld:
    """A worker that owns one new partition of orders. Make it inside a running event loop."""

    def __init__(self, folder: Path, tracing: Tracing = OFF, **stream: Any) -> None:
        settings = Settings(
            store=StoreSettings(url=str(folder / "store")),
            state_dir=folder / "state",
            worker_id="w1",
            stream=StreamSettings(**stream),
        )
        self.health, self.ledger, self.lane = Health(), RecordedLedger(), RecordedLane()
        self.bench = replace(build_workbench(settings, self.health), tracing=tracing)
        lane = cast(FetchLane, self.lane)
        self.worker = StreamWorker(self.bench, self.health, lambda: lane)
        self.owned = self.own(ORDERS)

    def own(self, tp: TP) -> OwnedPartition:
        """The worker owns this new partition of orders, too."""
        identity = Identity(Source.ORDERS, *tp, "topic-id", "w1", self.bench.settings_hash)
        state, ledger = Partition.fresh(self.bench.rules, 0), cast(Ledger, self.ledger)
        owned = OwnedPartition(self.bench, identity, state, ledger, Recovered(), self.lane.committed)
        self.worker._owned[tp] = owned
        return owned

    async def take(self, values: Sequence[bytes]) -> None:
        """The worker takes a fetch with these values, from where it stands."""
        await self.worker.take(fetch_of(ORDERS, self.owned.state.position, values))

    async def ticked(self) -> None:
        """Time passes: what is due is begun, and what can end has ended."""
        await self.worker.tick()
        for _ in range(50):
            await asyncio.sleep(0.002)
            if not self.worker._checkpoints:
                return

    @property
    def paused(self) -> bool:
        """Whether fetches wait."""
        return not self.bench.pressure._free.is_set()


def fetch_of(tp: TP, base: int, values: Sequence[bytes]) -> Fetch:
    """A fetch of these values, from `base` on."""
    records = [
        ConsumerRecord(*tp, base + index, KAFKA_TIME_MS, 0, b"k", value, None, 1, len(value), ())
        for index, value in enumerate(values)
    ]
    return Fetch(*tp, 1, base, base + len(records), Records.of(records))


def orders(count: int, *, start: int = 0, at: str = "2026-03-01T10:15:00Z", site: str = "S1") -> list[bytes]:
    """Valid orders with ids from `start`."""
    event = {"site_id": site, "sku": "A", "event_time": at, "quantity": 1, "uom": "EA", "order_id": "o", "line": 1}
    return [json.dumps({"event_id": f"e{number}", **event}).encode() for number in range(start, start + count)]
