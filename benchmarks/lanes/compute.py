"""The compute API by way of `VelocityBatchProcessor`: half a million SKUs, from the first request to the last row."""

import asyncio
import os

from batcher import VelocityBatchProcessor
from batcher.compute_chunks import Row
from benchmarks.compute_api import BATCH_SIZE, CONCURRENCY, SITE, asked_skus, check_rows, compute_api
from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch


def run(job: Job) -> Measurement:
    """Ask for all of them; CPU time and memory are those of both processes."""
    skus = asked_skus()
    with compute_api(job.scratch) as (url, server):
        watch = Stopwatch([os.getpid(), server])
        watch.start()
        rows = asyncio.run(_ask(url, skus))
        measured = watch.stop(len(rows))
    check_rows(rows, skus)
    return measured


async def _ask(url: str, skus: list[str]) -> list[Row]:
    async with VelocityBatchProcessor(url, BATCH_SIZE, CONCURRENCY, site_id=SITE) as processor:
        return await processor.process_full_dataset(skus)
