"""What a good engineer writes in a day: aiokafka, a msgspec Struct per event, windows in a dictionary, fastavro.

It trusts its input, commits nothing, keeps open windows in memory, and loses or doubles events when it is killed. The
files have the schema, the codec and the windows of the stream worker's.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from benchmarks.feed import DISORDER_MS, SITE
from benchmarks.job import Job
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.verify import check_files
from schemas.codecs import parsed_schema

WINDOW_MS = 300_000


class Order(msgspec.Struct):
    """An order event."""

    event_id: str
    site_id: str
    sku: str
    event_time: datetime
    quantity: float
    uom: str
    order_id: str
    line: int
    channel: str | None = None
    promo_id: str | None = None


_decode = msgspec.json.Decoder(Order).decode


def run(job: Job) -> Measurement:
    """Read the whole topic and write a file per window."""
    measured, writer = asyncio.run(_convert(job))
    check_files(dict.fromkeys(writer.files, SITE), job.feed, whole=True)
    return measured


class PartitionWindows:
    """The open windows of one partition; a window's file is written when the latest event time is far enough past."""

    def __init__(self, partition: int, files: list[Path], folder: Path) -> None:
        self._partition, self._files, self._folder = partition, files, folder
        self._rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self._latest = 0

    def add(self, records: Iterable[ConsumerRecord]) -> None:
        """Take records, then close the windows that have ended."""
        for record in records:
            order = _decode(record.value)
            event_time = round(order.event_time.timestamp() * 1000)
            start = event_time - event_time % WINDOW_MS
            self._latest = max(self._latest, event_time)
            self._rows.setdefault((order.site_id, start), []).append(
                {
                    "event_id": order.event_id,
                    "site_id": order.site_id,
                    "sku": order.sku.strip().upper(),
                    "event_time": event_time,
                    "quantity": order.quantity,
                    "uom": order.uom,
                    "order_id": order.order_id,
                    "line": order.line,
                    "channel": order.channel,
                    "promo_id": order.promo_id,
                    "source_partition": record.partition,
                    "source_offset": record.offset,
                    "window_start": start,
                }
            )
        self.close(self._latest - DISORDER_MS)

    def close(self, until: int) -> None:
        """Write the windows that end at or before `until`."""
        for site, start in [key for key in self._rows if key[1] + WINDOW_MS <= until]:
            file = self._folder / f"{site}-{start}-{self._partition}.avro"
            with file.open("wb") as out:
                fastavro.writer(out, parsed_schema("order_batch"), self._rows.pop((site, start)), codec="deflate")
            self._files.append(file)


class Writer:
    """All partitions of the topic."""

    def __init__(self, job: Job) -> None:
        self.files: list[Path] = []
        self._partitions = {p: PartitionWindows(p, self.files, job.scratch) for p in range(job.feed.partitions)}

    def add(self, partition: int, records: Iterable[ConsumerRecord]) -> None:
        """Take a fetch."""
        self._partitions[partition].add(records)

    def finish(self) -> None:
        """Write what is open."""
        for windows in self._partitions.values():
            windows.close(1 << 62)


async def _convert(job: Job) -> tuple[Measurement, Writer]:
    consumer = AIOKafkaConsumer(
        job.topic, bootstrap_servers=job.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    watch, seen, writer = Stopwatch(broker_pid=job.broker_pid), 0, Writer(job)
    await consumer.start()
    try:
        while seen < job.feed.events:
            fetched = await consumer.getmany(timeout_ms=1000)
            if fetched and not watch.running:
                watch.start()
            for tp, records in fetched.items():
                writer.add(tp.partition, records)
                seen += len(records)
        writer.finish()
        return watch.stop(seen, files=len(writer.files)), writer
    finally:
        await consumer.stop()
