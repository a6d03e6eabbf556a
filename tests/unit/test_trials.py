"""Dry runs of the console go on by themselves, are few at a time, and end when nobody asks for them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from console.desk.dry_run import DryRun
from console.desk.replay_order import ReplayOrder
from console.web.letters import trials as module
from console.web.letters.trials import AT_ONCE, REMEMBERED, TooManyDryRuns, Trial, Trials
from runtime.settings import Settings
from schemas.dead_letters import DeadLetter


class Held:
    """Dry runs that say how far they are, and wait."""

    def __init__(self) -> None:
        self.notes: list[Callable[[int], None]] = []
        self.goes_on = asyncio.Event()

    async def __call__(self, *_: Any, on_progress: Callable[[int], None]) -> DryRun:
        self.notes.append(on_progress)
        await self.goes_on.wait()
        return DryRun(fixed=5)


async def no_letters() -> AsyncGenerator[DeadLetter, None]:
    """None."""
    return
    yield


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """In place of those that judge."""
    held = Held()
    monkeypatch.setattr(module, "dry_run", held)
    return held


async def begun(trials: Trials) -> Trial:
    """One more."""
    trial = Trial("g", None, 10)
    trials.begin(Settings(), trial, ReplayOrder(why=""), no_letters())
    await asyncio.sleep(0)
    return trial


async def test_one_goes_on_while_nobody_waits(held: Held) -> None:
    """Until it has ended it says how far it is; the last ones are remembered."""
    trials = Trials()
    trial = await begun(trials)
    held.notes[0](3)
    assert (await trial.result(0.0), trial.judged, trial.under_way) == (None, 3, True)
    held.goes_on.set()
    for _ in range(2):
        result = await trial.result(1.0)
        assert result is not None
        assert result.fixed == 5
    assert trials.find(trial.id) is trial
    for _ in range(REMEMBERED):
        await (await begun(trials)).result(1.0)
    assert trials.find(trial.id) is None


async def test_there_are_not_too_many(held: Held) -> None:
    """One more is refused until another has ended; closing ends all."""
    trials = Trials()
    running = [await begun(trials) for _ in range(AT_ONCE)]
    with pytest.raises(TooManyDryRuns, match="wait until one has ended"):
        await begun(trials)
    held.notes[0](1)
    await trials.close()
    assert [trials.find(one.id) for one in running] == [None] * AT_ONCE
    await begun(trials)
    await trials.close()


async def test_one_that_nobody_asks_for_is_given_up(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """But not while its page is open."""
    trials = Trials()
    trial = await begun(trials)
    held.notes[0](1)
    await asyncio.sleep(0)
    assert trial.under_way
    monkeypatch.setattr(module, "FORGOTTEN_S", 0.0)
    held.notes[0](2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert trials.find(trial.id) is None


async def test_what_goes_wrong_is_told_whoever_asks(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it had been done at once."""

    async def broken(*_: Any, **__: Any) -> DryRun:
        raise RuntimeError("no gate")

    monkeypatch.setattr(module, "dry_run", broken)
    trial = await begun(Trials())
    with pytest.raises(RuntimeError, match="no gate"):
        await trial.result(1.0)
