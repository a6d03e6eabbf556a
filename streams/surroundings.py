"""What the worker stands on beside its topics: the batch store, and batch workers that keep up."""

import asyncio

import structlog

from runtime.backlog import BatchBacklog
from runtime.connections import until_connected
from runtime.health import Health
from runtime.refusals import SettingsRefused
from runtime.store import BatchStore, StoreError, StoreUnsuitable
from runtime.store_claim import claim_store
from streams.pressure import Pressure
from streams.workbench import Workbench

log = structlog.get_logger(__name__)

WATCH_S = 2.0
STORE_PATIENCE_S = 20.0  # for an answer; a hard NFS mount whose server is away never gives one

_STORE = "store check"


async def until_store_is_ours(bench: Workbench) -> None:
    """Wait until the store can be written, and claim it for this pipeline. Nothing may be read or written before.

    Raises:
        SettingsRefused: it is another pipeline's, or not the one that this pipeline's batches are in, or unsuitable.
    """
    watch = StoreWatch(bench.store, bench.pressure)
    try:
        while True:
            try:
                await until_connected("start", lambda: claim_store(bench.store, bench.settings))
            except StoreError as error:
                bench.pressure.press(_STORE, str(error))
            else:
                if await watch.look():
                    return
            await asyncio.sleep(WATCH_S)
    except StoreUnsuitable as error:
        raise SettingsRefused(str(error)) from error


async def watch_surroundings(bench: Workbench, health: Health) -> None:
    """Look again and again at what fetching must wait for."""
    store, backlog = StoreWatch(bench.store, bench.pressure), BatchBacklog(bench.settings)
    try:
        while True:
            await store.look()
            _judge_backlog(await backlog.look(), bench, health)
            await asyncio.sleep(WATCH_S)
    finally:
        await backlog.close()


class StoreWatch:
    """Presses while the store cannot be written, or does not answer; one question at a time."""

    def __init__(self, store: BatchStore, pressure: Pressure, patience_s: float = STORE_PATIENCE_S) -> None:
        self._store, self._pressure, self._patience_s = store, pressure, patience_s
        self._asking: asyncio.Task[None] | None = None

    async def look(self) -> bool:
        """Whether it can be written.

        Raises:
            StoreUnsuitable: it can, but must not be.
        """
        asking = self._asking = self._asking or asyncio.create_task(asyncio.to_thread(self._store.check))
        done, _ = await asyncio.wait([asking], timeout=self._patience_s)
        if not done:
            self._pressure.press(_STORE, f"the batch store has not answered for {self._patience_s:g} s or more")
            return False
        self._asking = None
        try:
            asking.result()
        except StoreUnsuitable:
            raise
        except StoreError as error:
            self._pressure.press(_STORE, str(error))
            return False
        self._pressure.lift(_STORE)
        return True


def _judge_backlog(backlog: int | None, bench: Workbench, health: Health) -> None:
    limit = bench.settings.stream.max_batch_backlog
    if backlog is None:
        health.raise_reason("kafka", "the brokers do not answer; fetching goes on by itself once they do")
        return
    health.clear("kafka")
    if backlog > limit:
        bench.pressure.press("backlog", f"{backlog} manifests wait for the batch workers; max_batch_backlog is {limit}")
    else:
        bench.pressure.lift("backlog")
