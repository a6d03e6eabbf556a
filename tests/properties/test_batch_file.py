"""fastavro judges the encoder: any rows, of any source, under any codec, read back as they were."""

import io
import json
import struct
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codecs import avro_schema, parsed_schema
from schemas.sources import BATCH_SCHEMAS, Source
from streams.avro_columns import varint
from streams.batch_file import BatchFormat, sync_marker

CODECS = ("null", "deflate", "zstandard")
TIMES = {"event_time", "window_start"}
SYNC = sync_marker("test")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

texts = st.text(max_size=20) | st.sampled_from(["", "EA", "x" * 63, "x" * 64, "é" * 32])
long_texts = st.builds(str.__mul__, st.sampled_from(["a", "é", "漢", "😀"]), st.integers(4_000, 9_000))
edges = st.sampled_from(
    [sign * (2**bits) + step for bits in range(0, 63, 7) for sign in (1, -1) for step in (-1, 0, 1)]
)
longs = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1]) | edges | st.integers(-70, 70)
doubles = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 0.001, 1e9])
instants = st.integers(-62_135_596_800_000, 253_402_300_799_999)  # the years 1 to 9999, which datetime knows

VALUES = {pa.string(): texts, pa.int64(): longs, pa.float64(): doubles}


@cache
def column_of(values: st.SearchStrategy[Any], length: int, nullable: bool) -> st.SearchStrategy[list[Any]]:
    """So many values; columns of but one are common, and encoded another way. Made once: that is what takes long."""
    one = st.none() | values if nullable else values
    return st.builds(lambda value: [value] * length, one) | st.lists(one, min_size=length, max_size=length)


@st.composite
def tables(draw: st.DrawFn, source: Source, times: st.SearchStrategy[int]) -> pa.Table:
    """1 to 8 rows in any chunks, columns in any order, with slack around: what slicing and concatenating leave."""
    count = draw(st.integers(1, 8))
    columns = {"unrelated": pa.array([b""] * (count + 2))}
    for field in BatchFormat(source, "null").rows_schema:
        values = times if field.name in TIMES else VALUES[field.type]
        column = draw(column_of(values, count + 2, field.nullable))
        if field.type == pa.string() and draw(st.integers(0, 19)) == 0:
            column[draw(st.integers(0, count + 1))] = draw(long_texts)
        columns[field.name] = pa.array(column, field.type)
    whole = pa.table({name: columns[name] for name in draw(st.permutations(list(columns)))})
    cut = draw(st.integers(0, count))
    return pa.concat_tables([whole.slice(1, cut), whole.slice(1 + cut, count - cut)])


def records_of(table: pa.Table, partition: int) -> list[dict[str, Any]]:
    """The rows as records of the batch schema."""
    return [{**row, "source_partition": partition} for row in table.drop_columns(["unrelated"]).to_pylist()]


def exact(record: dict[str, Any]) -> dict[str, Any]:
    """With doubles as their bits, so that -0.0 is not 0.0 and NaN is itself."""
    return {key: struct.pack("<d", value) if isinstance(value, float) else value for key, value in record.items()}


def aware(record: dict[str, Any]) -> dict[str, Any]:
    """With times as fastavro gives them back: datetimes in UTC."""
    return {key: EPOCH + timedelta(milliseconds=value) if key in TIMES else value for key, value in record.items()}


@pytest.mark.parametrize("source", Source)
@given(data=st.data(), partition=st.integers(0, 2**31 - 1))
@settings(max_examples=150, deadline=None)
def test_a_plain_block_is_byte_for_byte_what_fastavro_writes(
    source: Source, data: st.DataObject, partition: int
) -> None:
    """Texts empty, long and beyond ASCII, every 64-bit number, doubles to the bit, nulls, chunked and sliced tables."""
    table = data.draw(tables(source, longs))
    expected = io.BytesIO()
    for record in records_of(table, partition):
        fastavro.schemaless_writer(expected, parsed_schema(BATCH_SCHEMAS[source]), record)
    body = expected.getvalue()
    block = BatchFormat(source, "null").block(table, partition, SYNC)
    assert block == varint(table.num_rows) + varint(len(body)) + body + SYNC


@pytest.mark.parametrize("source", Source)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_reads_back_as_it_was_under_our_schema(source: Source, data: st.DataObject) -> None:
    """All rows of all blocks in order, times as aware datetimes, and the schema is the `.avsc` itself. Each codec."""
    blocks = data.draw(st.lists(tables(source, instants), max_size=3))
    expected = [aware(record) for table in blocks for record in records_of(table, 7)]
    for form in (BatchFormat(source, codec) for codec in CODECS):
        file = form.header(SYNC) + b"".join(form.block(table, 7, SYNC) for table in blocks)
        reader = fastavro.reader(io.BytesIO(file))
        assert [exact(record) for record in reader] == [exact(record) for record in expected]
        assert json.loads(reader.metadata["avro.schema"]) == avro_schema(BATCH_SCHEMAS[source])


@given(table=tables(Source.RETURNS, longs))
@settings(max_examples=40, deadline=None)
def test_the_same_rows_are_the_same_bytes(table: pa.Table) -> None:
    """However the table is cut into chunks, whoever encodes it: a retried checkpoint arrives at the same file."""
    chunks = [table.slice(row, 1) for row in range(table.num_rows)]
    for codec in CODECS:
        first, again = (BatchFormat(Source.RETURNS, codec) for _ in range(2))
        assert first.header(SYNC) == again.header(SYNC)
        assert first.block(table, 0, SYNC) == again.block(pa.concat_tables(chunks).combine_chunks(), 0, SYNC)


@given(several=st.lists(tables(Source.ORDERS, longs), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_blocks_that_are_encoded_together_are_those_encoded_alone(several: list[pa.Table]) -> None:
    """A checkpoint encodes many small windows in one pass: each file has the bytes that it would have had."""
    syncs = [bytes((number,)) * len(SYNC) for number in range(len(several))]
    for form in (BatchFormat(Source.ORDERS, codec) for codec in CODECS):
        alone = [form.block(table, 3, sync) for table, sync in zip(several, syncs, strict=True)]
        assert form.blocks(several, 3, syncs) == alone
