"""From measurements to figures: medians over runs, ratios within a run, the table and the JSON."""

import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

from benchmarks.feed import EVENTS_PER_SECOND, BenchFeed
from benchmarks.measure import Measurement
from benchmarks.plan import CPU_YARDSTICK, LANES, YARDSTICKS, Lane

Run = dict[str, Measurement]  # one run: measurements by lane name

COLUMNS = ("lane", "a second", "lowest – highest", "CPU s per million", "RSS MB", *(f"× {y}" for y in YARDSTICKS))


def columns(runs: Sequence[Run]) -> tuple[str, ...]:
    """`COLUMNS`, and one more each where the yardstick by CPU seconds ran, and a lane beside the one it belongs to."""
    by_cpu = (f"× {CPU_YARDSTICK} by CPU",) if _ran(CPU_YARDSTICK, runs) else ()
    return (*COLUMNS, *by_cpu, *(("beside",) if beside(runs) else ()))


def _ran(lane: str, runs: Sequence[Run]) -> bool:
    return any(lane in run for run in runs)


def ratios(runs: Sequence[Run], lane: str, yardstick: str) -> list[float]:
    """How many times as fast, in each run that has both, ascending."""
    return sorted(run[lane].rate / run[yardstick].rate for run in runs if lane in run and yardstick in run)


def cpu_ratios(runs: Sequence[Run], lane: str, yardstick: str) -> list[float]:
    """How many times as many items per CPU second, in each run that has both, ascending."""
    pairs = [(run[lane], run[yardstick]) for run in runs if lane in run and yardstick in run]
    return sorted((one.items / one.cpu_s) / (other.items / other.cpu_s) for one, other in pairs)


def beside(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Lane → how many times as much as the lane that it belongs beside, medians over the runs that have both.

    `seconds` are those of the whole; `cpu_s` is per item, as `rate` is; `rss_mb` is peak memory.
    """
    found: dict[str, dict[str, float]] = {}
    for lane in LANES:
        pairs = [(run[lane.name], run[lane.beside]) for run in runs if lane.name in run and lane.beside in run]
        if pairs:
            found[lane.name] = {
                "rate": median(one.rate / other.rate for one, other in pairs),
                "seconds": median(one.seconds / other.seconds for one, other in pairs),
                "cpu_s": median(one.cpu_s / one.items * other.items / other.cpu_s for one, other in pairs),
                "rss_mb": median(one.rss_mb / other.rss_mb for one, other in pairs),
            }
    return found


def table(runs: Sequence[Run]) -> list[tuple[str | int | None, ...]]:
    """A row per lane that was measured, under `columns(runs)`."""
    return [_row(lane, runs) for lane in LANES if _ran(lane.name, runs)]


def _row(lane: Lane, runs: Sequence[Run]) -> tuple[str | int | None, ...]:
    found = [run[lane.name] for run in runs if lane.name in run]
    rates = sorted(measured.rate for measured in found)
    cpu = median(1e6 * measured.cpu_s / measured.items for measured in found)
    comparable = YARDSTICKS if lane.unit == "events" else ()
    compared = [ratios(runs, lane.name, yardstick) if yardstick in comparable else [] for yardstick in YARDSTICKS]
    if _ran(CPU_YARDSTICK, runs):
        compared.append(cpu_ratios(runs, lane.name, CPU_YARDSTICK) if comparable else [])
    return (
        lane.title,
        round(median(rates)),
        f"{rates[0]:,.0f} – {rates[-1]:,.0f}",
        f"{cpu:.1f}",
        round(max(measured.rss_mb for measured in found)),
        *(f"{median(values):.2f}" if values else None for values in compared),
        *((_beside(lane, runs),) if beside(runs) else ()),
    )


def _beside(lane: Lane, runs: Sequence[Run]) -> str | None:
    times = beside(runs).get(lane.name)
    if times is None:
        return None
    speed = f"{times['seconds']:.2f} × seconds" if lane.headline_is_seconds else f"{times['rate']:.2f} × rate"
    return f"{lane.beside}: {speed}, {times['rss_mb']:.2f} × RSS"


def to_json(feed: BenchFeed, runs: Sequence[Run]) -> dict[str, Any]:
    """The headline figures that scripts read (null where a lane did not run), and everything they come from."""
    streams = [run["stream"].rss_mb for run in runs if "stream" in run]
    return {
        **{lane.headline: _headline(lane, runs) for lane in LANES},
        "stream_rss_mb": round(max(streams), 1) if streams else None,
        "ratios": _all_pairs(ratios, runs, YARDSTICKS),
        "cpu_ratios": _all_pairs(cpu_ratios, runs, (*YARDSTICKS, CPU_YARDSTICK)),
        "beside": {
            f"{lane.name}/{lane.beside}": {what: round(times, 3) for what, times in beside(runs)[lane.name].items()}
            for lane in LANES
            if lane.name in beside(runs)
        },
        "input": {"events": feed.events, "skus": feed.skus, "partitions": feed.partitions}
        | {"bytes_per_event": round(feed.mean_bytes), "events_per_second_of_event_time": EVENTS_PER_SECOND},
        "machine": _machine(),
        "runs": [{name: _details(measured) for name, measured in run.items()} for run in runs],
    }


def _headline(lane: Lane, runs: Sequence[Run]) -> float | None:
    found = [run[lane.name] for run in runs if lane.name in run]
    if not found:
        return None
    if lane.headline_is_seconds:
        return round(median(measured.seconds for measured in found), 3)
    return round(median(measured.rate for measured in found))


def _all_pairs(
    ratio: Callable[[Sequence[Run], str, str], list[float]], runs: Sequence[Run], yardsticks: Sequence[str]
) -> dict[str, Any]:
    """`lane/yardstick` → median, lowest and highest over the runs that have both."""
    lanes = [lane.name for lane in LANES if lane.unit == "events"]
    found = {f"{lane}/{yardstick}": ratio(runs, lane, yardstick) for lane in lanes for yardstick in yardsticks}
    return {
        pair: {"median": round(median(values), 3), "lowest": round(values[0], 3), "highest": round(values[-1], 3)}
        for pair, values in found.items()
        if values and len(set(pair.split("/"))) == 2
    }


def _details(measured: Measurement) -> dict[str, Any]:
    return {
        "items": measured.items,
        "seconds": round(measured.seconds, 3),
        "per_second": round(measured.rate),
        "cpu_s": round(measured.cpu_s, 2),
        "rss_mb": round(measured.rss_mb, 1),
        **measured.details,
    }


def _machine() -> dict[str, Any]:
    packages = ("aiokafka", "confluent-kafka", "duckdb", "fastavro", "faust-streaming", "msgspec", "numpy", "pyarrow")
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }
