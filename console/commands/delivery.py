"""`velocity sinks list|resume`, `velocity deliver`: coefficients on their way to those who use them."""

import asyncio
from typing import Annotated, Any

import typer

from console import screen
from console.commands import Commands, Json, settings_of

app = Commands(help="Where coefficients are delivered, and how that stands.")

NOTHING = "nothing is published yet that a sink takes; docs/delivery.md says how a sink is set up"
COLUMNS = ("sink", "site_id", "horizon", "acknowledged_as_of", "backlog_skus", "chunks", "circuits", "waiting")


@app.command("list")
def list_sinks(ctx: typer.Context, json: Json = False) -> None:
    """Show every sink: what it has acknowledged of each site, what is left, and why that waits.

    \b
    Examples:
      velocity sinks list
      velocity sinks list --json
    """
    from console.delivery import sinks

    rows = asyncio.run(sinks(settings_of(ctx)))
    if json:
        screen.say_json(rows)
    elif not rows:
        screen.say(NOTHING)
    else:
        screen.say_table(COLUMNS, [[_cell(row[name]) for name in COLUMNS] for row in rows])


@app.command("resume")
def resume_sink(ctx: typer.Context, name: Annotated[str, typer.Argument(help="The sink.")]) -> None:
    """Deliver again to a sink that was stopped because its API had changed.

    The chunk whose answer was not understood is sent again under the same key.

    \b
    Example:
      velocity sinks resume wms
    """
    from console.delivery import resume

    was = asyncio.run(resume(settings_of(ctx), name))
    screen.say(f"{name} is delivered to again" if was else f"{name} was not stopped")


def deliver(
    ctx: typer.Context,
    sink: Annotated[str | None, typer.Option("--sink", help="Only to this sink; without it to all.")] = None,
    site: Annotated[str | None, typer.Option("--site", help="Only this site; without it all sites.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Every row, not only those that the sink has otherwise.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Whatever the schedule says.")] = False,
    json: Json = False,
) -> None:
    """Deliver what is published and not acknowledged yet, and wait until it is.

    Workers deliver by themselves; this is for cron, for after a repair, and for a sink that has lost its data (--full).
    Exit 0: all is acknowledged. 1: chunks failed, or a sink is stopped. 3: the schedule keeps all of it closed.

    \b
    Examples:
      velocity deliver --sink wms --site UK-DC1
      velocity deliver --sink wms --full --now
    """
    from console.delivery import deliver as run

    body = {"sink": sink, "site_id": site, "full": full, "now": now}
    rows = asyncio.run(run(settings_of(ctx), body))
    if json:
        screen.say_json(rows)
    elif not rows:
        screen.say(NOTHING)
    else:
        names = ("sink", "site_id", "horizon", "acknowledged_as_of", "acknowledged_run")
        screen.say_table(names, [[row[name] for name in names] for row in rows])


def _cell(value: Any) -> screen.Cell:
    if isinstance(value, dict):
        return " ".join(f"{name}:{count}" for name, count in value.items() if count)
    return value if isinstance(value, str | int | float) or value is None else str(value)
