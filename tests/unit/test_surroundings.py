"""What a stream worker waits for, and how it says so."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from runtime import store_claim
from runtime.health import Health
from runtime.settings import Settings, StoreSettings
from runtime.store import BatchStore, StoreUnavailable, StoreUnsuitable
from runtime.store_local import LocalStore
from streams.app import build_app
from streams.pressure import Pressure
from streams.surroundings import StoreWatch


class Store:
    """Answers with what it is told; None: it can be written."""

    def __init__(self) -> None:
        self.answer: Exception | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.asked = 0

    def check(self) -> None:
        self.asked += 1
        self.goes_on.wait(20)
        if self.answer:
            raise self.answer


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()
    yield store
    store.goes_on.set()


def watched(store: Store, health: Health, patience_s: float = 20.0) -> StoreWatch:
    return StoreWatch(cast(BatchStore, store), Pressure(health), patience_s)


async def test_a_store_that_cannot_be_written_presses_until_it_can(store: Store, health: Health) -> None:
    """With its own words; one that must not be used is no matter of waiting."""
    watch = watched(store, health)
    store.answer = StoreUnavailable("read-only file system")
    assert not await watch.look()
    assert health.not_ready == {"store check": "read-only file system"}
    store.answer = None
    assert await watch.look()
    assert health.not_ready == {}
    store.answer = StoreUnsuitable("no conditional put")
    with pytest.raises(StoreUnsuitable):
        await watch.look()


async def test_a_store_that_does_not_answer_presses_and_is_asked_once(store: Store, health: Health) -> None:
    """A hard mount whose server is away holds a thread for ever; one is enough."""
    watch = watched(store, health, patience_s=0.01)
    store.goes_on.clear()
    for _ in range(3):
        assert not await watch.look()
    assert "has not answered" in health.not_ready["store check"]
    assert store.asked == 1
    store.goes_on.set()
    await asyncio.sleep(0.1)
    assert await watch.look()
    assert health.not_ready == {}


def test_a_reason_whose_figures_change_is_said_once(health: Health) -> None:
    """Readiness has the newest ones; another reason is another line."""
    with capture_logs() as lines:
        for free in ("1,000", "999", "1.5"):
            health.raise_reason("store check", f"{free} bytes free")
        health.raise_reason("store check", "read-only file system")
    assert [line["reason"] for line in lines] == ["1,000 bytes free", "read-only file system"]
    health.raise_reason("store check", "3 bytes free")
    assert health.ready()[1] == {"store check": "3 bytes free"}


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the newest batches, and no broker."""
    paths: list[str] = []

    async def newest(_: Any) -> list[str]:
        return paths

    monkeypatch.setattr(store_claim, "_newest_batches", newest)
    monkeypatch.setattr(store_claim, "topic_id", lambda *_: "id-1")
    return paths


async def test_an_empty_store_is_claimed_only_before_the_first_batch(tmp_path: Path, announced: list[str]) -> None:
    """Later it is the folder beneath a volume that is not mounted. One that has the batches has only lost its claim."""
    root = tmp_path / "store"
    settings, store = Settings(store=StoreSettings(url=str(root))), LocalStore(root)
    announced.append("orders/S1/2026-03/a.avro")
    with pytest.raises(StoreUnavailable, match="is its volume mounted"):
        await store_claim.claim_store(store, settings)
    assert not root.exists()
    root.mkdir()
    with pytest.raises(StoreUnavailable, match=r"lacks the newest batches.*volume mounted.*`velocity.batches.v1 id-1`"):
        await store_claim.claim_store(store, settings)
    assert list(root.iterdir()) == []

    spool = store.spool("w", "a")
    spool.append(b"data")
    spool.finish("orders/S1/2026-03/a.avro")
    await store_claim.claim_store(store, settings)
    assert store.claimed_by() == "velocity.batches.v1 id-1"

    announced.clear()
    new = LocalStore(tmp_path / "new")
    await store_claim.claim_store(new, settings)
    assert new.claimed_by() == "velocity.batches.v1 id-1"


def test_partitions_are_assigned_one_by_one_and_a_quiet_worker_stays(tmp_path: Path) -> None:
    """Not partition n of all topics together: then a worker beyond the partitions of one topic would find no work. And
    not without those that wait: a year of backpressure is no reason to leave the group."""
    conf = build_app(Settings(state_dir=tmp_path)).conf
    assert conf.table_standby_replicas == 0
    assert conf.broker_max_poll_interval > 365 * 86_400
