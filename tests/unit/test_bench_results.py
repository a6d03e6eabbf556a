"""What makes a benchmark's figure count: its output is the input, and it is compared within one run."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.batches import ensure_batches
from benchmarks.feed import SITE, BenchFeed
from benchmarks.measure import Measurement, Stopwatch
from benchmarks.plan import LANES, lanes_named
from benchmarks.results import COLUMNS, columns, ratios, table, to_json
from benchmarks.verify import WrongOutput, check_files

FEED = BenchFeed(events=150_000, skus=50, partitions=2)


def measured(rate: float, cpu_s: float = 1.0) -> Measurement:
    """A lane that did a million items."""
    return Measurement(items=1_000_000, seconds=1_000_000 / rate, cpu_s=cpu_s, rss_mb=100.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The feed as batch files, each with its site."""
    folder, manifests = ensure_batches(FEED, tmp_path_factory.mktemp("cache"))
    assert sum(manifest.record_count for manifest in manifests) == FEED.events
    return {folder / manifest.path: manifest.site_id for manifest in manifests}


def test_files_that_hold_the_feed_pass(files: dict[Path, str]) -> None:
    """Every line once, with its quantity."""
    assert len(files) > 2
    assert check_files(files, FEED, whole=True) == FEED.events


def test_a_missing_file_is_noticed_where_the_whole_must_be_there(files: dict[Path, str]) -> None:
    """A lane that still has windows open says so itself; one that claims to be done must be."""
    all_but_one = dict(list(files.items())[1:])
    assert check_files(all_but_one, FEED, whole=False) < FEED.events
    with pytest.raises(WrongOutput, match="are in no file"):
        check_files(all_but_one, FEED, whole=True)


def test_a_doubled_file_is_noticed(files: dict[Path, str], tmp_path: Path) -> None:
    """Counting rows alone would not see it beside a missing one."""
    _, doubled, *others = files
    copy = tmp_path / doubled.name
    copy.write_bytes(doubled.read_bytes())
    with pytest.raises(WrongOutput, match="twice"):
        check_files(dict.fromkeys([doubled, *others, copy], SITE), FEED, whole=True)


def test_other_quantities_are_noticed(files: dict[Path, str]) -> None:
    """The same offsets with the lines of another feed."""
    other = BenchFeed(events=FEED.events, skus=FEED.skus, partitions=FEED.partitions, seed=1)
    with pytest.raises(WrongOutput, match="quantities differ"):
        check_files(files, other, whole=True)


def test_rows_of_another_site_are_noticed(files: dict[Path, str]) -> None:
    """A feed of two sites has the same lines otherwise: half of them are not of the first one."""
    with pytest.raises(WrongOutput, match="not all of its rows are of DC-01"):
        check_files(files, replace(FEED, sites=2), whole=True)


def test_ratios_are_taken_within_a_run() -> None:
    """A slow minute slows both lanes of its run, and changes no ratio."""
    runs = [
        {"raw": measured(400_000), "stream": measured(100_000)},
        {"raw": measured(40_000), "stream": measured(10_000)},
    ]
    assert ratios(runs, "stream", "raw") == [0.25, 0.25]
    assert ratios(runs, "stream", "faust") == []


def test_scripts_find_their_keys_also_for_lanes_that_did_not_run() -> None:
    """The headline figures are medians; null where nothing was measured."""
    runs = [{"raw": measured(rate), "recalc": measured(2_000_000)} for rate in (100_000, 300_000, 200_000)]
    found = to_json(FEED, runs)
    assert found["raw_eps"] == 200_000
    assert found["recalc_s"] == 0.5
    assert found["faust_eps"] is found["plain_eps"] is found["stream_eps"] is found["stream_rss_mb"] is None
    assert found["batch_facts_per_s"] is None


def test_the_table_has_a_row_per_lane_that_ran() -> None:
    """Facts are not compared with events."""
    runs = [{lane.name: measured(1000) for lane in LANES}]
    rows = table(runs)
    assert [row[0] for row in rows] == [lane.title for lane in LANES]
    assert all(len(row) == len(columns(runs)) for row in rows)
    facts = [row for lane, row in zip(LANES, rows, strict=True) if lane.unit == "facts"]
    assert {row[len(COLUMNS) - 3 : -1] for row in facts} == {(None,) * 4}


def test_where_flink_ran_the_others_are_compared_with_it_by_cpu_seconds() -> None:
    """Half the CPU seconds for as many events is 2, whatever the clock on the wall said."""
    runs = [{"stream": measured(1000, cpu_s=5.0), "flink": measured(9000, cpu_s=10.0)}]
    assert columns(runs)[-1] == "× flink by CPU"
    assert [row[-1] for row in table(runs)] == ["2.00", "1.00"]
    assert to_json(FEED, runs)["cpu_ratios"]["stream/flink"]["median"] == 2.0
    assert columns([{"raw": measured(1000)}]) == COLUMNS


def test_other_engines_run_only_where_they_are_named() -> None:
    """They need a JDK and the network."""
    assert not any(lane.rival for lane in lanes_named([]))
    assert [lane.name for lane in lanes_named(["flink", "raw"])] == ["raw", "flink"]


def test_a_lane_is_told_by_the_one_beside_it() -> None:
    """The stream worker by rate and memory, a calculation by its seconds, for longer histories have more facts."""
    small, large = (Measurement(items=n, seconds=n / 10, cpu_s=n, rss_mb=100.0 + n) for n in (100, 300))
    runs = [{"stream": measured(1000), "two-workers": measured(1500, 2.0), "recalc-1d": small, "recalc-30d": large}]
    assert columns(runs)[-1] == "beside"
    assert [row[-1] for row in table(runs)] == [
        None,
        "stream: 1.50 × rate, 1.00 × RSS",
        None,
        "recalc-1d: 3.00 × seconds, 2.00 × RSS",
    ]
    found = to_json(FEED, runs)["beside"]
    assert found["two-workers/stream"] == {"rate": 1.5, "seconds": 0.667, "cpu_s": 2.0, "rss_mb": 1.0}
    assert set(found) == {"two-workers/stream", "recalc-30d/recalc-1d"}
    assert columns([{"two-workers": measured(1)}]) == COLUMNS


def test_every_lane_beside_another_is_of_its_unit() -> None:
    """And what it is beside exists, and is beside nothing itself."""
    lanes = {lane.name: lane for lane in LANES}
    others = [(lane, lanes[lane.beside]) for lane in LANES if lane.beside]
    assert all((lane.unit, other.beside) == (other.unit, "") for lane, other in others)
    assert len(others) >= 10


def test_a_lane_changes_of_the_feed_what_it_is_about_alone() -> None:
    """Two hundred sites, everything else as the run has it."""
    (lane,) = lanes_named(["stream-200-sites"])
    assert lane.feed_from(FEED) == replace(FEED, sites=200)
    assert lanes_named(["stream"])[0].feed_from(FEED) == FEED


def test_an_unknown_lane_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(ValueError, match="no such lane: fast; there are batch"):
        lanes_named(["fast"])


def test_nothing_is_measured_without_a_first_record() -> None:
    """A lane that got nothing has no rate."""
    with pytest.raises(RuntimeError, match="not one record came"):
        Stopwatch().stop(0)


def test_memory_of_several_processes_is_their_sum() -> None:
    """This one, told twice, has at least twice its peak of a moment before."""
    one, two = Stopwatch(), Stopwatch([os.getpid(), os.getpid()])
    one.start()
    two.start()
    alone = one.stop(1)
    assert 2 * alone.rss_mb <= two.stop(1).rss_mb < 2.1 * alone.rss_mb
