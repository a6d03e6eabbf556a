"""What the worker stands on beside its topics: the batch store, its group, and batch workers that keep up."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from aiokafka.errors import KafkaError

from runtime.backlog import BatchBacklog
from runtime.connections import until_connected
from runtime.health import Health
from runtime.refusals import SettingsRefused
from runtime.store import StoreError, StoreUnsuitable
from runtime.store_claim import claim_store, newest_batches, pipeline_of
from streams.fetch_lane import FetchLane
from streams.pressure import Pressure
from streams.workbench import Workbench

T = TypeVar("T")

WATCH_S = 2.0
STORE_PATIENCE_S = 20.0  # for an answer; a hard NFS mount whose server is away never gives one

_STORE, _MEMBERSHIP = "store check", "membership"


async def until_store_is_ours(bench: Workbench) -> None:
    """Wait until the store can be written, and claim it for this pipeline. Nothing may be read or written before.

    Raises:
        SettingsRefused: it is another pipeline's, or unsuitable.
    """
    store, settings, pressure = bench.store, bench.settings, bench.pressure
    try:
        claimed = await StoreQuestion(store.claimed_by, pressure).until_answered()
        newest = [] if claimed else await until_connected("start", lambda: newest_batches(settings))
        pipeline = await until_connected("start", lambda: asyncio.to_thread(pipeline_of, settings))
        await StoreQuestion(lambda: claim_store(store, pipeline, newest), pressure).until_answered()
        await StoreQuestion(store.check, pressure).until_answered()
    except StoreUnsuitable as error:
        raise SettingsRefused(str(error)) from error


async def watch_surroundings(bench: Workbench, health: Health) -> None:
    """Look again and again at what fetching must wait for."""
    store, backlog = StoreQuestion(bench.store.check, bench.pressure), BatchBacklog(bench.settings)
    try:
        while True:
            await store.ask()
            _judge_backlog(await backlog.look(), bench, health)
            await asyncio.sleep(WATCH_S)
    finally:
        await backlog.close()


async def watch_membership(lane: Callable[[], FetchLane], health: Health) -> None:
    """Say what keeps the worker out of its group. aiokafka tries again once it has been asked, and not before."""
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            await lane().check_membership()
        except KafkaError as error:
            health.raise_reason(_MEMBERSHIP, f"the group does not take this worker in, trying again: {error!r}")
        else:
            health.clear(_MEMBERSHIP)


class StoreQuestion(Generic[T]):
    """Asks the store in a thread, and presses while it cannot answer or does not: one thread, however long it hangs."""

    def __init__(self, question: Callable[[], T], pressure: Pressure, patience_s: float = STORE_PATIENCE_S) -> None:
        self._question, self._pressure, self._patience_s = question, pressure, patience_s
        self._asking: asyncio.Task[T] | None = None

    async def until_answered(self) -> T:
        """The answer, whenever it comes. Raises what `ask` does."""
        while True:
            if (answered := await self.ask()) is not None:
                return answered[0]
            await asyncio.sleep(WATCH_S)

    async def ask(self) -> tuple[T] | None:
        """The answer, if there is one now.

        Raises:
            StoreUnsuitable: the store must not be used.
        """
        asking = self._asking = self._asking or asyncio.create_task(asyncio.to_thread(self._question))
        done, _ = await asyncio.wait([asking], timeout=self._patience_s)
        if not done:
            self._pressure.press(_STORE, f"the batch store has not answered for {self._patience_s:g} s or more")
            return None
        self._asking = None
        try:
            answer = asking.result()
        except StoreUnsuitable:
            raise
        except StoreError as error:
            self._pressure.press(_STORE, str(error))
            return None
        self._pressure.lift(_STORE)
        return (answer,)


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
