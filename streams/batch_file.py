"""Avro batch files: their bytes and their names. No I/O: what is written here goes to a batch store.

A file is an Avro object container file: `header()`, then one `block()` after another. The same rows in the same blocks
are the same bytes, whoever writes them and when: a checkpoint that is tried again arrives at the same file.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Self

import pyarrow as pa
from isal import isal_zlib

from schemas.avro_fields import columns_of
from schemas.codecs import avro_schema, schema_fingerprint
from schemas.records import Window
from schemas.sources import BATCH_SCHEMAS, SITE_PATTERN, Source
from streams.avro_columns import record_bytes, record_column, varint

SYNC_BYTES = 16
MAX_BLOCK_ROWS = 1 << 20  # far beyond `chunk_records`, and far below what 32-bit Arrow offsets can address
SUFFIX = ".avro"

_MAGIC = b"Obj\x01"
_FASTEST = 1  # the stream stage is short of CPU, not of disk

_CORRECTIONS = "corrections"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BASIC = "%Y%m%dT%H%M%SZ"
_SITE = re.compile(SITE_PATTERN)
_SHA8 = re.compile(r"[0-9a-f]{8}")
_NAME = re.compile(
    rf"([a-z-]+)\.({SITE_PATTERN})\.(\d{{8}}T\d{{6}}Z|{_CORRECTIONS})"
    rf"\.p(\d+)\.s(\d+)\.o(\d+)-(\d+)\.([0-9a-f]{{8}}){re.escape(SUFFIX)}"
)


def _deflate(data: memoryview) -> bytes:
    """Raw deflate, as Avro wants it: no zlib header, no checksum."""
    return isal_zlib.compress(data, _FASTEST, -isal_zlib.MAX_WBITS)


def _zstandard(data: memoryview) -> bytes:
    return pa.Codec("zstd", compression_level=_FASTEST).compress(data, asbytes=True)


_CODECS: dict[str, Callable[[memoryview], bytes]] = {"null": bytes, "deflate": _deflate, "zstandard": _zstandard}


class BatchFormat:
    """The batch files of one source: its batch schema, and the codec of the blocks."""

    def __init__(self, source: Source, codec: str) -> None:
        """
        Raises:
            ValueError: `codec` is not null, deflate or zstandard.
        """
        if codec not in _CODECS:
            raise ValueError(f"codec {codec!r} is not one of {', '.join(_CODECS)}")
        name = BATCH_SCHEMAS[source]
        self.source = source
        self.codec = codec
        self.schema_fingerprint = schema_fingerprint(name)
        self._schema = json.dumps(avro_schema(name), ensure_ascii=False, separators=(",", ":"))
        self._columns = columns_of(avro_schema(name))
        self._names = self.rows_schema.names

    @property
    def rows_schema(self) -> pa.Schema:
        """Columns that `block` wants of its rows: all fields but `source_partition`. Times are UTC milliseconds."""
        columns = (column for column in self._columns if column.name != "source_partition")
        return pa.schema([pa.field(c.name, c.arrow_type, c.nullable) for c in columns])

    def header(self, sync: bytes) -> bytes:
        """The file's beginning: the `.avsc` with its docs and logical types, the codec, the sync marker."""
        metadata = {"avro.schema": self._schema.encode(), "avro.codec": self.codec.encode()}
        entries = b"".join(_prefixed(key.encode()) + _prefixed(value) for key, value in metadata.items())
        return _MAGIC + varint(len(metadata)) + entries + varint(0) + _checked(sync)

    def block(self, rows: pa.Table, partition: int, sync: bytes) -> bytes:
        """One block: `rows` in their order, all of source partition `partition`.

        `rows` has the columns of `rows_schema`, in any order and among others, in any number of chunks.

        Raises:
            ValueError: no rows or too many; a column is missing, has another type, or a null where none is allowed;
                `partition` is none.
        """
        (block,) = self.blocks([rows], partition, [sync])
        return block

    def blocks(self, tables: Sequence[pa.Table], partition: int, syncs: Sequence[bytes]) -> list[bytes]:
        """A block of each table, for files with these sync markers; see `block`.

        All rows are encoded in one pass, which is most of what small blocks cost. The bytes are the same.
        """
        for rows in tables:
            if not 0 < rows.num_rows <= MAX_BLOCK_ROWS:
                raise ValueError(f"a block has 1 to {MAX_BLOCK_ROWS} rows, not {rows.num_rows}")
        if not 0 <= partition < 1 << 31:
            raise ValueError(f"partition {partition} is not an unsigned 31-bit number")
        together = tables[0] if len(tables) == 1 else pa.concat_tables(map(self._fields, tables))
        records = record_column(self._columns, together, {"source_partition": partition})
        starts = accumulate((rows.num_rows for rows in tables), initial=0)
        return [
            self._framed(record_bytes(records.slice(start, rows.num_rows)), rows.num_rows, sync)
            for start, rows, sync in zip(starts, tables, syncs, strict=False)
        ]

    def _fields(self, rows: pa.Table) -> pa.Table:
        """The columns that go into a file, and no others."""
        try:
            return rows.select(self._names)
        except KeyError as error:
            raise ValueError(f"rows lack a column: {error}") from error

    def _framed(self, records: memoryview, count: int, sync: bytes) -> bytes:
        return varint(count) + _prefixed(_CODECS[self.codec](records)) + _checked(sync)


