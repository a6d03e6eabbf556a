"""The same coefficients in a plain aiohttp loop: read, encoded, posted, with nothing that would help where it fails."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import msgspec

from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.wms import AS_OF_MS, CHUNK_SKUS, CONCURRENCY, HORIZON, RUN_ID, SITE, SKUS, prepare, running_wms
from schemas.delivery import PATH, DeliveredRow, DeliveryChunk
from schemas.instants import rfc3339


def run(job: Job) -> Measurement:
    """Post, and see that all of it arrived."""
    with running_wms() as wms:
        _, file = prepare(job.scratch, wms.url)
        measured = asyncio.run(_post(file, wms.url))
        wms.verify()
        return measured


async def _post(file: Path, url: str) -> Measurement:
    watch = Stopwatch()
    watch.start()
    with duckdb.connect(file) as connection:
        query = "SELECT *, rfc3339(first_seen_ms) AS first_seen FROM results WHERE run_id = $run_id ORDER BY sku"
        rows = connection.execute(query, {"run_id": RUN_ID}).to_arrow_table().to_pylist()
    slots = asyncio.Semaphore(CONCURRENCY)
    async with aiohttp.ClientSession() as session:

        async def post(number: int) -> None:
            async with slots:
                body = msgspec.json.encode(_chunk(number, rows[number * CHUNK_SKUS : (number + 1) * CHUNK_SKUS]))
                headers = {"Idempotency-Key": hashlib.sha256(body).hexdigest(), "Velocity-Schema-Version": "1"}
                async with session.post(f"{url}{PATH}", data=body, headers=headers) as answer:
                    answer.raise_for_status()
                    await answer.json()

        await asyncio.gather(*(post(number) for number in range(SKUS // CHUNK_SKUS)))
    return watch.stop(SKUS)


def _chunk(number: int, rows: list[dict[str, Any]]) -> DeliveryChunk:
    return DeliveryChunk(
        site_id=SITE,
        horizon=HORIZON,
        as_of=rfc3339(AS_OF_MS),
        run_id=RUN_ID,
        coverage=1.0,
        chunk=number + 1,
        chunks=SKUS // CHUNK_SKUS,
        rows=msgspec.convert(rows, list[DeliveredRow], strict=False),
        removed=[],
    )
