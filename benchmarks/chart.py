"""The lanes as a bar chart, events a second with CPU seconds per million beside: `python -m benchmarks.chart IN OUT`.

`IN` is what `velocity bench --json IN` wrote, `OUT` an SVG that follows the reader's light or dark mode.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from benchmarks.plan import LANES

OURS = "stream"

_WIDTH, _LEFT, _LONGEST = 860, 270, 330  # pixels: the whole, before the bars, the longest bar
_TOP, _ROW, _BAR = 64, 34, 20

_STYLE = """
    text { fill: #1b2733 } .small { font-size: 12px; fill: #55626e } .head { font-size: 16px; font-weight: 600 }
    .bar { fill: #8fa9c4 } .ours { fill: #c98a12 } .axis { stroke: #9aa7b2 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e4e9ee } .small { fill: #a4b0bb }
      .bar { fill: #5d7c9c } .ours { fill: #e0a63a } .axis { stroke: #66737f }
    }"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A lane: its median rate in events a second, and its median CPU seconds per million events."""

    lane: str
    title: str
    rate: float
    cpu_s_per_million: float


def bars(results: Mapping[str, Any]) -> list[Bar]:
    """The lanes of `benchmarks.results.to_json` that read events, the fastest first."""
    found = []
    for lane in LANES:
        runs = [run[lane.name] for run in results["runs"] if lane.name in run]
        if runs and lane.unit == "events":
            cpu = median(1e6 * run["cpu_s"] / run["items"] for run in runs)
            found.append(Bar(lane.name, lane.title, median(run["per_second"] for run in runs), cpu))
    return sorted(found, key=lambda bar: -bar.rate)


def svg(results: Mapping[str, Any]) -> str:
    """The chart.

    Raises:
        ValueError: no lane that reads events was measured.
    """
    shown = bars(results)
    if not shown:
        raise ValueError("there is nothing to draw: no lane that reads events was measured")
    height = _TOP + _ROW * len(shown) + 34
    foot = _foot(results)
    drawn = "".join(_row(place, bar, shown[0].rate) for place, bar in enumerate(shown))
    said = "; ".join(f"{bar.title} {bar.rate:,.0f}" for bar in shown)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="system-ui, sans-serif" '
        'font-size="14" role="img" aria-labelledby="t d">\n'
        f'  <title id="t">Events a second by lane</title>\n  <desc id="d">{escape(said)}</desc>\n'
        f"  <style>{_STYLE}\n  </style>\n"
        '  <text class="head" x="20" y="28">Events a second</text>'
        '<text class="small" x="20" y="48">beside each bar: CPU seconds per million events (fewer is better)</text>\n'
        f'{drawn}  <path class="axis" d="M{_LEFT} {_TOP - 4}V{_TOP + _ROW * len(shown) - 6}"/>\n'
        f'  <text class="small" x="20" y="{height - 14}">{escape(foot)}</text>\n</svg>\n'
    )


def _row(place: int, bar: Bar, longest: float) -> str:
    top = _TOP + _ROW * place
    width = max(1.0, _LONGEST * bar.rate / longest)
    kind = "bar ours" if bar.lane == OURS else "bar"
    label = f"{bar.rate:,.0f} · {bar.cpu_s_per_million:.1f} CPU s"
    return (
        f'  <text x="{_LEFT - 12}" y="{top + 15}" text-anchor="end">{escape(bar.title)}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="3"/>'
        f'<text x="{_LEFT + width + 8:.1f}" y="{top + 15}">{label}</text>\n'
    )


def _foot(results: Mapping[str, Any]) -> str:
    feed, machine, runs = results["input"], results["machine"], len(results["runs"])
    return (
        f"{feed['events']:,} orders of {feed['bytes_per_event']} B, {feed['partitions']} partitions; "
        f"{machine['cores']} cores with the broker on them; median of {runs} run{'s' * (runs > 1)}"
    )


def write(results: Mapping[str, Any], file: Path) -> None:
    """Write the chart beside `file`, then put it in its place: a half-written one is never there.

    Raises:
        ValueError: as `svg` does.
    """
    draft = file.with_suffix(".svg.part")
    draft.write_text(svg(results), "utf-8")
    draft.replace(file)


def main(arguments: Sequence[str]) -> None:
    """From a file of results to a file with the chart."""
    source, target = map(Path, arguments)
    write(msgspec.json.decode(source.read_bytes()), target)


if __name__ == "__main__":
    main(sys.argv[1:])