def _prefixed(data: bytes) -> bytes:
    return varint(len(data)) + data


def _checked(sync: bytes) -> bytes:
    if len(sync) != SYNC_BYTES:
        raise ValueError(f"a sync marker has {SYNC_BYTES} bytes, not {len(sync)}")
    return sync


def sync_marker(*identity: str | int) -> bytes:
    """The 16 bytes between a file's blocks, from what identifies the file: the same content is the same bytes."""
    return hashlib.sha256(json.dumps(identity).encode()).digest()[:SYNC_BYTES]


@dataclass(frozen=True, slots=True)
class BatchName:
    """What the name of a batch file says. Unique: a checkpoint of a source partition writes one file per
    (site, window) and one of corrections per site. `window_start` is in UTC milliseconds, None for corrections;
    `sha8` are the first 8 hexadecimal digits of the file's SHA-256; both offsets are inclusive.
    """

    source: Source
    site_id: str
    window_start: int | None
    partition: int
    checkpoint_seq: int
    first_offset: int
    last_offset: int
    sha8: str

    def __post_init__(self) -> None:
        if not _SITE.fullmatch(self.site_id) or not _SHA8.fullmatch(self.sha8):
            raise ValueError(f"site {self.site_id!r} or SHA-256 {self.sha8!r} cannot be part of a file name")
        if min(self.partition, self.checkpoint_seq) < 0 or not 0 <= self.first_offset <= self.last_offset:
            raise ValueError(f"partition, sequence and offsets count up from 0: {self}")
        if self.window_start is not None and self.window_start % 1000:
            raise ValueError(f"window start {self.window_start} is no whole second, so the name would not be unique")

    @property
    def batch_id(self) -> str:
        """The file's name without its suffix. Sorts by source, site, window, partition, checkpoint."""
        offsets = f"{self.first_offset:019}-{self.last_offset:019}"
        where = f"{self.source.value}.{self.site_id}.{self._start}"
        return f"{where}.p{self.partition:05}.s{self.checkpoint_seq:012}.o{offsets}.{self.sha8}"

    @property
    def path(self) -> str:
        """Where it goes in the store: folders by source, site and month, or thousand checkpoints of corrections."""
        if self.window_start is None:
            folder = f"{_CORRECTIONS}/{self.checkpoint_seq // 1000:09}"
        else:
            folder = f"{_instant(self.window_start):%Y-%m}"
        return f"{self.source.value}/{self.site_id}/{folder}/{self.batch_id}{SUFFIX}"

    @property
    def _start(self) -> str:
        return _CORRECTIONS if self.window_start is None else f"{_instant(self.window_start):{_BASIC}}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """The inverse of `path`.

        Raises:
            ValueError: no batch file is called this.
        """
        found = _NAME.fullmatch(path.rpartition("/")[2])
        if not found:
            raise ValueError(f"not the name of a batch file: {path!r}")
        source, site_id, start, partition, seq, first, last, sha8 = found.groups()
        window_start = None
        if start != _CORRECTIONS:
            window_start = (datetime.strptime(start, _BASIC).replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
        name = cls(Source(source), site_id, window_start, int(partition), int(seq), int(first), int(last), sha8)
        if name.path != path:
            raise ValueError(f"not where a batch file of this name belongs: {path!r}")
        return name


def _instant(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)


def batch_path(
    source: Source,
    site_id: str,
    window: Window | None,
    partition: int,
    checkpoint_seq: int,
    first_offset: int,
    last_offset: int,
    sha8: str,
) -> tuple[str, str]:
    """Batch id and path of a file; `window` is None for corrections.

    Raises:
        ValueError: the parts do not make a valid, unique name.
    """
    start = None if window is None else window.start
    name = BatchName(source, site_id, start, partition, checkpoint_seq, first_offset, last_offset, sha8)
    return name.batch_id, name.path
