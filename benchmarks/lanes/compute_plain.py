"""The yardstick of `compute`: a plain aiohttp loop over the same API, in the same chunks, with nothing that would help
if anything went wrong."""

import asyncio
import os
from typing import Any

import aiohttp
import msgspec

from benchmarks.compute_api import BATCH_SIZE, CONCURRENCY, SITE, asked_skus, check_rows, compute_api
from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch


def run(job: Job) -> Measurement:
    """Ask for all of them; CPU time and memory are those of both processes."""
    skus = asked_skus()
    with compute_api(job.scratch) as (url, server):
        watch = Stopwatch([os.getpid(), server])
        watch.start()
        rows = asyncio.run(_ask(f"{url}/api/v1/velocity/compute", skus))
        measured = watch.stop(len(rows))
    check_rows(rows, skus)
    return measured


async def _ask(url: str, skus: list[str]) -> list[dict[str, Any]]:
    slots = asyncio.Semaphore(CONCURRENCY)
    async with aiohttp.ClientSession() as session:

        async def ask(part: list[str]) -> list[dict[str, Any]]:
            body = msgspec.json.encode({"skus": part, "window": "rolling_30d", "site_id": SITE})
            async with slots, session.post(url, data=body) as reply:
                return msgspec.json.decode(await reply.read())["results"]

        parts = [skus[start : start + BATCH_SIZE] for start in range(0, len(skus), BATCH_SIZE)]
        return [row for rows in await asyncio.gather(*map(ask, parts)) for row in rows]
