"""`velocity dlq discard`, `park` and `log`: letters that are not sent back, and what was done to which."""

import asyncio
from typing import Annotated, Literal

import typer

from console import screen
from console.commands import Json, settings_of
from console.commands.letter_options import LetterOptions, filtered
from console.errors import CommandFailed, UsageError

_DONE = {"discard": "discarded", "park": "parked"}
Why = Annotated[str, typer.Option(help="The reason, for the audit log; required.")]


def require_choice(letters: LetterOptions) -> None:
    """
    Raises:
        UsageError: nothing says which letters are meant.
    """
    if not letters.classes and not letters.ids and not letters.groups:
        raise UsageError("say which: --class CLASS, --group GROUP or --id ID")


@filtered
def discard(ctx: typer.Context, letters: LetterOptions, why: Why = "", json: Json = False) -> None:
    """Have done with dead letters that nobody will ever need. They stay in their topic until it expires.

    A letter that was replayed cannot be discarded; a parked one can. The reason goes into the audit log for good.

    \b
    Example:
      velocity dlq discard --group 5f2e61a0c3d4 --why "test records of 3 March"
    """
    _set_aside(ctx, letters, "discard", why, json)


@filtered
def park(ctx: typer.Context, letters: LetterOptions, why: Why = "", json: Json = False) -> None:
    """Put dead letters aside until somebody decides: replays leave them, unless they are told --include-parked.

    \b
    Example:
      velocity dlq park --id wms.orders.v1/3/1207 --why "the vendor looks into it, ticket 4711"
    """
    _set_aside(ctx, letters, "park", why, json)


def _set_aside(
    ctx: typer.Context, letters: LetterOptions, action: Literal["discard", "park"], why: str, json: bool
) -> None:
    from console.desk.replay_view import already_rows, say_already
    from console.desk.set_aside import set_aside
    from console.desk.wanted import WantedLetters

    require_choice(letters)
    if not why.strip():
        raise UsageError(f"--why: say why, for those who read the audit log later; {action} needs a reason")
    settings = settings_of(ctx, with_topics=True)
    wanted = asyncio.run(WantedLetters.find(settings, letters.filter(settings)))
    result = asyncio.run(set_aside(settings, action, wanted.read(), why))
    already = already_rows(result.leftovers)
    if json:
        screen.say_json({"done": result.done, "run": result.run, "skipped": len(result.leftovers), "already": already})
    else:
        screen.say(f"{result.done:,} dead letters {_DONE[action]}")
        say_already(already)
    if wanted.missing:
        raise CommandFailed(f"no such dead letter: {', '.join(wanted.missing)}")


def log(
    ctx: typer.Context,
    letter_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Only of this letter, or of the chain that began with it.")
    ] = None,
    json: Json = False,
) -> None:
    """List what was done to dead letters, and drains: who, when, why, what. A line for each command, oldest first.

    \b
    Examples:
      velocity dlq log
      velocity dlq log --id wms.orders.v1/3/1207
    """
    from console.desk.act_log import read_acts

    acts = [act.as_json() for act in asyncio.run(read_acts(settings_of(ctx, with_topics=True), letter_id))]
    if json:
        screen.say_json(acts)
        return
    columns = ("at", "who", "action", "letters", "recipe", "why", "sample")
    screen.say_table(columns, [tuple(act[name] for name in columns) for act in acts])  # type: ignore[arg-type]
