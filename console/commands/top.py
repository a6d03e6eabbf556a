"""`velocity top`: both stages at a glance."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import Json, settings_of

if TYPE_CHECKING:
    from rich.console import Group

    from console.readings import Worker
    from console.top import Reading, Table

URLS = Annotated[list[str] | None, typer.Option(metavar="URL", help="A worker's address; may be repeated.")]


def top(
    ctx: typer.Context,
    stream: URLS = None,
    batch: URLS = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, an interval apart, show that, and end.")] = False,
    json: Json = False,
) -> None:
    """Watch the workers: rates per source, lag, open windows, checkpoints, backpressure, facts, coefficients.

    It reads /metrics and /readyz of each worker, at the addresses of the settings unless others are given. Rates are
    those between two looks. In a terminal the picture renews itself until Ctrl-C; elsewhere lines follow each other.
    --json implies --once. With --once, exit 1 if a worker does not answer.

    \b
    Examples:
      velocity top
      velocity top --stream http://s1:8081 --batch http://b1:8080 --interval 5
      velocity top --once --json | jq '.workers[].figures'
    """
    from console.readings import workers_of

    workers = workers_of(settings_of(ctx), stream or [], batch or [])
    if once or json:
        before, now = asyncio.run(_look_twice(workers, interval))
        _show_once(before, now, json=json)
        raise typer.Exit(1 if any(reading.error for reading in now) else 0)
    _watch(workers, interval)


async def _look_twice(workers: "list[Worker]", interval: float) -> "tuple[list[Reading], list[Reading]]":
    from console.readings import read_all

    before = await read_all(workers)
    if any(reading.error is None for reading in before):
        await asyncio.sleep(interval)
    return before, await read_all(workers)


def _show_once(before: "list[Reading]", now: "list[Reading]", *, json: bool) -> None:
    from console.top import as_json, table

    pairs = list(zip(before, now, strict=True))
    if json:
        screen.say_json({"workers": [as_json(*pair) for pair in pairs]})
        return
    for pair in pairs:
        _say(table(*pair))


def _watch(workers: "list[Worker]", interval: float) -> None:
    """Look for ever; Ctrl-C ends it."""
    from rich.live import Live

    from console.readings import read_all
    from console.top import table

    before: list[Reading | None] = [None] * len(workers)
    terminal = screen.answers_terminal()
    with Live(console=screen.answer_console(), auto_refresh=False, screen=terminal) as live:
        while True:
            now = asyncio.run(read_all(workers))
            tables = [table(*pair) for pair in zip(before, now, strict=True)]
            before = list(now)
            if terminal:
                live.update(_picture(tables), refresh=True)
            else:
                for one in tables:
                    _say(one)
            time.sleep(interval)


def _say(table: "Table") -> None:
    """A worker in plain lines."""
    screen.say(f"{table.stage} {table.url}: {table.state}")
    for key, reason in table.reasons.items():
        screen.say(f"  {key}: {reason}")
    if table.rows:
        for line in screen.plain_table(table.columns, table.rows):
            screen.say(f"  {line}")
        screen.say("  " + ", ".join(f"{name} {value}" for name, value in table.figures.items()))


def _picture(tables: "list[Table]") -> "Group":
    """All workers for a terminal."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts: list[RichTable | Text] = []
    for one in tables:
        style = "bold green" if one.state == "ready" else "bold red"
        parts.append(Text(f"{one.stage} {one.url}: {one.state}", style=style))
        parts += [Text(f"  {key}: {reason}", style="yellow") for key, reason in one.reasons.items()]
        if one.rows:
            drawn = RichTable(*one.columns)
            for column in drawn.columns[1:]:
                column.justify = "right"
            for row in one.rows:
                drawn.add_row(*row)
            parts += [drawn, Text("  " + " · ".join(f"{name} {value}" for name, value in one.figures.items()) + "\n")]
    return Group(*parts)
