"""Reference files: what is in them, and where exactly they are wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from batcher.reference_files import ReferenceFile, ReferenceFileError, parse_reference_file, read_reference_file
from sandbox.generated_feed import generated_feed
from schemas.instants import parse_rfc3339
from schemas.reference import Channel, Item, Promotion, Season, decode_reference, encode_reference

UNITS = ("EA", "CS", "KGM", "PK", "PL", "BX", "DZN")
HEADERS = {
    ReferenceFile.ITEMS: "sku,uom,base_units,valid_from",
    ReferenceFile.PROMOTIONS: "promo_id,site_id,sku,start,end,uplift",
    ReferenceFile.CHANNELS: "site_id,channel,weight,valid_from",
    ReferenceFile.SEASONS: "site_id,sku,month,index,valid_from",
}


def parse(kind: ReferenceFile, *lines: str) -> list[object]:
    text = "\n".join((HEADERS[kind], *lines))
    return list(parse_reference_file(kind, text, f"{kind}.csv", UNITS))


def test_every_file_becomes_its_records() -> None:
    """Empty is always, or all; SKUs are compared in their canonical form, so they are stored in it."""
    assert parse(ReferenceFile.ITEMS, " ab-1 ,CS,2.5,2011-05-01T00:00:00+01:00", "ab-1,EA,1,") == [
        Item(sku="AB-1", uom="CS", base_units=Decimal("2.5"), valid_from=parse_rfc3339("2011-04-30T23:00:00Z")),
        Item(sku="AB-1", uom="EA", base_units=Decimal(1)),
    ]
    assert parse(ReferenceFile.PROMOTIONS, "P,,,,2011-05-01T00:00:00Z,1.25") == [
        Promotion(promo_id="P", end=parse_rfc3339("2011-05-01T00:00:00Z"), uplift=Decimal("1.25"))
    ]
    assert parse(ReferenceFile.CHANNELS, "S1,web,0,") == [Channel(site_id="S1", channel="web", weight=Decimal(0))]
    assert parse(ReferenceFile.SEASONS, ",A,12,0.8,") == [Season(sku="A", month=12, index=Decimal("0.8"))]


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    """And the file may begin with a byte order mark, as spreadsheets write it."""
    file = tmp_path / "items.csv"
    file.write_text("uom,sku,valid_from,base_units\nEA,A,,1\n", "utf-8-sig")
    assert read_reference_file(ReferenceFile.ITEMS, file, UNITS) == [Item(sku="A", uom="EA", base_units=Decimal(1))]


def test_the_generated_feed_has_files_without_fault() -> None:
    """All its records survive the wire, each under a key of its own."""
    feed = generated_feed(100)
    texts = {kind: getattr(feed, f"{kind}_csv") for kind in ReferenceFile}
    records = [r for kind, text in texts.items() for r in parse_reference_file(kind, text, kind, UNITS)]
    assert [decode_reference(encode_reference(record)) for record in records] == records
    assert len({record.key for record in records}) == len(records) > 100


def test_keys_tell_apart_what_is_different() -> None:
    """Also where a slash in one part looks like the end of it."""
    one = Promotion(promo_id="X/S", site_id="T", sku="B", uplift=Decimal(1))
    other = Promotion(promo_id="X", site_id="S", sku="T/B", uplift=Decimal(1))
    assert (one.key, other.key) == ("promotion/X%2FS/T/B/", "promotion/X/S/T%2FB/")
    item = Item(sku="A", uom="CS", base_units=Decimal(6), valid_from=parse_rfc3339("2011-05-01T00:00:00Z"))
    assert item.key == "item/A/CS/2011-05-01T00:00:00Z"


WRONG = [
    (ReferenceFile.ITEMS, "A,EA,0,", "items.csv, line 2, column base_units: '0': base_units must be above 0"),
    (ReferenceFile.ITEMS, "A,EA,x,", "column base_units: 'x': must be a decimal number"),
    (ReferenceFile.ITEMS, "A,EA,NaN,", "column base_units"),
    (ReferenceFile.ITEMS, "A,EA,0.0000001,", "column base_units: '0.0000001': base_units must have at most 6 decimals"),
    (ReferenceFile.ITEMS, "A,EA,1000000,", "column base_units"),
    (ReferenceFile.ITEMS, ",EA,1,", "column sku: '': must not be empty"),
    (ReferenceFile.ITEMS, "A,ea,1,", "line 2, column uom: 'ea' is not one of EA, CS"),
    (ReferenceFile.ITEMS, "A,EA,1,2011-05-01", "column valid_from: '2011-05-01': '2011-05-01' is no RFC 3339 time"),
    (ReferenceFile.ITEMS, "A,EA,1,1969-05-01T00:00:00Z", "column valid_from: .*must lie in the years 1970 to 2999"),
    (ReferenceFile.ITEMS, "A,EA,1", "line 2, column valid_from: is missing"),
    (ReferenceFile.ITEMS, "A,EA,1,,", "line 2: has more columns than the header"),
    (ReferenceFile.ITEMS, "A,EA,1,\na,EA,2,", "line 3: says again what line 2 says of item/A/EA/"),
    (ReferenceFile.ITEMS, 'A,EA,1,\n"A,CS,2,', "line 3: unexpected end of data"),
    (ReferenceFile.PROMOTIONS, "P,,,2011-05-02T00:00:00Z,2011-05-01T00:00:00Z,1", "line 2: end must be later"),
    (ReferenceFile.CHANNELS, "S1,web,-1,", "column weight: '-1': weight must be at least 0"),
    (ReferenceFile.SEASONS, "S1,A,13,1,", "column month: '13': must be 1 to 12"),
]


@pytest.mark.parametrize(("kind", "lines", "message"), WRONG)
def test_a_fault_is_named_by_file_line_and_column(kind: ReferenceFile, lines: str, message: str) -> None:
    """And nothing of the file is taken."""
    with pytest.raises(ReferenceFileError, match=message):
        parse(kind, lines)


@pytest.mark.parametrize("text", ["", "sku,uom,base_units\nA,EA,1\n", "sku,uom,base_units,valid_from,note\n"])
def test_another_header_is_refused(text: str) -> None:
    """A column that is missing, or one that would be ignored, is a mistake."""
    with pytest.raises(ReferenceFileError, match=r"items\.csv, line 1: the header must be sku,uom,"):
        parse_reference_file(ReferenceFile.ITEMS, text, "items.csv", UNITS)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(ReferenceFileError, match=r"nowhere\.csv"):
        read_reference_file(ReferenceFile.ITEMS, tmp_path / "nowhere.csv", UNITS)
