"""`velocity config`: the settings in effect."""

from typing import Annotated

import typer

from console import screen
from console.commands import Json, options_of, settings_of


def config(
    ctx: typer.Context,
    json: Json = False,
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from the defaults.")] = False,
) -> None:
    """Show every setting, its value, and where it comes from. Secrets are masked.

    A setting comes from a flag (--set), else from its environment variable, else from velocity.toml, else it has
    its default. The variable of window.spec is VELOCITY_WINDOW__SPEC: two underscores where the dot is.

    \b
    Examples:
      velocity config
      VELOCITY_WINDOW__SPEC=local-day velocity --set stream.codec=zstandard config --changed
    """
    from console.configuration import effective, parse_sets, unknown_variables
    from runtime.settings import describe

    settings = settings_of(ctx)
    if json:
        screen.say_json(describe(settings))
        return
    rows = effective(settings, parse_sets(options_of(ctx).sets))
    shown = [(name, _text(value), origin) for name, value, origin in rows if not changed or origin != "default"]
    screen.say_table(("setting", "value", "from"), shown)
    for name in unknown_variables():
        screen.remark(f"{name} is no setting and has no effect", style="yellow")


def _text(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)
