"""Batch files: what a header says, what a block refuses, and what a name tells."""

import io
import json

import fastavro
import pyarrow as pa
import pytest

from schemas.avro_fields import columns_of
from schemas.codecs import avro_schema, schema_fingerprint
from schemas.records import Window
from schemas.sources import BATCH_SCHEMAS, Source
from streams.avro_columns import varint
from streams.batch_file import BatchFormat, BatchName, batch_path, sync_marker

SYNC = sync_marker("orders", 3, "UK-DC1")
MAY_DAY = Window(1_304_208_000_000, 1_304_294_400_000)  # 2011-05-01, UTC
ORDER = {
    "event_id": "536365-1",
    "site_id": "UK-DC1",
    "sku": "85123A",
    "event_time": 1_304_240_000_123,
    "quantity": 6.0,
    "uom": "EA",
    "order_id": "536365",
    "line": 1,
    "channel": "domestic",
    "promo_id": None,
    "source_offset": 17,
    "window_start": MAY_DAY.start,
}


def orders(**changes: object) -> pa.Table:
    """One order with some columns changed."""
    form = BatchFormat(Source.ORDERS, "null")
    return pa.Table.from_pylist([{**ORDER, **changes}], form.rows_schema)


def with_column(name: str, values: pa.Array) -> pa.Table:
    table = orders()
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize(
    ("number", "encoding"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (-64, "7f"),
        (64, "8001"),
        (8192, "808001"),
        (2**63 - 1, "feffffffffffffffff01"),
        (-(2**63), "ffffffffffffffffff01"),
    ],
)
def test_numbers_are_encoded_as_the_avro_specification_shows(number: int, encoding: str) -> None:
    """Zig-zag, then base 128: the examples of the specification, and both ends of 64 bits."""
    assert varint(number).hex() == encoding


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("codec", ["null", "deflate", "zstandard"])
def test_a_header_alone_is_a_valid_file_with_our_schema_as_it_is(source: Source, codec: str) -> None:
    """Docs, defaults and logical types of the `.avsc` are all in the file."""
    form = BatchFormat(source, codec)
    reader = fastavro.reader(io.BytesIO(form.header(SYNC)))
    assert list(reader) == []
    assert json.loads(reader.metadata["avro.schema"]) == avro_schema(BATCH_SCHEMAS[source])
    assert reader.codec == codec
    assert form.schema_fingerprint == schema_fingerprint(BATCH_SCHEMAS[source])


def test_rows_have_every_field_but_the_partition() -> None:
    """`rows_schema` is the `.avsc` without `source_partition`, which is the same in all rows."""
    for source in Source:
        fields = [field["name"] for field in avro_schema(BATCH_SCHEMAS[source])["fields"]]
        fields.remove("source_partition")
        assert BatchFormat(source, "null").rows_schema.names == fields


def test_an_unknown_codec_is_refused() -> None:
    """The message names those that are known."""
    with pytest.raises(ValueError, match="null, deflate, zstandard"):
        BatchFormat(Source.ORDERS, "snappy")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (orders().slice(0, 0), "1 to 1048576 rows, not 0"),
        (orders().drop_columns(["sku"]), "no column 'sku'"),
        (with_column("sku", pa.array([None], pa.string())), "'sku' has 1 nulls"),
        (with_column("line", pa.array([None], pa.int64())), "'line' has 1 nulls"),
        (with_column("quantity", pa.array([6], pa.int64())), "'quantity' must be double, not int64"),
        (with_column("line", pa.array([1], pa.int32())), "'line' must be int64, not int32"),
        (with_column("event_time", pa.array([1], pa.timestamp("us"))), "'event_time' must be int64, not timestamp"),
    ],
)
def test_rows_that_would_not_be_what_the_schema_says_are_refused(rows: pa.Table, message: str) -> None:
    """Nothing is coerced: a microsecond taken for a millisecond would be a wrong fact."""
    with pytest.raises(ValueError, match=message):
        BatchFormat(Source.ORDERS, "null").block(rows, 0, SYNC)


def test_a_partition_or_sync_marker_that_is_none_is_refused() -> None:
    """The Avro type of `source_partition` is a 32-bit int, and a sync marker has 16 bytes."""
    form = BatchFormat(Source.ORDERS, "null")
    for partition in (-1, 1 << 31):
        with pytest.raises(ValueError, match="partition"):
            form.block(orders(), partition, SYNC)
    with pytest.raises(ValueError, match="16 bytes"):
        form.header(b"short")


