"""Answers that are kept a moment: ten who ask at once ask once, and what failed is asked for again."""

import asyncio

import pytest

from console.insight.kept import MOST, Kept


class Asked:
    """Something that is asked for, and how often it was."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False

    async def answer(self) -> int:
        self.times += 1
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionError
        return self.times


async def test_who_asks_at_the_same_time_shares_an_answer() -> None:
    """And it is kept for as long as was said, by key."""
    now = 0.0
    kept, asked = Kept[int](2.0, lambda: now), Asked()
    assert await asyncio.gather(*(kept.get("a", asked.answer) for _ in range(10))) == [1] * 10
    now = 2.0
    assert await kept.get("a", asked.answer) == 1
    assert await kept.get("b", asked.answer) == 2
    now = 2.1
    assert await kept.get("a", asked.answer) == 3


async def test_a_failure_is_not_kept() -> None:
    """It fails for those who waited for it; the next one asks again."""
    kept, asked = Kept[int](60.0), Asked()
    asked.fails = True
    with pytest.raises(ConnectionError):
        await kept.get("a", asked.answer)
    asked.fails = False
    assert await kept.get("a", asked.answer) == 2


async def test_who_goes_away_takes_nobodys_answer_along() -> None:
    """A page that is closed while it waits does not end the question for the others."""
    kept, asked = Kept[int](60.0), Asked()
    first = asyncio.create_task(kept.get("a", asked.answer))
    second = asyncio.create_task(kept.get("a", asked.answer))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1


async def test_only_so_many_answers_are_held() -> None:
    """Addresses that nobody will ask for again do not add up."""
    kept, asked = Kept[int](60.0), Asked()
    for key in range(MOST + 1):
        await kept.get(key, asked.answer)
    assert await kept.get(MOST, asked.answer) == MOST + 1
    assert await kept.get(0, asked.answer) == MOST + 2
