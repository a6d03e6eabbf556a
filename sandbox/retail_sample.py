"""The Online Retail sample as WMS events of one British distribution centre.

`data/README.md` tells where the file comes from. Every row becomes one event: a positive quantity is a picked order
line, a `C` invoice a received return line, any other negative quantity a counted difference. Invoices starting with `A`
are bookkeeping and are left out. Quantity 0, and a positive quantity on a `C` invoice, have no meaning here; the sample
has neither, and a file that had one would be refused rather than read approximately.

Dirt stays in: service lines (`POST`, `BANK CHARGES`), lower-case codes, free-text reasons.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import pyarrow.parquet as pq

from sandbox import feed
from sandbox.feed import Feed, TimedLine
from schemas.sources import Source

SITE_ID = "UK-DC1"
TIME_ZONE = ZoneInfo("Europe/London")
#: Accepts the merchandise and makes dead letters of the service lines.
SKU_PATTERN = r"\d{5}[A-Z]{0,2}"
FILE = "online_retail_2010-12_2011-05.parquet"
COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "Country")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


class Row(NamedTuple):
    """One row of the file, as text, and its 1-based ordinal within its invoice in file order."""

    invoice: str
    stock_code: str
    description: str | None
    quantity: str
    invoice_date: str
    country: str
    line: int


def sites_csv() -> str:
    """The sample's site and its time zone, for `VELOCITY_SITES_FILE`."""
    return f"site_id,time_zone\n{SITE_ID},{TIME_ZONE.key}\n"


def sample_feed() -> Feed:
    """All events of the sample per source, by event time (UTC milliseconds) and then in file order."""
    lines: dict[Source, list[TimedLine]] = {source: [] for source in Source}
    for row in _rows():
        if row.invoice.startswith("A"):
            continue
        source, event = event_of(row)
        lines[source].append(TimedLine(_instant(row.invoice_date)[0], _encode(event)))
    return {source: sorted(events, key=lambda event: event.event_time_ms) for source, events in lines.items()}


def write_feed(directory: Path) -> dict[Source, int]:
    """Writes `orders.ndjson`, `returns.ndjson` and `cycle-counts.ndjson`; returns the lines per source."""
    return feed.write_feed(sample_feed(), directory)


def event_of(row: Row) -> tuple[Source, dict[str, str | int | None]]:
    """The event that a row stands for, its fields in the order of the contract.

    Raises:
        ValueError: the mapping gives the row no meaning.
    """
    quantity = int(row.quantity)
    event: dict[str, str | int | None] = {
        "event_id": f"{row.invoice}-{row.line}",
        "site_id": SITE_ID,
        "sku": row.stock_code,
        "event_time": _instant(row.invoice_date)[1],
    }
    is_return = row.invoice.startswith("C")
    if is_return and quantity < 0:
        event |= {"quantity": -quantity, "uom": "EA", "line": row.line, "return_id": row.invoice}
        return Source.RETURNS, event
    if not is_return and quantity > 0:
        channel = "domestic" if row.country == "United Kingdom" else "export"
        event |= {"quantity": quantity, "uom": "EA", "order_id": row.invoice, "line": row.line, "channel": channel}
        return Source.ORDERS, event
    if not is_return and quantity < 0:
        event |= {"uom": "EA", "count_id": row.invoice, "variance": quantity, "reason": row.description}
        return Source.CYCLE_COUNTS, event
    raise ValueError(f"line {row.line} of invoice {row.invoice} has quantity {quantity}, which means nothing here")


def _rows() -> Iterator[Row]:
    with resources.as_file(resources.files("sandbox").joinpath("data", FILE)) as path:
        table = pq.read_table(path, columns=list(COLUMNS))
    lines_of_invoice: Counter[str] = Counter()
    for values in zip(*(column.to_pylist() for column in table.columns), strict=True):
        invoice = values[0]
        lines_of_invoice[invoice] += 1
        yield Row(*values, line=lines_of_invoice[invoice])


@cache
def _instant(local_time: str) -> tuple[int, str]:
    """A wall time of the site as UTC milliseconds and as RFC 3339; one that exists twice is the first."""
    moment = datetime.fromisoformat(local_time).replace(tzinfo=TIME_ZONE)
    return (moment - _EPOCH) // timedelta(milliseconds=1), moment.isoformat()
