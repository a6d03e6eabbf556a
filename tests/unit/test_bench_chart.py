"""The benchmark's chart: drawn from the JSON results alone, readable in either mode."""

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from benchmarks.chart import bars, main, svg
from benchmarks.feed import BenchFeed
from benchmarks.measure import Measurement
from benchmarks.results import Run, to_json

SVG = "{http://www.w3.org/2000/svg}"


def results(*runs: dict[str, tuple[float, float]]) -> dict[str, object]:
    """The JSON of runs with rate and CPU seconds of each lane, over a million items."""
    measured: list[Run] = [
        {
            lane: Measurement(items=1_000_000, seconds=1_000_000 / rate, cpu_s=cpu_s, rss_mb=1.0)
            for lane, (rate, cpu_s) in run.items()
        }
        for run in runs
    ]
    return msgspec.json.decode(msgspec.json.encode(to_json(BenchFeed(events=100, skus=5), measured)))


def test_bars_are_medians_the_fastest_first() -> None:
    """Three runs of two lanes."""
    found = bars(results(*({"stream": (rate, 4.0), "raw": (9 * rate, cpu)} for rate, cpu in ((1, 3), (3, 1), (2, 2)))))
    assert [(bar.lane, bar.rate, bar.cpu_s_per_million) for bar in found] == [("raw", 18, 2.0), ("stream", 2, 4.0)]


def test_facts_are_not_drawn_among_events() -> None:
    """And lanes that did not run have no bar."""
    assert [bar.lane for bar in bars(results({"batch": (5, 1), "flink": (5, 1)}))] == ["flink"]


def test_bars_are_as_long_as_their_rates() -> None:
    """The longest is the fastest; ours stands out; the label has both figures."""
    drawn = ET.fromstring(svg(results({"raw": (400_000, 2.5), "stream": (100_000, 4.25)})))
    raw, stream = drawn.findall(f"{SVG}rect")
    assert float(raw.get("width", 0)) == pytest.approx(4 * float(stream.get("width", 0)), abs=0.2)
    assert (raw.get("class"), stream.get("class")) == ("bar", "bar ours")
    assert {"400,000 · 2.5 CPU s", "100,000 · 4.2 CPU s"} <= {text.text for text in drawn.iter(f"{SVG}text")}


def test_it_follows_dark_mode_and_paints_no_page() -> None:
    """A white page would be what a dark one must not have."""
    drawn = svg(results({"raw": (1, 1)}))
    assert "prefers-color-scheme: dark" in drawn
    assert drawn.count("<rect") == 1


def test_nothing_measured_is_not_a_chart() -> None:
    """An empty picture would replace a good one."""
    with pytest.raises(ValueError, match="nothing to draw"):
        svg(results({"batch": (1, 1)}))


def test_it_is_made_from_a_file_of_results(tmp_path: Path) -> None:
    """As `make bench` does."""
    source, target = tmp_path / "bench.json", tmp_path / "bench.svg"
    source.write_bytes(msgspec.json.encode(results({"raw": (1, 1)})))
    main([str(source), str(target)])
    assert ET.fromstring(target.read_text("utf-8")).tag == f"{SVG}svg"
    assert list(tmp_path.glob("*.part")) == []
