"""`velocity dlq fix` and `velocity dlq replay`: letters are sent back, repaired or as they are."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import Json, settings_of
from console.commands.dlq_set_aside import require_choice
from console.commands.letter_options import LetterOptions, filtered
from console.commands.replay_options import ReplayOptions, sending
from console.errors import CommandFailed, UsageError

if TYPE_CHECKING:
    from console.desk.letter_filter import LetterFilter
    from console.desk.replay_order import ReplayOrder
    from runtime.settings import Settings

Why = Annotated[str, typer.Option(help="The reason, for the audit log.")]
INTERRUPTED = 130  # as a shell says it of a command that Ctrl-C ended


@sending
@filtered
def fix(
    ctx: typer.Context,
    letters: LetterOptions,
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="A saved recipe, or a recipe file.")],
    how: ReplayOptions,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: say what would become of the records.")
    ] = False,
    preview: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="As --dry-run, and show what changes in N records.")
    ] = None,
    why: Why = "",
    json: Json = False,
) -> None:
    """Repair dead letters by a recipe and send them back to their source topic, each once.

    The letters stay as they are: what is sent is their value as the recipe makes it. Look first: --dry-run puts every
    repaired record through the gate of the stream stage and says what still fails. Then a canary goes ahead; if more of
    it fails again than --abort-above allows, nothing else is sent. Ctrl-C stops between two transactions; the same
    command sends the rest. A letter that was acted on before is left, and you are told by whom.

    \b
    Examples:
      velocity dlq fix --recipe scanner-7-dates --group 5f2e61a0c3d4 --preview 3
      velocity dlq fix --recipe scanner-7-dates --group 5f2e61a0c3d4 --why "clock set right, ticket 4711"
    """
    from console.desk.recipes import load_recipe

    require_choice(letters)
    settings = settings_of(ctx, with_topics=True)
    chosen = load_recipe(settings.desk.recipes, recipe)
    wanted, order = letters.filter(settings), how.order(settings, why, chosen)
    if dry_run or preview:
        _try_out(settings, wanted, order, preview or 0, json)
    elif not why.strip():
        raise UsageError("--why: say why, for those who read the audit log later; or look first with --dry-run")
    else:
        _send(settings, wanted, order, json)


@sending
@filtered
def replay(
    ctx: typer.Context,
    letters: LetterOptions,
    how: ReplayOptions,
    why: Why = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: count, and say what would fail again.")
    ] = False,
    json: Json = False,
) -> None:
    """Send dead letters back to their source topic as they are, each once, and write that into the audit log.

    Do this when the reason is gone: a unit was added, a pattern widened. A letter that fails again becomes a new one
    of the same chain, with one more attempt; after `desk.max_attempts` it is parked instead. Running the command again,
    also after a crash, sends nothing twice. There is no canary unless you ask for one.

    \b
    Examples:
      velocity dlq replay --class unknown_unit --why "CRATE added" --dry-run
      velocity dlq replay --id wms.orders.v1/3/1207
    """
    require_choice(letters)
    settings = settings_of(ctx, with_topics=True)
    wanted, order = letters.filter(settings), how.order(settings, why)
    if dry_run:
        _try_out(settings, wanted, order, 0, json)
    else:
        _send(settings, wanted, order, json)


def _send(settings: "Settings", wanted: "LetterFilter", order: "ReplayOrder", json: bool) -> None:
    from console.desk.replay import replay as send_back
    from console.desk.replay_order import State
    from console.desk.replay_view import say_result

    result = asyncio.run(send_back(settings, wanted, order))
    if json:
        screen.say_json(result)
    else:
        say_result(result)
    if result.missing:
        raise CommandFailed(f"no such dead letter: {', '.join(result.missing)}")
    if result.state is State.STOPPED:
        screen.remark(result.reason)
        raise typer.Exit(INTERRUPTED)
    if result.state is not State.DONE:
        raise CommandFailed(result.reason)


def _try_out(settings: "Settings", wanted: "LetterFilter", order: "ReplayOrder", preview: int, json: bool) -> None:
    from console.desk.dry_run import dry_run
    from console.desk.replay_view import dry_run_json, say_dry_run
    from console.desk.wanted import WantedLetters
    from console.progress import Meter

    letters = asyncio.run(WantedLetters.find(settings, wanted))
    with Meter("dry run", unit="dead letters") as meter:
        coroutine = dry_run(settings, order, letters.read(), samples=preview, on_progress=meter.reach)
        result = asyncio.run(coroutine)
    if json:
        screen.say_json(dry_run_json(result, letters.missing))
    else:
        say_dry_run(result)
    if letters.missing:
        raise CommandFailed(f"no such dead letter: {', '.join(letters.missing)}")
