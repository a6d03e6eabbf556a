"""Batch files, Avro object container files, to columns. No I/O: a file's bytes come from the batch store."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeVar

import pyarrow as pa
from isal import isal_zlib

from batcher.avro_records import Records, arrow_schema, batch_columns, decode_records
from schemas.avro_fields import Column

#: Blocks are decoded together up to about this many bytes: enough for numpy, little enough for the CPU's caches.
GROUP_BYTES = 4 << 20

T = TypeVar("T")

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16


class BatchUnreadable(ValueError):
    """Bytes are not a batch file of the site: cut off, damaged, or of another form. The message says what is wrong."""


def _inflate(data: bytes) -> bytes:
    return isal_zlib.decompress(data, -isal_zlib.MAX_WBITS)


def _unzstandard(data: bytes) -> bytes:
    return pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()


_CODECS: dict[str, Callable[[bytes], bytes]] = {"null": bytes, "deflate": _inflate, "zstandard": _unzstandard}


class Block(NamedTuple):
    """Whole records, decompressed."""

    record_count: int
    data: bytes


def read_batch(file: bytes, site_id: str) -> pa.Table:
    """All records of a batch file in their order, all of the site; a column for each field of the file's schema.

    Columns are string, float64 (quantities) or int64 (everything else; times are UTC milliseconds).

    Raises:
        BatchUnreadable: it is no such file.
    """
    columns = file_columns(file)
    names = [column.name for column in columns]
    found = scan_batch(file, site_id, lambda records: records.to_arrow(names))
    return pa.Table.from_batches(list(found), arrow_schema(columns))


def file_columns(file: bytes) -> tuple[Column, ...]:
    """The fields of a batch file's records.

    Raises:
        BatchUnreadable: it is no such file.
    """
    with _unreadable("no readable batch file"):
        return _Scanner(file).header()[0]


def scan_batch(file: bytes, site_id: str, take: Callable[[Records], T]) -> Iterator[T]:
    """What `take` makes of the records of a batch file in their order, many at a time; all of the site.

    Raises:
        BatchUnreadable: it is no such file, or a text is none.
    """
    with _unreadable(f"no readable batch file of site {site_id}"):
        scanner = _Scanner(file)
        columns, decompress, sync = scanner.header()
        for group in _groups(scanner.blocks(decompress, sync)):
            counts, blocks = zip(*group, strict=True)
            yield take(decode_records(columns, blocks, counts, site_id))


@contextmanager
def _unreadable(what: str) -> Generator[None]:
    try:
        yield
    except (ValueError, KeyError, OSError, isal_zlib.error) as error:
        raise BatchUnreadable(f"{what}: {error}") from error


def _groups(blocks: Iterator[Block]) -> Iterator[list[Block]]:
    """Blocks in their order, as many at a time as have `GROUP_BYTES`."""
    group, size = list[Block](), 0
    for block in blocks:
        group.append(block)
        size += len(block.data)
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


@lru_cache(maxsize=64)
def _columns(schema: bytes) -> tuple[Column, ...]:
    return batch_columns(json.loads(schema))


@dataclass(slots=True)
class _Scanner:
    """Walks the parts of a file; `at` is where it stands."""

    file: bytes
    at: int = field(default=0, init=False)

    def header(self) -> tuple[tuple[Column, ...], Callable[[bytes], bytes], bytes]:
        """The columns, how to decompress a block, and the sync marker."""
        if self.take(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin as an Avro file")
        metadata: dict[bytes, bytes] = {}
        while entries := self.long():
            if entries < 0:  # then the size in bytes follows, for readers that skip
                self.long()
            for _ in range(abs(entries)):
                key = self.take(self.long())
                metadata[key] = self.take(self.long())
        codec = metadata.get(b"avro.codec", b"null").decode()
        if codec not in _CODECS:
            raise ValueError(f"codec {codec!r} is not one of {', '.join(_CODECS)}")
        return _columns(metadata[b"avro.schema"]), _CODECS[codec], self.take(_SYNC_BYTES)

    def blocks(self, decompress: Callable[[bytes], bytes], sync: bytes) -> Iterator[Block]:
        """The blocks to the end of the file; empty ones are left out."""
        while self.at < len(self.file):
            start = self.at
            record_count, data = self.long(), self.take(self.long())
            if self.take(_SYNC_BYTES) != sync or record_count < 0:
                raise ValueError(f"the block at byte {start} does not end where it should")
            if record_count:
                yield Block(record_count, decompress(data))

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size < 0 or self.at + size > len(self.file):
            raise ValueError(f"cut off: byte {self.at} should be followed by {size} more")
        self.at += size
        return self.file[self.at - size : self.at]

    def long(self) -> int:
        """The next Avro long."""
        value = shift = 0
        while True:
            octet = self.take(1)[0]
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return (value >> 1) ^ -(value & 1)
            if shift > 63:
                raise ValueError(f"no number ends at byte {self.at}")
