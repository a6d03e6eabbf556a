"""The benchmark's feed: what the lanes are measured on is a valid feed, and the same one every time."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.avro_lines import SCHEMA_ID
from benchmarks.feed import CHUNK, DISORDER_MS, EVENTS_PER_SECOND, LATE_BY_MS, BenchFeed, Chunk
from runtime.settings import IntakeSettings
from schemas.codecs import avro_schema
from schemas.packed import Packed
from schemas.sources import EVENT_SCHEMAS, Source
from streams.avro_input import WriterSchema
from streams.intake import Intake, IntakeRules

FEED = BenchFeed(events=3 * CHUNK // 2, skus=500, partitions=4)


@pytest.fixture(scope="module")
def chunks() -> list[Chunk]:
    """All lines of a small feed, the last chunk not a full one."""
    return list(FEED.chunks())


def test_the_intake_accepts_every_line(chunks: list[Chunk]) -> None:
    """No dead letters: the lanes that validate have the same work as the lanes that do not."""
    intake = Intake(Source.ORDERS, IntakeRules.from_settings(IntakeSettings()))
    lines = chunks[-1].lines.to_pylist()
    offsets = list(range(len(lines)))
    decoded = intake.decode(Packed.of(lines), [2**43] * len(lines), offsets)
    assert not decoded.rejections
    assert decoded.table.column("source_offset").to_pylist() == offsets
    np.testing.assert_array_equal(decoded.table.column("event_time").to_numpy(), chunks[-1].event_times)
    np.testing.assert_allclose(decoded.table.column("quantity").to_numpy() * 1000, chunks[-1].quantities)


def test_lines_have_about_224_bytes(chunks: list[Chunk]) -> None:
    """The size that published figures were taken with."""
    lengths = [len(line) for chunk in chunks for line in chunk.lines.to_pylist()]
    assert 222 <= np.mean(lengths) <= 226
    assert max(lengths) <= 250


def test_the_columns_are_what_the_lines_say(chunks: list[Chunk]) -> None:
    """Lanes are checked against the columns, so these must be the lines'."""
    chunk = chunks[1]
    for row in range(0, len(chunk.lines), 997):
        event = json.loads(chunk.lines[row].as_py())
        assert round(event["quantity"] * 1000) == chunk.quantities[row]
        assert datetime.fromisoformat(event["event_time"]).timestamp() * 1000 == pytest.approx(chunk.event_times[row])


