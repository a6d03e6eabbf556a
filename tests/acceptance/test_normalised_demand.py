"""Normalised demand of the retail sample, against exact fractions of plain Python, line by line."""

import json
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from acceptance_feeds import sample
from demand_oracle import DemandOracle
from hand_made import batch, open_database, order

from batcher.database import Database
from batcher.horizon import HORIZONS
from sandbox.retail_sample import SITE_ID, TIME_ZONE
from schemas.instants import parse_rfc3339
from schemas.reference import Channel, Promotion, ReferenceRecord, Season, canonical_sku
from schemas.sources import Source

Lines = list[tuple[str, str | None, int]]

#: The horizon of the first touches three months and both clocks; of the second, two.
INSTANTS = ("2011-04-15T00:00:00+01:00", "2011-06-01T00:00:00+01:00")
T_LIGHT, BAG = "85123A", "85099B"
INDEXES = ("0.7", "0.65", "0.9", "0.95", "1.05", "1.1", "0.8", "0.85", "1.2", "1.35", "1.6", "0.95")


def at(text: str) -> int:
    return parse_rfc3339(text)


def seasons() -> list[ReferenceRecord]:
    """All months for all; another index of two months at this site, of one from a day on; two SKUs of their own."""
    return [
        *(Season(month=month, index=Decimal(index)) for month, index in enumerate(INDEXES, 1)),
        Season(site_id=SITE_ID, month=4, index=Decimal("1.02")),
        Season(site_id=SITE_ID, month=5, index=Decimal("0.97"), valid_from=at("2011-05-10T12:34:56.789Z")),
        Season(site_id="ELSEWHERE", month=5, index=Decimal(9)),
        Season(sku=T_LIGHT, month=4, index=Decimal("0.333333")),
        Season(sku=T_LIGHT, site_id=SITE_ID, month=5, index=Decimal("2.5")),
        Season(sku=BAG, month=5, index=Decimal("1.7")),
        Season(sku=BAG, month=5, index=Decimal("1.9"), valid_from=at("2011-05-20T00:00:00+01:00")),
    ]


def factors() -> list[ReferenceRecord]:
    """Two channels, seasons, a sale that one SKU does not take part in, and one that has promotions of its own."""
    return [
        Channel(channel="domestic", weight=Decimal("0.9")),
        Channel(
            channel="domestic", site_id=SITE_ID, weight=Decimal("0.85"), valid_from=at("2011-04-01T00:00:00+01:00")
        ),
        Channel(channel="export", weight=Decimal("1.234567")),
        Channel(channel="export", weight=Decimal(0), valid_from=at("2011-05-30T00:00:00+01:00")),
        *seasons(),
        Promotion(
            promo_id="SALE",
            start=at("2011-04-04T00:00:00+01:00"),
            end=at("2011-04-11T00:00:00+01:00"),
            uplift=Decimal("1.3"),
        ),
        Promotion(
            promo_id="SALE",
            sku=BAG,
            start=at("2011-04-04T00:00:00+01:00"),
            end=at("2011-04-11T00:00:00+01:00"),
            uplift=Decimal(1),
        ),
        Promotion(promo_id="HEARTS", sku=T_LIGHT, end=at("2011-04-06T10:00:00Z"), uplift=Decimal("1.7")),
        Promotion(promo_id="MORE", sku=T_LIGHT, start=at("2011-04-05T10:00:00Z"), uplift=Decimal("1.9")),
    ]


@pytest.fixture(scope="module")
def lines() -> Lines:
    """Every order line of the sample: SKU, channel, event time."""
    events = (json.loads(timed.line) for timed in sample()[Source.ORDERS])
    return [(canonical_sku(event["sku"]), event["channel"], at(event["event_time"])) for event in events]


@pytest.fixture(scope="module")
def database(lines: Lines) -> Iterator[Database]:
    events = [
        {**order(str(number), INSTANTS[0], site_id=SITE_ID, sku=sku, channel=channel), "event_time": at_ms}
        for number, (sku, channel, at_ms) in enumerate(lines)
    ]
    with closing(open_database(zone=TIME_ZONE.key, spec="local-day")) as opened:
        opened.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)
        opened.apply_reference(factors())
        yield opened


def results(database: Database, as_of_ms: int) -> dict[str, dict[str, Any]]:
    database.calculate(SITE_ID, as_of_ms, trigger="test", now_ms=0, newest=False)
    return {row["sku"]: row for row in database.results(SITE_ID, as_of_ms).to_pylist()}


@pytest.mark.parametrize("instant", INSTANTS)
def test_every_sku_is_normalised_exactly(database: Database, lines: Lines, instant: str) -> None:
    """Each line by its channel, the month of its wall clock and the promotions of its moment, to the last decimal."""
    as_of_ms = at(instant)
    start_ms = HORIZONS["rolling_30d"].start(as_of_ms, TIME_ZONE)
    oracle = DemandOracle(factors(), SITE_ID, TIME_ZONE)
    wanted = oracle.normalized_lines(line for line in lines if start_ms <= line[2] < as_of_ms)
    found = results(database, as_of_ms)
    assert {sku: row["normalized_lines"] for sku, row in found.items()} == wanted
    assert len(wanted) > 2_000
    assert any(total % 1 for total in wanted.values())
    forward = {sku: oracle.forward_lines(sku, total, as_of_ms) for sku, total in wanted.items()}
    assert {sku: row["forward_lines"] for sku, row in found.items()} == forward


def test_the_number_of_threads_changes_nothing(database: Database) -> None:
    """One thread sums up to the same as two, an instant later in which nothing happened."""
    by_two = demand(results(database, at(INSTANTS[0])))
    with database._file.writing() as connection:
        connection.execute("SET threads = 1")
    by_one = demand(results(database, at(INSTANTS[0]) + 1))
    with database._file.writing() as connection:
        connection.execute("SET threads = 2")
    assert by_one == by_two


def demand(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[Decimal, Decimal]]:
    return {sku: (row["normalized_lines"], row["forward_lines"]) for sku, row in rows.items()}
