"""Delivery of 200,000 coefficients to a WMS over HTTP, as the batch worker does it: planned, frozen, acknowledged."""

import asyncio
from pathlib import Path
from typing import Any, cast

from batcher.async_database import AsyncDatabase
from batcher.database import Database
from batcher.delivery.sink_desk import SinkDesk
from batcher.delivery.standing import read_overview
from batcher.workbench import Workbench
from benchmarks.feed import SITE
from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.wms import SKUS, prepare, running_wms
from runtime.health import Health
from runtime.settings import Settings
from runtime.sites import site_windows


def run(job: Job) -> Measurement:
    """Deliver, and see that all of it arrived."""
    with running_wms() as wms:
        settings, file = prepare(job.scratch, wms.url)
        measured = asyncio.run(_deliver(settings, file))
        wms.verify()
        return measured


async def _deliver(settings: Settings, file: Path) -> Measurement:
    windows = site_windows(settings)
    database = AsyncDatabase(Database.open(file, settings, windows))
    no_store = cast(Any, None)
    bench = Workbench(settings, windows, no_store, database, Health(), 1, lambda: 0)
    desk = SinkDesk(bench, "wms", settings.sinks["wms"], owns=lambda _: True)
    watch = Stopwatch()
    watch.start()
    await desk.visit(await database.read(Database.ask, lambda connection: read_overview(connection, [SITE])))
    measured = watch.stop(SKUS)
    await desk.lines.close()
    await database.close(10)
    return measured
