"""The commands, by theme. Each parses its options and leaves the work to a module of `console`.

Whatever is heavy is imported inside a command, so that `velocity --help` stays fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from runtime.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


class Commands(typer.Typer):
    """A group of commands whose help is their docstring, its paragraphs wrapped to the terminal.

    A paragraph that begins with a backspace keeps its lines: examples do.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            return super(Commands, self).command(name, help=_unwrapped(getdoc(function) or ""), **options)(function)

        return register


def _unwrapped(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(part if part.startswith("\b") else " ".join(part.split("\n")) for part in paragraphs)


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What stands before the command's name."""

    sets: tuple[str, ...] = ()
    config: Path | None = None


def settings_of(ctx: typer.Context, *, with_topics: bool = False) -> "Settings":
    """The command's settings; from here on only warnings are logged, to standard error.

    Raises:
        UsageError: a setting is wrong.
        TopicRefused: `with_topics` is wanted, and one is missing.
        KafkaException: the brokers do not answer.
    """
    import logging

    from console.configuration import load_settings
    from runtime.logs import configure_logs
    from runtime.settings import LogSettings

    options = options_of(ctx)
    settings = load_settings(options.sets, options.config)
    configure_logs(LogSettings(format=settings.log.format, level="warning"))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # complains of futures whose error we reported otherwise
    if with_topics:
        _require_topics(settings)
    return settings


def _require_topics(settings: "Settings") -> None:
    from runtime.refusals import TopicRefused
    from runtime.topics import read_topics

    found = read_topics(settings)
    missing = [name for name, _ in settings.topic_specs() if name not in found]
    if missing:
        raise TopicRefused(f"topics are missing: {', '.join(missing)}. Run `velocity topics apply`.")


def options_of(ctx: typer.Context) -> GlobalOptions:
    """The options before the command's name."""
    return ctx.find_root().obj or GlobalOptions()
