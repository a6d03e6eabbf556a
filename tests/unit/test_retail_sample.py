"""The retail sample's mapping agrees, row by row, with SQL written from the specification over the raw file."""

from datetime import datetime
from importlib import resources
from itertools import pairwise
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pytest

from sandbox import retail_sample
from sandbox.feed import Feed, feed_file
from sandbox.retail_sample import Row, event_of
from schemas.sources import Source

RAW = resources.files("sandbox").joinpath("data", retail_sample.FILE)

#: The mapping as the design states it. British summer time began on 27 March 2011 at 01:00.
EXPECTED = f"""
with raw as (
    select *, Quantity::bigint as units,
           row_number() over (partition by InvoiceNo order by file_row_number) as line,
           replace(InvoiceDate, ' ', 'T') || if(InvoiceDate >= '2011-03-27 01:00:00', '+01:00', '+00:00') as event_time
    from read_parquet('{RAW}', file_row_number = true)
    where InvoiceNo not like 'A%'
)
select case when InvoiceNo like 'C%' then 'returns' when units > 0 then 'orders' else 'cycle-counts' end as source,
       InvoiceNo || '-' || line as event_id, 'UK-DC1' as site_id, StockCode as sku, event_time, 'EA' as uom,
       case source when 'orders' then units when 'returns' then -units end as quantity,
       if(source = 'orders', InvoiceNo, null) as order_id,
       if(source <> 'cycle-counts', line, null) as line,
       case when source = 'orders' then if(Country = 'United Kingdom', 'domestic', 'export') end as channel,
       if(source = 'returns', InvoiceNo, null) as return_id,
       if(source = 'cycle-counts', InvoiceNo, null) as count_id,
       if(source = 'cycle-counts', units, null) as variance,
       if(source = 'cycle-counts', Description, null) as reason,
       file_row_number
from raw
"""
COLUMNS = """source, event_id, site_id, sku, event_time, uom, quantity, order_id, line, channel, return_id, count_id,
             variance, reason"""


class Event(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields that occur in the sample."""

    source: str = ""
    event_id: str
    site_id: str
    sku: str
    event_time: str
    uom: str
    quantity: int | None = None
    order_id: str | None = None
    line: int | None = None
    channel: str | None = None
    return_id: str | None = None
    count_id: str | None = None
    variance: int | None = None
    reason: str | None = None


def row(invoice: str, quantity: int, at: str = "2011-03-01 10:15:00") -> Row:
    """A row of the file with what matters here."""
    return Row(invoice, "85123A", None, str(quantity), at, "France", 1)


@pytest.fixture(scope="module")
def feed() -> Feed:
    """The whole sample, mapped once."""
    return retail_sample.sample_feed()


@pytest.fixture(scope="module")
def database(feed: Feed) -> duckdb.DuckDBPyConnection:
    """Tables `expected` (from the raw file) and `actual` (from the lines)."""
    connection = duckdb.connect()
    connection.execute(f"create table expected as {EXPECTED}")
    decoder = msgspec.json.Decoder(Event)
    events = []
    for source, lines in feed.items():
        for _, line in lines:
            event = decoder.decode(line)
            event.source = source
            events.append(msgspec.structs.asdict(event))
    connection.register("decoded", pa.Table.from_pylist(events))
    connection.execute("create table actual as select * from decoded")
    return connection


def test_every_row_becomes_the_event_the_specification_names(database: duckdb.DuckDBPyConnection) -> None:
    """No row is missing, none is made up, and all 14 columns agree."""
    for one, other in (("expected", "actual"), ("actual", "expected")):
        difference = f"select {COLUMNS} from {one} except all select {COLUMNS} from {other}"
        assert database.execute(f"{difference} limit 3").fetchall() == []


def test_counts_per_source(feed: Feed, tmp_path: Path) -> None:
    """209,029 rows are 204,595 orders, 3,783 returns and 651 counted differences, in the files as in memory."""
    counts = {Source.ORDERS: 204_595, Source.RETURNS: 3_783, Source.CYCLE_COUNTS: 651}
    assert retail_sample.write_feed(tmp_path) == counts
    for source, lines in feed.items():
        assert feed_file(tmp_path, source).read_bytes().splitlines() == [line for _, line in lines]
    assert sum(counts.values()) == 209_029


def test_lines_come_by_event_time_and_then_in_file_order(feed: Feed, database: duckdb.DuckDBPyConnection) -> None:
    """Sorting by event time keeps lines of the same minute in the order of the file."""
    for source, lines in feed.items():
        assert all(one.event_time_ms <= two.event_time_ms for one, two in pairwise(lines))
        query = f"""select event_id from expected where source = '{source}'
                    order by event_time::timestamptz, file_row_number"""
        in_order = [event_id for (event_id,) in database.execute(query).fetchall()]
        assert [msgspec.json.decode(line)["event_id"] for _, line in lines] == in_order


def test_event_time_and_its_milliseconds_agree(feed: Feed) -> None:
    """What a line says and where it is sorted in are the same instant, in winter and in summer."""
    for time_ms, line in feed[Source.ORDERS][::500]:
        event = msgspec.json.decode(line, type=Event)
        assert datetime.fromisoformat(event.event_time).timestamp() * 1000 == time_ms


def test_service_lines_stay_in(database: duckdb.DuckDBPyConnection) -> None:
    """The demo's pattern makes dead letters of 1,274 lines; lower-case codes are merchandise once canonical."""
    query = f"""select source, count(*) filter (not regexp_full_match(sku, '{retail_sample.SKU_PATTERN}')),
                       count(*) filter (not regexp_full_match(upper(sku), '{retail_sample.SKU_PATTERN}'))
                from actual group by source order by source"""
    assert database.execute(query).fetchall() == [("cycle-counts", 4, 4), ("orders", 2012, 1013), ("returns", 257, 257)]


@pytest.mark.parametrize("unmapped", [row("536365", 0), row("C536379", 0), row("C536379", 3)])
def test_rows_without_a_meaning_are_refused(unmapped: Row) -> None:
    """Quantity 0 and a cancellation that adds are in no rule, so nothing is guessed."""
    with pytest.raises(ValueError, match="means nothing here"):
        event_of(unmapped)


@pytest.mark.parametrize(
    ("wall_time", "event_time"),
    [
        ("2011-03-27 00:59:00", "2011-03-27T00:59:00+00:00"),
        ("2011-03-27 02:00:00", "2011-03-27T02:00:00+01:00"),
        ("2010-10-31 01:30:00", "2010-10-31T01:30:00+01:00"),
    ],
)
def test_wall_times_carry_londons_offset(wall_time: str, event_time: str) -> None:
    """Also around the changes of the clocks, where the hour that exists twice is the first."""
    assert event_of(row("536365", 1, wall_time))[1]["event_time"] == event_time
