"""`velocity top`: the workers, live."""

import asyncio
from contextlib import suppress
from typing import Annotated

import typer

from console import screen
from console.commands import Json, settings_of
from console.errors import CommandFailed


def top(
    ctx: typer.Context,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", metavar="URL", help="A stream worker; may be repeated.")
    ] = None,
    batch: Annotated[
        list[str] | None, typer.Option("--batch", metavar="URL", help="A batch worker; may be repeated.")
    ] = None,
    interval: Annotated[float, typer.Option(min=0.2, metavar="SECONDS", help="Between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, show once, and end.")] = False,
    json: Json = False,
) -> None:
    """Watch the workers: events a second, lag, open windows, facts, calculations, and why one makes no progress.

    It reads /metrics and /readyz of each. Without addresses, those of the settings: stream.http_host and http_port, and
    api.url. In a pipe, with --once or --json it shows them once; exit 1 if no worker answers.

    \b
    Example:
      velocity top --stream http://stream-1:8081 --stream http://stream-2:8081 --batch http://batch-1:8080
    """
    from console.top import as_json, follow, lines, look_once, watched

    settings = settings_of(ctx)
    here = f"http://{settings.stream.http_host}:{settings.stream.http_port}"
    workers = watched(stream or ([] if batch else [here]), batch or ([] if stream else [settings.api.url]))
    if not (once or json) and screen.answers_terminal():
        with suppress(KeyboardInterrupt):
            asyncio.run(follow(workers, interval))
        return
    views = asyncio.run(look_once(workers, interval))
    if json:
        screen.say_json(as_json(views))
    else:
        for line in lines(views):
            screen.say(line)
    if all(view.now.metrics is None for view in views):
        raise CommandFailed("no worker answers: are they running, and are these their addresses?")
