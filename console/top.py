"""`velocity top`: looks at the workers again and again, and shows what they say of themselves."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.columns import Columns
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from console import screen
from console.vitals import BATCH, STREAM, Figure, Look, parse_metrics, readings, shown

TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A worker: what it is called, where it listens, and which figures it has."""

    name: str
    url: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A worker at one moment, and at the moment before."""

    worker: Watched
    before: Look | None
    now: Look


def watched(streams: Sequence[str], batches: Sequence[str]) -> list[Watched]:
    """The workers at these addresses."""
    return [Watched("stream", url.rstrip("/"), STREAM) for url in streams] + [
        Watched("batch", url.rstrip("/"), BATCH) for url in batches
    ]


async def look_once(workers: Sequence[Watched], interval_s: float) -> list[View]:
    """Two looks, `interval_s` apart: rates take two."""
    async with _session() as session:
        first = await _look_at(session, workers)
        await asyncio.sleep(interval_s)
        return _views(workers, first, await _look_at(session, workers))


async def follow(workers: Sequence[Watched], interval_s: float) -> None:
    """Show them until interrupted."""
    async with _session() as session:
        before: list[Look] | None = None
        with Live(screen=True, auto_refresh=False, console=screen.answer_console()) as live:
            while True:
                now = await _look_at(session, workers)
                live.update(drawn(_views(workers, before, now), interval_s), refresh=True)
                before = now
                await asyncio.sleep(interval_s)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))


def _views(workers: Sequence[Watched], before: list[Look] | None, now: list[Look]) -> list[View]:
    earlier = before or [None] * len(now)
    return [View(worker, then, look) for worker, then, look in zip(workers, earlier, now, strict=True)]


async def _look_at(session: aiohttp.ClientSession, workers: Sequence[Watched]) -> list[Look]:
    return list(await asyncio.gather(*(_look(session, worker.url) for worker in workers)))


async def _look(session: aiohttp.ClientSession, url: str) -> Look:
    try:
        async with session.get(f"{url}/metrics") as answer:
            metrics = parse_metrics(await answer.text())
        async with session.get(f"{url}/readyz") as answer:
            reasons = (await answer.json())["reasons"]
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        return Look(time.monotonic(), None, {"worker": f"does not answer: {error or type(error).__name__}"})
    return Look(time.monotonic(), metrics, reasons)


def as_json(views: Sequence[View]) -> list[dict[str, Any]]:
    """The views for machines."""
    return [
        {
            "worker": view.worker.name,
            "url": view.worker.url,
            "answers": view.now.metrics is not None,
            "ready": view.now.metrics is not None and not view.now.reasons,
            "reasons": dict(view.now.reasons),
            "figures": {one.title: one.value for one in readings(view.worker.figures, view.before, view.now)},
        }
        for view in views
    ]


def lines(views: Sequence[View]) -> list[str]:
    """The views for pipes and logs."""
    found: list[str] = []
    for view in views:
        found.append(f"{view.worker.name} worker at {view.worker.url}: {_state(view)}")
        found += [f"  {key}: {reason}" for key, reason in sorted(view.now.reasons.items())]
        for one in readings(view.worker.figures, view.before, view.now):
            found.append(f"  {one.title:<24}{shown(one):>14}")
    return found


def _state(view: View) -> str:
    if view.now.metrics is None:
        return "silent"
    return "not ready" if view.now.reasons else "ready"


def drawn(views: Sequence[View], interval_s: float) -> Group:
    """The views for a terminal."""
    colours = {"ready": "green", "not ready": "yellow", "silent": "red"}
    panels: list[Panel] = []
    for view in views:
        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        for one in readings(view.worker.figures, view.before, view.now):
            table.add_row(one.title, shown(one))
        reasons = [Text(f"{key}: {why}", style="yellow") for key, why in sorted(view.now.reasons.items())]
        state = _state(view)
        title = f"{view.worker.name} · {view.worker.url} · [{colours[state]}]{state}[/]"
        panels.append(Panel(Group(table, *reasons), title=title, border_style=colours[state]))
    return Group(Columns(panels, equal=True), Text(f"every {interval_s:g} s; Ctrl-C ends", style="dim"))