def test_it_has_the_asked_for_events_skus_and_partitions(chunks: list[Chunk]) -> None:
    """Every event has an id of its own, each partition its share, and no SKU is missing from so many lines."""
    events = [json.loads(line) for chunk in chunks for line in chunk.lines.to_pylist()]
    assert len(events) == len({event["event_id"] for event in events}) == FEED.events
    assert len({event["sku"] for event in events}) == FEED.skus
    assert len({event["site_id"] for event in events}) == 1
    assert FEED.end_offsets() == dict.fromkeys(range(4), FEED.events // 4)
    assert BenchFeed(events=7, partitions=3).end_offsets() == {0: 3, 1: 2, 2: 2}


def test_quantities_are_found_by_partition_and_offset(chunks: list[Chunk]) -> None:
    """Line i is at offset i div 4 of partition i mod 4."""
    quantities = FEED.quantities()
    everything = np.concatenate([chunk.quantities for chunk in chunks])
    partitions = np.concatenate([chunk.partitions for chunk in chunks])
    for partition in range(FEED.partitions):
        np.testing.assert_array_equal(quantities[partition], everything[partitions == partition])


def test_no_event_is_late_for_a_frontier_at_the_disorder_bound(chunks: list[Chunk]) -> None:
    """An event comes after later ones, but never by the bound or more; time runs at the feed's rate."""
    times = np.concatenate([chunk.event_times for chunk in chunks])
    behind = np.maximum.accumulate(times) - times
    assert 0.9 * DISORDER_MS < behind.max() < DISORDER_MS
    assert times.max() - times.min() == pytest.approx(1000 * FEED.events / EVENTS_PER_SECOND, abs=DISORDER_MS)


def test_the_same_arguments_give_the_same_bytes(chunks: list[Chunk]) -> None:
    """So a topic filled yesterday, or checked today, holds this feed; another feed has another fingerprint."""
    again = list(BenchFeed(events=FEED.events, skus=FEED.skus, partitions=FEED.partitions).chunks())
    assert pa.chunked_array([chunk.lines for chunk in again]) == pa.chunked_array([chunk.lines for chunk in chunks])
    assert FEED.fingerprint == BenchFeed(events=FEED.events, skus=FEED.skus, partitions=4).fingerprint
    others = [BenchFeed(events=FEED.events, skus=501), BenchFeed(events=FEED.events, skus=500, seed=1)]
    assert len({FEED.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_the_fingerprint_of_the_usual_feed_does_not_change() -> None:
    """Topics and batch files that were made of it are found again; sites and late lines make another feed."""
    assert BenchFeed().fingerprint == "ac1e3db5"
    assert len({BenchFeed(**more).fingerprint for more in ({}, {"sites": 2}, {"late_percent": 1})}) == 3


def test_sites_share_the_lines_evenly() -> None:
    """Each has its part of every partition, and nothing else of a line is another."""
    feed = BenchFeed(events=20_000, sites=5)
    chunk, usual = next(feed.chunks()), next(BenchFeed(events=20_000).chunks())
    events = [json.loads(line) for line in chunk.lines.to_pylist()]
    assert feed.site_ids == ["DC-01", "DC-02", "DC-03", "DC-04", "DC-05"]
    for partition, numbers in enumerate(feed.site_numbers()):
        assert [event["site_id"] for event in events[partition::4]] == [feed.site_ids[number] for number in numbers]
        assert np.bincount(numbers) == pytest.approx(1_000, rel=0.15)
    assert [event | {"site_id": "DC-01"} for event in events] == [json.loads(line) for line in usual.lines.to_pylist()]


def test_as_many_lines_are_late_as_asked_for() -> None:
    """By days, and they are lines like others."""
    usual, late = (next(BenchFeed(events=20_000, late_percent=percent).chunks()) for percent in (0, 20))
    behind = usual.event_times - late.event_times
    assert set(behind.tolist()) == {0, LATE_BY_MS}
    assert (behind > 0).mean() == pytest.approx(0.2, abs=0.02)


def test_every_sku_of_two_million_has_a_name_of_its_own() -> None:
    """Six digits would name only one million."""
    events = [json.loads(line) for line in next(BenchFeed(skus=2_000_000).chunks()).lines.to_pylist()]
    assert 1_000_000 < max(int(event["sku"].removeprefix("SKU-")) for event in events) < 2_000_000


@pytest.mark.parametrize("nothing", [{"events": 0}, {"sites": 0}, {"late_percent": 100}])
def test_a_feed_of_nothing_is_refused(nothing: dict[str, int]) -> None:
    """At least one event, SKU, partition and site, and some that are in time."""
    with pytest.raises(ValueError, match=r"at least one|0 to 99"):
        BenchFeed(**nothing)


def test_the_avro_flavour_is_the_same_events_under_our_schema() -> None:
    """Row by row what the intake makes of the JSON lines, all of it read by column."""
    plain, avro = (next(BenchFeed(events=2_000, flavour=flavour).chunks()) for flavour in ("json", "avro"))
    rules = IntakeRules.from_settings(IntakeSettings())
    schemas = {SCHEMA_ID: WriterSchema.parse(avro_schema(EVENT_SCHEMAS[Source.ORDERS]))}
    intake = Intake(Source.ORDERS, replace(rules, avro_schemas=schemas))
    clocks, offsets = [2**43] * 2_000, list(range(2_000))
    decoded = intake.decode(Packed.of(avro.lines.to_pylist()), clocks, offsets)
    assert decoded.judged == 0
    assert decoded.table.equals(intake.decode(Packed.of(plain.lines.to_pylist()), clocks, offsets).table)


def test_the_dirty_flavour_is_cut_off_or_late_here_and_there() -> None:
    """As many lines are refused as it says, as many again are days late, the rest are as they were."""
    feed = BenchFeed(events=20_000, flavour="dirty")
    plain, dirty = next(BenchFeed(events=20_000).chunks()), next(feed.chunks())
    intake = Intake(Source.ORDERS, IntakeRules.from_settings(IntakeSettings()))
    decoded = intake.decode(Packed.of(dirty.lines.to_pylist()), [2**43] * 20_000, list(range(20_000)))
    assert len(decoded.rejections) == feed.refused()
    assert 150 < feed.refused() < 250
    late = int((plain.event_times - dirty.event_times == LATE_BY_MS).sum())
    assert 150 < late < 250
    same = sum(one == other for one, other in zip(plain.lines.to_pylist(), dirty.lines.to_pylist(), strict=True))
    assert same == 20_000 - late - feed.refused()
