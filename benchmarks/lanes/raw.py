"""What the client alone can do: aiokafka's `getmany` with its defaults, records counted and dropped."""

import asyncio

from aiokafka import AIOKafkaConsumer

from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch


def run(job: Job) -> Measurement:
    """Read the whole topic."""
    return asyncio.run(_read(job))


async def _read(job: Job) -> Measurement:
    consumer = AIOKafkaConsumer(
        job.topic, bootstrap_servers=job.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    watch, seen = Stopwatch(broker_pid=job.broker_pid), 0
    await consumer.start()
    try:
        while seen < job.feed.events:
            fetched = await consumer.getmany(timeout_ms=1000)
            if fetched and not watch.running:
                watch.start()
            seen += sum(map(len, fetched.values()))
        return watch.stop(seen)
    finally:
        await consumer.stop()
