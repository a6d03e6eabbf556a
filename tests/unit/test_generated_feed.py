"""The generated feed has what the retail sample lacks, and the same arguments give the same bytes."""

import csv
import io
from collections import defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from sandbox.generated_feed import GeneratedFeed, generated_feed
from schemas.sources import Source

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def feed() -> GeneratedFeed:
    """The default feed, smaller."""
    return generated_feed(6_000)


@pytest.fixture(scope="module")
def events(feed: GeneratedFeed) -> list[dict[str, Any]]:
    """All events, decoded, with their source, instant, and canonical SKU added."""
    return [
        {**event, "source": source, "at": time_ms, "sku": event["sku"].strip().upper()}
        for source, lines in feed.lines.items()
        for time_ms, line in lines
        for event in [msgspec.json.decode(line)]
    ]


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a CSV text."""
    return list(csv.DictReader(io.StringIO(text)))


def unconvertible(events: list[dict[str, Any]], *items: str) -> set[tuple[str, str]]:
    """(SKU, unit) of the facts that these items files would leave held, whatever the time."""
    units: dict[str, set[str]] = defaultdict(set)
    for row in (row for text in items for row in rows(text)):
        units[row["sku"]].add(row["uom"])
    used = {(event["sku"], event["uom"]) for event in events}
    return {(sku, uom) for sku, uom in used if uom not in (units.get(sku) or {"EA"})}


def test_the_seed_decides() -> None:
    """The same arguments give the same feed, another seed gives another."""
    assert generated_feed(500, seed=1) == generated_feed(500, seed=1)
    assert generated_feed(500, seed=1) != generated_feed(500, seed=2)


@pytest.mark.parametrize("size", [0, 1, 333, 2_000])
def test_the_size_is_exact(size: int) -> None:
    """As many lines as asked for, over all sources."""
    assert sum(map(len, generated_feed(size).lines.values())) == size


def test_lines_come_by_event_time(feed: GeneratedFeed, events: list[dict[str, Any]]) -> None:
    """Each source is sorted, and the text of an event time is the instant beside it, down to the millisecond."""
    for lines in feed.lines.values():
        assert all(one.event_time_ms <= two.event_time_ms for one, two in pairwise(lines))
    for event in events:
        assert int(round(datetime.fromisoformat(event["event_time"]).timestamp() * 1e6) // 1000) == event["at"]


@pytest.mark.parametrize("first_day", [date(2025, 2, 15), date(2025, 9, 15)])
def test_both_zones_change_their_clocks(first_day: date) -> None:
    """Two months or more of site-local days, on both sides of either zone's change, none outside the span."""
    feed = generated_feed(2_000, first_day=first_day)
    zones = {row["site_id"]: ZoneInfo(row["time_zone"]) for row in rows(feed.sites_csv)}
    offsets: dict[str, set[timedelta | None]] = defaultdict(set)
    days: dict[str, set[date]] = defaultdict(set)
    for _, line in (timed for lines in feed.lines.values() for timed in lines):
        event = msgspec.json.decode(line)
        local = datetime.fromisoformat(event["event_time"]).astimezone(zones[event["site_id"]])
        offsets[event["site_id"]].add(local.utcoffset())
        days[event["site_id"]].add(local.date())
    for site in zones:
        assert len(offsets[site]) == 2
        assert len(days[site]) > 60
        assert first_day <= min(days[site])
        assert max(days[site]) < first_day + timedelta(days=70)


def test_event_ids_identify_within_source_and_site_only(events: list[dict[str, Any]]) -> None:
    """Both sites use the same ids, so whoever forgets the site merges two facts."""
    keys = [(event["source"], event["site_id"], event["event_id"]) for event in events]
    assert len(set(keys)) == len(keys)
    by_site = [{key[2] for key in keys if key[1] == site} for site in ("US-NY1", "DE-FR1")]
    assert len(by_site[0] & by_site[1]) > 1_000


def test_the_late_load_resolves_every_held_fact(feed: GeneratedFeed, events: list[dict[str, Any]]) -> None:
    """Before it some units are unknown, also of articles that have no other facts; after it none is."""
    held = unconvertible(events, feed.items_csv)
    assert {sku.partition("-")[0] for sku, _ in held} == {"LATEUNIT", "LATEITEM", "HELD"}
    held_altogether = {sku for sku, _ in held} - {e["sku"] for e in events if (e["sku"], e["uom"]) not in held}
    assert held_altogether
    assert not unconvertible(events, feed.items_csv, feed.late_items_csv)


def test_units_change_over_time_and_retroactively(feed: GeneratedFeed, events: list[dict[str, Any]]) -> None:
    """Cases are repacked from the middle on, and the late load converts facts anew that were already converted."""
    for text, kind, uom in ((feed.items_csv, "RECASED", "CS"), (feed.late_items_csv, "RECONVERTED", "PK")):
        changes = [row for row in rows(text) if row["sku"].startswith(kind) and row["valid_from"]]
        middle = datetime.fromisoformat(changes[0]["valid_from"]).timestamp() * 1000
        sold = [event["at"] for event in events if event["sku"].startswith(kind) and event["uom"] == uom]
        assert min(sold) < middle < max(sold)


def test_some_conversions_are_ties(events: list[dict[str, Any]]) -> None:
    """Half a BX of 0.333 kg is 166.5 g: half-even and half-up differ."""
    assert any(event["uom"] == "BX" and event.get("quantity") == 0.5 for event in events)


def test_articles_come_and_go(events: list[dict[str, Any]]) -> None:
    """Some left more than 30 days before the end, some are younger than 14 days at the end."""
    end = max(event["at"] for event in events)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for event in sorted(events, key=lambda event: event["at"]):
        first.setdefault(event["sku"], event["at"])
        last[event["sku"]] = event["at"]
    assert any(at < end - 30 * DAY_MS for at in last.values())
    assert any(at > end - 14 * DAY_MS for at in first.values())


def test_the_fields_that_the_sample_lacks(feed: GeneratedFeed, events: list[dict[str, Any]]) -> None:
    """Book quantities (none, zero, more), variances of both signs, promotions, channels, returns without an order."""
    by_source = {source: [event for event in events if event["source"] == source] for source in Source}
    counts = by_source[Source.CYCLE_COUNTS]
    books = [event["book_quantity"] for event in counts]
    assert None in books
    assert 0 in books
    assert any(book and abs(event["variance"]) > book for book, event in zip(books, counts, strict=True))
    assert {(event["variance"] > 0) - (event["variance"] < 0) for event in counts} == {-1, 0, 1}
    assert {event["channel"] for event in by_source[Source.ORDERS]} == {"web", "store", "b2b", None}
    promotions = {row["promo_id"] for row in rows(feed.promotions_csv)}
    assert promotions < {event["promo_id"] for event in by_source[Source.ORDERS]}
    assert {"order_id" in event for event in by_source[Source.RETURNS]} == {True, False}


def test_quantities_have_at_most_three_decimals(events: list[dict[str, Any]]) -> None:
    """Every quantity is a valid one, as the event contract bounds it."""
    for event in events:
        for name in ("quantity", "variance", "book_quantity"):
            value = event.get(name) or 0
            assert round(value, 3) == value
        assert event.get("quantity", 1) > 0
