"""`velocity dlq`: dead letters found, understood, and sent back."""

import asyncio
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.commands.letter_options import LetterOptions, filtered
from console.commands.letters import groups, list_letters, show, stats
from console.errors import CommandFailed, UsageError

app = Commands(help="Dead letters: found, understood, sent back.")


app.command("list")(list_letters)
app.command()(show)
app.command()(stats)
app.command()(groups)


@app.command()
@filtered
def replay(
    ctx: typer.Context,
    letters: LetterOptions,
    why: Annotated[str, typer.Option(help="The reason, for the audit log.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be sent.")] = False,
    json: Json = False,
) -> None:
    """Send dead letters back to their source topic as they are, each once, and write that into the audit log.

    Do this when the reason is gone: a unit was added, a pattern widened. A letter that fails again becomes a new one
    of the same chain, with one more attempt. Running the command again, also after a crash, sends nothing twice.

    \b
    Examples:
      velocity dlq replay --class unknown_unit --why "CRATE added" --dry-run
      velocity dlq replay --id wms.orders.v1/3/1207
    """
    from console.desk.replay import replay as send_back

    if not letters.classes and not letters.ids:
        raise UsageError("say which: --class CLASS or --id ID")
    settings = settings_of(ctx, with_topics=True)
    result = asyncio.run(send_back(settings, letters.filter(settings), why=why, dry_run=dry_run))
    if json:
        screen.say_json(result)
    else:
        verb = "would be sent" if dry_run else "sent"
        classes_text = "".join(f"; {name}: {count:,}" for name, count in sorted(result.by_class.items()))
        screen.say(f"{result.sent:,} dead letters {verb}{classes_text}")
        screen.say(f"{result.skipped:,} were replayed before and skipped")
        if result.elsewhere:
            screen.say(f"{result.elsewhere:,} came from topics that are no sources here, and were left", style="yellow")
    if result.missing:
        raise CommandFailed(f"no such dead letter: {', '.join(result.missing)}")
