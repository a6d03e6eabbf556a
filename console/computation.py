"""Asking the compute API for SKUs from the command line: where they come from, and what becomes of failed chunks."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from batcher import VelocityBatchProcessor
from batcher.compute_chunks import FAILED, Row
from batcher.compute_journal import JournalRefused
from batcher.delivery.failed_chunks import FailedChunkLog
from batcher.processor import RunChanged
from console.errors import CommandFailed, UsageError
from console.progress import Meter
from runtime.door import own_token
from runtime.settings import Settings
from schemas.failed_chunks import FailedChunk

#: The columns of a table on a screen.
SHOWN = ("sku", "status", "order_lines", "net_units", "velocity_coefficient", "abc_class", "xyz_class", "error")


@dataclass(frozen=True, slots=True)
class Computed:
    """A row for each SKU, and the chunks that failed, which are in the failed-chunks topic."""

    rows: list[Row]
    failed: list[FailedChunk]


def read_skus(file: Path) -> Iterator[str]:
    """One SKU a line, from a file, or from standard input for `-`; empty lines are passed over.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        with sys.stdin if str(file) == "-" else file.open(encoding="utf-8") as lines:
            yield from filter(None, (line.strip() for line in lines))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--file {file}: {error}") from error


async def compute_all(settings: Settings, skus: Sequence[str], **options: Any) -> Computed:
    """Ask for every SKU; `options` are those of `VelocityBatchProcessor`.

    Raises:
        UsageError: an option makes no sense, or the journal is of something else.
        CommandFailed: calculations were replaced again and again.
        KafkaError: a chunk failed, and the failed-chunks topic does not take that.
    """
    failed: list[FailedChunk] = []
    async with FailedChunkLog(settings) as log:

        async def note(chunk: FailedChunk) -> None:
            await log.write(chunk)
            failed.append(chunk)

        meter = Meter("computing", total=len(skus), unit="SKUs")
        try:
            processor = VelocityBatchProcessor(
                settings.api.url, on_failed=note, on_chunk=meter.advance, token=own_token(settings.serve), **options
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        try:
            with meter:
                async with processor:
                    return Computed(await processor.process_full_dataset(skus), failed)
        except JournalRefused as error:
            raise UsageError(f"--journal: {error}") from error
        except RunChanged as error:
            raise CommandFailed(str(error)) from error


def as_table(rows: Sequence[Row]) -> pa.Table:
    """The rows with all columns that any of them has, `sku` and `status` first; null where a row has none."""
    names = dict.fromkeys(["sku", "status"])
    for row in {tuple(row): row for row in rows}.values():  # one of each shape
        names.update(dict.fromkeys(row))
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def count_failed(rows: Sequence[Row]) -> int:
    """How many SKUs have no answer."""
    return sum(row["status"] == FAILED for row in rows)
