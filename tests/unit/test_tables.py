"""Tables by their addresses, and as files; charts as data."""

import csv
import io
import math
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from hostile_input import FORMULAS, MARKUP

from console.web.charts import Chart, Series
from console.web.csv_export import csv_text, inert
from console.web.tables import MOST_SHOWN, SHOWN, Column, Table, TableQuery, arrange

COLUMNS = (Column("name", "Name", link="/x/{name}?of={kind}"), Column("size", "Size", numeric=True))
ROWS = [
    {"name": "b", "kind": "one", "size": Decimal("2.5")},
    {"name": "a/..?&#", "kind": "two", "size": 1000},
    {"name": "c", "kind": "two", "size": None},
    {"name": None, "kind": "two", "size": -1},
]


def table(address: str = "", name: str = "") -> Table:
    """The table that an address asks for."""
    params = {key: values[0] for key, values in parse_qs(urlsplit(address).query, keep_blank_values=True).items()}
    return arrange(ROWS, COLUMNS, TableQuery.read(params, name), "Things")


def sizes(address: str) -> list[object]:
    """The sizes that it shows, in order."""
    return [row["size"] for row in table(address).rows]


def test_rows_are_sorted_both_ways_and_what_is_unknown_comes_last() -> None:
    """Numbers as numbers; by a column that there is not, nothing changes."""
    assert sizes("?sort=size") == [-1, Decimal("2.5"), 1000, None]
    assert sizes("?sort=size&desc=1") == [1000, Decimal("2.5"), -1, None]
    assert sizes("?sort=__class__") == sizes("")
    mixed = [{"name": value} for value in ("x", 3, None, "a", 2.5, True)]
    found = arrange(mixed, COLUMNS, TableQuery.read({"sort": "name"}))
    assert [row["name"] for row in found.rows] == [True, 2.5, 3, "a", "x", None]


def test_the_filter_looks_at_what_is_seen() -> None:
    """In any column, in any case; also for a number as it is written in the page."""
    assert sizes("?q=A%2F") == [1000]
    assert sizes("?q=1,000") == [1000]
    assert sizes("?q=1000") == [1000]
    assert sizes("?q=two") == [], "the kind is in no column"
    assert table("?q=zzz").total == 4


def test_an_address_says_everything_and_changes_one_thing() -> None:
    """Links keep what is not theirs, and turn the sorting round; a file's address is nobody's but its own."""
    found = table("?site=UK&q=b&sort=name&show=7")
    assert found.url(q=None) == "?site=UK&sort=name&show=7"
    assert parse_qs(found.sort_url(COLUMNS[0])[1:])["desc"] == ["1"]
    assert "desc" in parse_qs(table().sort_url(COLUMNS[1])[1:]), "the largest number first"
    assert "desc" not in parse_qs(table("?sort=size&desc=1").sort_url(COLUMNS[1])[1:])
    assert "format" not in parse_qs(table("?format=csv").sort_url(COLUMNS[0])[1:])
    assert dict(found.kept_params) == {"site": "UK", "sort": "name"}


def test_two_tables_of_a_page_do_not_hear_each_other() -> None:
    """Each has parameters of its name."""
    found = table("?sort=name&big-sort=size&big-q=b", "big")
    assert (found.query.sort, found.query.text, found.element) == ("size", "b", "table-big")
    assert parse_qs(found.url(show="5")[1:])["big-show"] == ["5"]


@pytest.mark.parametrize("show", ["", "-1", "1e9", "999999999999", "٣", "0x10", "abc"])
def test_how_much_is_shown_is_bounded(show: str) -> None:
    """Whatever an address says."""
    assert 0 <= TableQuery.read({"show": show}).shown <= MOST_SHOWN
    assert TableQuery.read({"show": "abc"}).shown == SHOWN


def test_more_is_offered_while_there_is_more() -> None:
    """Five times as many, up to a limit."""
    rows = [{"name": str(number)} for number in range(20_000)]
    asked = [arrange(rows, COLUMNS, TableQuery.read({"show": str(show)})) for show in (100, 5_000, MOST_SHOWN)]
    assert [found.more for found in asked] == ["?show=500", "?show=10000", None]
    assert len(asked[2].rows) == MOST_SHOWN


def test_links_carry_values_that_cannot_leave_their_place() -> None:
    """Quoted, slashes too; no link where there is no value."""
    assert COLUMNS[0].href(ROWS[1]) == "/x/a%2F..%3F%26%23?of=two"
    assert COLUMNS[0].href(ROWS[3]) is None
    assert all(" " not in (COLUMNS[0].href({"name": text, "kind": ""}) or " ") for text in MARKUP)


def test_a_file_runs_nothing_and_keeps_numbers() -> None:
    """An apostrophe before what a spreadsheet would take for a formula; everything else comes back as it was."""
    kept = ["plain", "a,b", 'say "x"', "two\nlines", "-12.50", "+3", "1e5", "", " =1"]
    rows = [[text] for text in (*FORMULAS, *kept)]
    read = [row[0] if row else "" for row in csv.reader(io.StringIO(csv_text(["=head"], rows), newline=""))]
    assert read[0] == "'=head"
    assert read[1:] == [*(f"'{text}" for text in FORMULAS), *kept]
    values = (None, 3, -2.5, Decimal("-1.50"), True)
    assert [inert(value) for value in values] == list(values)
    for text in ("-", "+", "-.", "--1", "-1_000", "-٣", "+inf", "-1e5", "-1+1"):
        assert inert(text) == f"'{text}"


def test_a_chart_says_what_is_drawn_and_the_same_as_a_table() -> None:
    """JSON has no NaN: such values are gaps. Every series has as many values as there are x."""
    series = [
        Series("lines", [1.0, math.nan, None]),
        Series("units", [1, 2, math.inf], kind="bars", right=True, tone=5),
    ]
    chart = Chart("c", "T", "day", ["Mon", "Tue", "Wed"], series)
    spec = chart.spec()
    assert (spec["x"], spec["names"]) == ([0, 1, 2], ["Mon", "Tue", "Wed"])
    assert [(one["values"], one["tone"]) for one in spec["series"]] == [([1.0, None, None], 1), ([1, 2, None], 5)]
    assert chart.rows()[0] == ("Mon", 1.0, 1)
    timed = Chart("c", "T", "hour", [0.0], [Series("a", [1])], time_zone="Europe/London")
    assert (timed.shown_x(0.0), timed.spec()["names"]) == ("1970-01-01 01:00+01:00", None)
    assert Chart("c", "T", "x", [], []).is_empty
    with pytest.raises(ValueError, match="needs 2 values"):
        Chart("c", "T", "x", [1, 2], [Series("a", [1])])
