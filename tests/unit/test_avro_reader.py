"""Batch files are read column by column, and exactly as fastavro reads them."""

import io
from typing import Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batcher.avro_reader as avro_reader
from batcher.avro_reader import BatchUnreadable, read_batch
from schemas.codecs import avro_schema
from schemas.sources import BATCH_SCHEMAS, Source
from streams.batch_file import BatchFormat

SITE = "DE-FR1"
_LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from([SITE, f"\x0c{SITE}", "\x00"])
_DOUBLES = st.floats(allow_nan=False)


def _values(declared: Any) -> st.SearchStrategy[Any]:
    if isinstance(declared, list):
        return st.none() | _values(declared[1])
    if isinstance(declared, dict):
        return _LONGS
    ints = st.integers(-(2**31), 2**31 - 1)
    return {"string": _TEXTS, "long": _LONGS, "int": ints, "double": _DOUBLES}[declared]


def _records(source: Source, site: str = SITE) -> st.SearchStrategy[dict[str, Any]]:
    fields = {field["name"]: _values(field["type"]) for field in avro_schema(BATCH_SCHEMAS[source])["fields"]}
    return st.fixed_dictionaries(fields | {"site_id": st.just(site)})


def _plain(source: Source) -> dict[str, Any]:
    """The batch schema without logical types, so that fastavro neither wants nor gives datetimes."""
    schema = avro_schema(BATCH_SCHEMAS[source])
    fields = [
        {**field, "type": field["type"]["type"] if isinstance(field["type"], dict) else field["type"]}
        for field in schema["fields"]
    ]
    return {**schema, "fields": fields}


def _file(source: Source, records: list[dict[str, Any]], codec: str = "deflate", block_bytes: int = 16_000) -> bytes:
    out = io.BytesIO()
    fastavro.writer(out, _plain(source), records, codec=codec, sync_interval=block_bytes)
    return out.getvalue()


def _order(number: int, **fields: Any) -> dict[str, Any]:
    record = {"event_id": f"E{number}", "site_id": SITE, "sku": "A", "event_time": 1_300_000_000_000 + number}
    record |= {"quantity": 1.5, "uom": "EA", "order_id": "O", "line": 1, "channel": None, "promo_id": "P"}
    return record | {"source_partition": 3, "source_offset": number, "window_start": 1_300_000_000_000} | fields


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(Source), st.sampled_from(["null", "deflate", "zstandard"]), st.integers(1, 400))
def test_every_record_of_every_source_is_read_as_fastavro_wrote_it(
    data: st.DataObject, source: Source, codec: str, block_bytes: int
) -> None:
    """Any texts, numbers and nulls, in blocks of any size; texts that look like the site are told apart."""
    records = data.draw(st.lists(_records(source), min_size=1, max_size=12))
    assert read_batch(_file(source, records, codec, block_bytes), SITE).to_pylist() == records


@given(st.lists(_records(Source.ORDERS, site="A" * 32), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_a_site_may_have_the_longest_name(records: list[dict[str, Any]]) -> None:
    """Of 32 letters, more than a machine word or two."""
    assert read_batch(_file(Source.ORDERS, records), "A" * 32).to_pylist() == records


@given(st.lists(_records(Source.ORDERS, site="EA"), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_a_site_that_is_called_like_a_unit_is_no_trouble(records: list[dict[str, Any]]) -> None:
    """Every record then has the site's bytes twice, and only one of them is the site."""
    records = [{**record, "uom": "EA"} for record in records]
    assert read_batch(_file(Source.ORDERS, records), "EA").to_pylist() == records


@pytest.mark.parametrize("codec", ["null", "deflate", "zstandard"])
def test_what_the_stream_stage_writes_is_read_back(codec: str) -> None:
    """Both sides of the contract are ours; a file of two blocks goes from one to the other unchanged."""
    records = [_order(number) for number in range(20)]
    batch_format = BatchFormat(Source.ORDERS, codec)
    rows = pa.Table.from_pylist(records, batch_format.rows_schema)
    sync = bytes(range(16))
    blocks = [batch_format.block(part, 3, sync) for part in (rows.slice(0, 12), rows.slice(12))]
    assert read_batch(batch_format.header(sync) + b"".join(blocks), SITE).to_pylist() == records


def test_blocks_are_decoded_in_groups_and_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of many blocks is read a few blocks at a time, to the last one."""
    monkeypatch.setattr(avro_reader, "GROUP_BYTES", 500)
    records = [_order(number) for number in range(200)]
    table = read_batch(_file(Source.ORDERS, records, block_bytes=100), SITE)
    assert table.column("event_id").num_chunks > 10
    assert table.to_pylist() == records


def test_a_file_without_records_is_a_table_without_rows() -> None:
    """Its columns are there all the same."""
    table = read_batch(_file(Source.RETURNS, []), SITE)
    assert (table.num_rows, table.column_names[:3]) == (0, ["event_id", "site_id", "sku"])


def test_a_file_that_is_cut_off_anywhere_is_refused() -> None:
    """But between blocks, where it is a shorter file: that is for the manifest's record count to notice."""
    records = [_order(number) for number in range(6)]
    whole = _file(Source.ORDERS, records, codec="null", block_bytes=1)
    readable = 0
    for size in range(len(whole)):
        try:
            rows = read_batch(whole[:size], SITE).to_pylist()
        except BatchUnreadable:
            continue
        readable += 1
        assert rows == records[: len(rows)]
        assert len(rows) < len(records)
    assert readable == len(records), "a file without blocks, and one that ends behind each block but the last"


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_byte_never_does_more_than_change_values(data: st.DataObject) -> None:
    """Whatever byte is damaged, the file is refused, or has as many records as before: never a crash."""
    records = [_order(number) for number in range(5)]
    damaged = bytearray(_file(Source.ORDERS, records, codec="null", block_bytes=1))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        rows = read_batch(bytes(damaged), SITE)
    except BatchUnreadable:
        return
    assert rows.num_rows == len(records)


def test_records_of_another_site_are_refused() -> None:
    """A batch has one site; one stray record in the middle is noticed."""
    records = [_order(0), _order(1, site_id="US-NY1"), _order(2)]
    with pytest.raises(BatchUnreadable, match="DE-FR1"):
        read_batch(_file(Source.ORDERS, records), SITE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cut off"),
        (b"PAR1 and so on", "does not begin as an Avro file"),
        (_file(Source.ORDERS, [_order(1)], codec="bzip2"), "codec 'bzip2'"),
    ],
)
def test_what_is_no_batch_file_says_why(content: bytes, message: str) -> None:
    """The message names the fault."""
    with pytest.raises(BatchUnreadable, match=message):
        read_batch(content, SITE)
