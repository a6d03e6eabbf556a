"""What a stream worker waits for, and how it says so."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.health import Health
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from runtime.store import StoreUnavailable, StoreUnsuitable
from runtime.store_claim import claim_store
from runtime.store_local import LocalStore
from streams.app import build_app
from streams.pressure import Pressure
from streams.surroundings import StoreQuestion


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


def question(store: Store, health: Health, patience_s: float = 20.0) -> StoreQuestion[None]:
    return StoreQuestion(store.check, Pressure(health), patience_s)


async def test_a_store_that_cannot_be_written_presses_until_it_can(store: Store, health: Health) -> None:
    """With its own words; one that must not be used is no matter of waiting."""
    asked = question(store, health)
    store.answer = StoreUnavailable("read-only file system")
    assert await asked.ask() is None
    assert health.not_ready == {"store check": "read-only file system"}
    store.answer = None
    assert await asked.ask() == (None,)
    assert health.not_ready == {}
    store.answer = StoreUnsuitable("no conditional put")
    with pytest.raises(StoreUnsuitable):
        await asked.ask()


async def test_a_store_that_does_not_answer_presses_and_is_asked_once(store: Store, health: Health) -> None:
    """A hard mount whose server is away holds a thread for ever; one is enough."""
    asked = question(store, health, patience_s=0.01)
    store.goes_on.clear()
    while not store.asked:
        assert await asked.ask() is None
    for _ in range(3):
        assert await asked.ask() is None
    assert "has not answered" in health.not_ready["store check"]
    assert store.asked == 1
    store.goes_on.set()
    async with asyncio.timeout(20):
        while await asked.ask() is None:
            pass
    assert health.not_ready == {}


def test_a_reason_whose_figures_change_is_said_once(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readiness has the newest ones; another reason is another line."""
    said: list[str] = []
    monkeypatch.setattr("runtime.health.log", SimpleNamespace(warning=lambda *_, reason, **__: said.append(reason)))
    for free in ("1,000", "999", "1.5"):
        health.raise_reason("store check", f"{free} bytes free")
    health.raise_reason("store check", "read-only file system")
    assert said == ["1,000 bytes free", "read-only file system"]
    health.raise_reason("store check", "3 bytes free")
    assert health.ready()[1] == {"store check": "3 bytes free"}


def test_an_empty_store_is_claimed_only_before_the_first_batch(tmp_path: Path) -> None:
    """Later it is the folder beneath a volume that is not mounted. One that has the batches has only lost its claim."""
    root, newest = tmp_path / "store", ["orders/S1/2026-03/a.avro"]
    store = LocalStore(root)
    with pytest.raises(StoreUnavailable, match="is its volume mounted"):
        claim_store(store, "batches id-1", newest)
    assert not root.exists()
    root.mkdir()
    with pytest.raises(StoreUnavailable, match=r"lacks the newest batches.*volume mounted.*`batches id-1`"):
        claim_store(store, "batches id-1", newest)
    assert list(root.iterdir()) == []

    spool = store.spool("w", "a")
    spool.append(b"data")
    spool.finish(newest[0])
    claim_store(store, "batches id-1", newest)
    assert store.claimed_by() == "batches id-1"

    new = LocalStore(tmp_path / "new")
    claim_store(new, "batches id-1", [])
    assert new.claimed_by() == "batches id-1"
    with pytest.raises(SettingsRefused, match="belongs to another pipeline"):
        claim_store(new, "batches id-2", [])


def test_a_claim_that_was_written_by_hand_counts(tmp_path: Path) -> None:
    """As the message asks for it, with the line's end that an editor adds."""
    (tmp_path / ".tmp").mkdir()
    (tmp_path / ".tmp" / "pipeline").write_text("batches id-1\n")
    claim_store(LocalStore(tmp_path), "batches id-1", ["orders/S1/2026-03/a.avro"])


def test_partitions_are_assigned_one_by_one_and_a_quiet_worker_stays(tmp_path: Path) -> None:
    """Not partition n of all topics together: then a worker beyond the partitions of one topic would find no work. And
    not without those that wait: a year of backpressure is no reason to leave the group."""
    conf = build_app(Settings(state_dir=tmp_path)).conf
    assert conf.table_standby_replicas == 0
    assert conf.broker_max_poll_interval > 365 * 86_400
