"""The pulse: how late the event loop is, and what is shown of the limit."""

import asyncio
import time
from typing import Any
from unittest.mock import AsyncMock

from prometheus_client import REGISTRY

from batcher.pulse import regulate, worst_lag_s
from batcher.regulation import Bounds, Reason, Regulator, Strain


async def test_one_callback_that_holds_the_loop_up_is_noticed_wherever_it_falls() -> None:
    """Not only where it meets the end of the beat."""
    asyncio.get_running_loop().call_later(0.07, time.sleep, 0.3)
    assert await worst_lag_s(0.5) > 0.2


async def test_why_the_limit_moved_is_exported() -> None:
    """As a counter by reason, as the last reason, and as what strains the worker now."""
    loader: Any = AsyncMock()
    regulator = Regulator(Bounds(8, 0.25, 1000))

    def value(name: str, reason: Reason) -> float:
        return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0

    changes, last, now = (
        f"velocity_batch_{name}" for name in ("concurrency_changes_total", "concurrency_reason", "strained")
    )
    before = [value(changes, reason) for reason in (Reason.QUEUE, Reason.MEMORY)]
    await regulate(regulator, loader, Strain(0.0, 1, queued=9))
    assert (value(last, Reason.QUEUE), value(last, Reason.MEMORY), value(now, Reason.MEMORY)) == (1, 0, 0)
    await regulate(regulator, loader, Strain(0.0, 1001, queued=9))
    assert (value(last, Reason.QUEUE), value(last, Reason.MEMORY), value(now, Reason.MEMORY)) == (0, 1, 1)
    await regulate(regulator, loader, Strain(0.0, 1001, queued=9))  # as low as it may be: no change
    assert [value(changes, reason) for reason in (Reason.QUEUE, Reason.MEMORY)] == [before[0] + 1, before[1] + 1]
    assert [call.args for call in loader.resize.await_args_list] == [(3,), (1,), (1,)]
