"""What Faust's documentation leads to: a Record type and an agent with `async for`, here counting by window.

It validates nothing, keeps its counts in a dictionary instead of a table with a changelog, and writes no file: each
would cost it more. It reads the first `EVENTS` of the topic, for at its rate the whole would take minutes.
"""

import asyncio
from collections import Counter
from datetime import datetime

import faust

from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch

EVENTS = 100_000
WINDOW_S = 300


class Order(faust.Record, serializer="json"):
    """An order event as a Faust model."""

    event_id: str
    site_id: str
    sku: str
    event_time: str
    quantity: float
    uom: str
    order_id: str
    line: int
    channel: str | None = None
    promo_id: str | None = None


def run(job: Job) -> Measurement:
    """Count the first events by SKU and window."""
    return asyncio.run(_count(job))


async def _count(job: Job) -> Measurement:
    app = faust.App(
        f"bench-faust-{job.scratch.name}",
        broker=f"kafka://{job.bootstrap}",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        datadir=str(job.scratch / "faust"),
    )
    wanted = min(EVENTS, job.feed.events)
    watch, counts = Stopwatch(broker_pid=job.broker_pid), Counter[tuple[str, int]]()
    measured: asyncio.Future[Measurement] = asyncio.get_running_loop().create_future()

    @app.agent(app.topic(job.topic, value_type=Order))
    async def count_lines(orders: faust.StreamT[Order]) -> None:
        seen = 0
        async for order in orders:
            if not watch.running:
                watch.start()
            start = int(datetime.fromisoformat(order.event_time).timestamp()) // WINDOW_S * WINDOW_S
            counts[order.sku, start] += 1
            seen += 1
            if seen == wanted:
                measured.set_result(watch.stop(seen, windows_of_skus=len(counts)))

    await app.start()
    try:
        return await measured
    finally:
        await app.stop()
