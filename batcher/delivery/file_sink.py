"""Files for whoever reads files: a chunk is one, whole or not there, under a name that says what it is.

    DIRECTORY/SITE/HORIZON/AS_OF-RUN-NUMBER-KEY.parquet     (or .csv)

Rows have the columns of `DeliveredRow`, and `removed`, which is true of a SKU that is to be removed. A reader takes the
files of a site in the order in which they appear; the same chunk again has the same name. What a chunk covers is not
said.
"""

import asyncio
import io
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from batcher.delivery.chunks import Chunk
from batcher.delivery.drop import write_whole
from batcher.delivery.receipts import AttemptFailed
from batcher.delivery.retries import Failure, FailureKind
from schemas.delivery import DeliveredRow, DeliveryChunk

Form = Literal["parquet", "csv"]

_ARROW = {
    int: pa.int64(),
    float: pa.float64(),
    float | None: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
    str | None: pa.string(),
}
_COLUMNS = [(field.name, _ARROW[field.type]) for field in msgspec.structs.fields(DeliveredRow)]
ROWS = pa.schema(
    [*((name, pa.string()) for name in ("site_id", "horizon", "as_of", "run_id")), *_COLUMNS, ("removed", pa.bool_())]
)


class FilesEndpoint:
    """A directory; it may be a mounted one."""

    def __init__(self, directory: Path, form: Form) -> None:
        self._directory = directory
        self._form: Form = form

    @property
    def name(self) -> str:
        """Where it is."""
        return str(self._directory)

    async def send(self, chunk: Chunk, body: bytes, attempt: int, traceparent: str | None) -> None:
        """See `Endpoint`. A disk that is full, or away, is waited for."""
        try:
            await asyncio.to_thread(self._write, chunk, body)
        except OSError as error:
            raise AttemptFailed(Failure(FailureKind.TRANSIENT, f"{self._directory}: {error}")) from error

    async def close(self) -> None:
        """See `Endpoint`."""

    def _write(self, chunk: Chunk, body: bytes) -> None:
        told = msgspec.json.decode(body, type=DeliveryChunk)
        folder = self._directory / told.site_id / told.horizon
        folder.mkdir(parents=True, exist_ok=True)
        at = told.as_of.replace(":", "")
        name = f"{at}-{told.run_id[:12]}-{told.chunk:05}-{chunk.key[:16]}.{self._form}"
        write_whole(folder / name, encode_table(told, self._form))


def encode_table(told: DeliveryChunk, form: Form) -> bytes:
    """A chunk as the content of a file."""
    common = {"site_id": told.site_id, "horizon": told.horizon, "as_of": told.as_of, "run_id": told.run_id}
    rows = [{**common, **msgspec.structs.asdict(row), "removed": False} for row in told.rows]
    rows += [{**common, "sku": sku, "removed": True} for sku in told.removed]
    table, out = pa.Table.from_pylist(rows, ROWS), io.BytesIO()
    if form == "csv":
        pyarrow.csv.write_csv(table, out)
    else:
        pyarrow.parquet.write_table(table, out)
    return out.getvalue()
