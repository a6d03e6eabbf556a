"""Factors of demand: whatever rows there are, each line counts what exact fractions say."""

from contextlib import closing
from decimal import Decimal
from zoneinfo import ZoneInfo

from demand_oracle import DemandOracle
from hand_made import batch, open_database, order
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.instants import parse_rfc3339, rfc3339
from schemas.reference import Channel, Promotion, ReferenceRecord, Season
from schemas.sources import Source

HOUR_MS = 3_600_000
ZONE = ZoneInfo("America/New_York")
AS_OF = parse_rfc3339("2025-03-20T00:00:00-04:00")  # the clocks went forward on 9 March
SKUS, CHANNELS = ("A", "B"), ("web", "store", None)

#: Bounds of rows and times of lines come from the same few instants, so that they meet; some lie outside the horizon.
instants = st.sampled_from(
    [AS_OF + hours * HOUR_MS for hours in (-800, -719, -600, -456, -455, -400, -200, -1, 0, 90, 400)]
)
since = st.none() | instants
sites = st.sampled_from([None, "S1", "S2"])
skus = st.sampled_from([None, *SKUS])
numbers = st.decimals(Decimal("0.000001"), Decimal(999_999), places=6) | st.decimals(
    Decimal("0.1"), Decimal(3), places=2
)

channels = st.builds(
    Channel,
    channel=st.sampled_from(["web", "store"]),
    site_id=sites,
    weight=st.just(Decimal(0)) | numbers,
    valid_from=since,
)
seasons = st.builds(
    Season, site_id=sites, sku=skus, month=st.sampled_from([1, 2, 3, 4]), index=numbers, valid_from=since
)


@st.composite
def promotions(draw: st.DrawFn) -> Promotion:
    start, end = draw(since), draw(since)
    if start is not None and end is not None:
        start, end = min(start, end), max(start, end) + 1
    promo_id = draw(st.sampled_from(["P", "Q", "R"]))
    return Promotion(promo_id=promo_id, site_id=draw(sites), sku=draw(skus), start=start, end=end, uplift=draw(numbers))


lines = st.tuples(st.sampled_from(SKUS), st.sampled_from(CHANNELS), instants | instants.map(lambda at_ms: at_ms - 1))


@settings(max_examples=15)
@given(
    records=st.lists(channels | seasons | promotions(), max_size=12).map(lambda found: {one.key: one for one in found}),
    facts=st.lists(lines, min_size=1, max_size=8),
)
def test_every_line_counts_what_the_rows_of_its_moment_say(
    records: dict[str, ReferenceRecord], facts: list[tuple[str, str | None, int]]
) -> None:
    """The narrowest scope, then the latest row or the highest uplift; months by the wall clock; halves to even."""
    events = [
        order(f"E{number}", rfc3339(at_ms), sku=sku, channel=channel)
        for number, (sku, channel, at_ms) in enumerate(facts)
    ]
    with closing(open_database(zone=ZONE.key, spec="local-day")) as database:
        database.insert_batch(*batch(Source.ORDERS, *events), partition=0, offset=0)
        database.apply_reference(records.values())
        run = database.calculate("S1", AS_OF, trigger="test", now_ms=0, newest=False)
        found = {row["sku"]: row for row in database.results("S1", AS_OF).to_pylist()}
    oracle = DemandOracle(list(records.values()), "S1", ZONE)
    wanted = oracle.normalized_lines(fact for fact in facts if run.start_ms <= fact[2] < AS_OF)
    assert {sku: row["normalized_lines"] for sku, row in found.items()} == wanted
    for sku, total in wanted.items():
        assert found[sku]["forward_lines"] == oracle.forward_lines(sku, total, AS_OF)
