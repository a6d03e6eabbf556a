"""Files for whoever reads files: whole or not there, and a full disk is waited for."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest
from delivery_world import HORIZON, SITE, DeliveryWorld, publish

from batcher.delivery import file_sink

FAST: dict[str, Any] = {"breaker": {"open": "PT0.05S", "longest_open": "PT0.05S"}, "chunk_skus": 10}


def skus(count: int, lines: int = 1) -> dict[str, int]:
    """So many SKUs of so many order lines each."""
    return {f"SKU-{number:03}": lines for number in range(count)}


@pytest.mark.parametrize("form", ["parquet", "csv"])
async def test_a_chunk_is_a_file_with_its_rows_and_what_is_removed(tmp_path: Path, form: str) -> None:
    """In the order of delivery; a reader who takes them one after the other has the newest run."""
    out = tmp_path / "out"
    sink = {"kind": "files", "directory": out, "format": form, **FAST}
    read = pyarrow.parquet.read_table if form == "parquet" else pyarrow.csv.read_csv
    had: dict[str, int] = {}
    async with DeliveryWorld(tmp_path, sink) as world:
        for run_id, content in (("r1", skus(25)), ("r2", {**skus(24), "NEW": 3})):
            publish(world.database, run_id, content)
            await world.visit()
            files = [file for file in sorted((out / SITE / HORIZON).iterdir()) if f"-{run_id}-" in file.name]
            for row in (row for file in files for row in read(file).to_pylist()):
                if row["removed"]:
                    del had[row["sku"]]
                else:
                    had[row["sku"]] = row["order_lines"]
            assert had == content
    assert len(list((out / SITE / HORIZON).iterdir())) == 4


async def test_a_full_disk_is_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No chunk is given up, nothing half is left; it goes on by itself."""
    out, full = tmp_path / "out", True
    write_whole = file_sink.write_whole

    def write(file: Path, content: bytes) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(file, content)

    monkeypatch.setattr(file_sink, "write_whole", write)
    async with DeliveryWorld(tmp_path, {"kind": "files", "directory": out, **FAST}) as world:
        publish(world.database, "r1", skus(30))
        visiting = asyncio.create_task(world.visit())
        await asyncio.sleep(0.4)
        assert not visiting.done()
        assert list((out / SITE / HORIZON).iterdir()) == []
        full = False
        standing = await visiting
        assert standing.acknowledged
        assert len(list((out / SITE / HORIZON).iterdir())) == 3
        assert world.records() == []
