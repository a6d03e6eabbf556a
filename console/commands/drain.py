"""`velocity drain`: close everything that was delivered so far."""

import asyncio
from typing import Annotated

import typer

from console import screen
from console.commands import Json, settings_of


def drain(
    ctx: typer.Context,
    stop: Annotated[bool, typer.Option("--stop", help="Let the running workers end once all is closed.")] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Give up after this long (ISO 8601, such as PT10M).")
    ] = None,
    no_batch_wait: Annotated[
        bool, typer.Option("--no-batch-wait", help="Do not wait for the batch workers to take the batches.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="End an earlier drain that was never finished, and start this one.")
    ] = False,
    json: Json = False,
) -> None:
    """Close every window with what has been delivered so far, and wait until its batches are loaded.

    Use it at the end of a backfill, and with --stop before settings change that decide verdicts or windows. What
    arrives later for a window that a drain closed becomes a correction. Giving up (timeout, Ctrl-C) withdraws the
    request and loses nothing.

    \b
    Examples:
      velocity drain
      velocity drain --stop --timeout PT15M
    """
    from console.drain import DrainOptions
    from console.drain import drain as run_drain
    from console.times import parse_duration
    from schemas.instants import rfc3339

    options = DrainOptions(stop, parse_duration("--timeout", timeout) if timeout else None, not no_batch_wait, replace)
    drained = asyncio.run(run_drain(settings_of(ctx), options))
    if json:
        screen.say_json(drained)
        return
    where = "no window was open" if drained.closed_to is None else f"closed up to {rfc3339(drained.closed_to)}"
    screen.say(f"drained {drained.partitions} source partitions; {where}{'; the workers stop' if stop else ''}")