def test_a_schema_that_columns_cannot_carry_is_refused() -> None:
    """A new type in an `.avsc` is an error at start, not a wrong byte in a batch."""
    with pytest.raises(ValueError, match="'tags'"):
        columns_of({"fields": [{"name": "tags", "type": {"type": "array", "items": "string"}}]})


def test_a_sync_marker_depends_on_the_whole_identity_and_on_nothing_else() -> None:
    """Also on where one part ends and the next begins, and on what is a number."""
    identities = [("orders", 1), ("orders", "1"), ("order", "s1"), ("orders1",), ("orders", 1, ""), ()]
    assert len({sync_marker(*identity) for identity in identities}) == len(identities)
    assert sync_marker("orders", 3, "UK-DC1") == SYNC == bytes.fromhex("2d29a6ad4b2e14abb8afcf1b064b90d8")


def test_a_name_tells_where_a_batch_comes_from() -> None:
    """Source, site, window, partition, checkpoint, offsets and SHA-256, and the id is the name without its suffix."""
    batch_id, path = batch_path(Source.ORDERS, "UK-DC1", MAY_DAY, 3, 12, 17, 20_017, "89abcdef")
    assert batch_id == (
        "orders.UK-DC1.20110501T000000Z.p00003.s000000000012.o0000000000000000017-0000000000000020017.89abcdef"
    )
    assert path == f"orders/UK-DC1/2011-05/{batch_id}.avro"


def test_corrections_are_filed_by_checkpoint() -> None:
    """They may span windows, so they have no month; a folder holds those of a thousand checkpoints."""
    batch_id, path = batch_path(Source.CYCLE_COUNTS, "B_2", None, 0, 12_345, 0, 0, "00000000")
    assert batch_id.startswith("cycle-counts.B_2.corrections.p00000.s000000012345.")
    assert path == f"cycle-counts/B_2/corrections/000000012/{batch_id}.avro"


@pytest.mark.parametrize("start", [None, -54_000_000, 0, MAY_DAY.start, 32_503_679_999_000])
@pytest.mark.parametrize("source", Source)
def test_a_name_can_be_read_back(source: Source, start: int | None) -> None:
    """From the eve of 1970, where a local day may begin, to the year 2999, with the longest site and numbers."""
    name = BatchName(source, "A" * 32, start, 2**31 - 1, 10**13, 2**63 - 2, 2**63 - 1, "0123abcd")
    assert BatchName.parse(name.path) == name
    assert len(name.path.rpartition("/")[2]) < 255  # what file systems allow


def test_names_sort_by_window_then_partition_then_checkpoint() -> None:
    """As text, whatever the number of digits."""
    day = 86_400_000
    order = [(0, 9, 1), (0, 10, 1), (day, 0, 2), (day, 0, 10), (day, 10, 1), (10 * day, 0, 1)]
    names = [BatchName(Source.ORDERS, "A", *part, 0, 1, "00000000").batch_id for part in order]
    assert names == sorted(names)


@pytest.mark.parametrize(
    "path",
    [
        "orders/UK-DC1/2011-05/something.avro",
        "lost+found",
        "orders/UK-DC1/2011-06/"  # the wrong month
        "orders.UK-DC1.20110501T000000Z.p00003.s000000000012.o0000000000000000017-0000000000000020017.89abcdef.avro",
        "parcels/UK-DC1/2011-05/"
        "parcels.UK-DC1.20110501T000000Z.p00003.s000000000012.o0000000000000000017-0000000000000020017.89abcdef.avro",
    ],
)
def test_other_files_are_not_taken_for_batches(path: str) -> None:
    """`gc` must not remove what it does not know."""
    with pytest.raises(ValueError):
        BatchName.parse(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"site_id": "../etc"},
        {"site_id": ""},
        {"sha8": "89ABCDEF"},
        {"sha8": "89abcde"},
        {"partition": -1},
        {"checkpoint_seq": -1},
        {"first_offset": 5, "last_offset": 4},
        {"window_start": 1},
    ],
)
def test_parts_that_make_no_valid_unique_name_are_refused(changes: dict[str, object]) -> None:
    """A path may not lead elsewhere, and two windows may not share a name."""
    parts = {
        "source": Source.ORDERS,
        "site_id": "A",
        "window_start": 0,
        "partition": 0,
        "checkpoint_seq": 0,
        "first_offset": 0,
        "last_offset": 0,
        "sha8": "00000000",
    }
    with pytest.raises(ValueError):
        BatchName(**{**parts, **changes})  # type: ignore[arg-type]
