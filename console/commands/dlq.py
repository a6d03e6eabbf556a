"""`velocity dlq`: dead letters found, understood, and sent back."""

import asyncio
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.commands.letter_options import LetterOptions, filtered
from console.errors import CommandFailed, UsageError
from schemas.errors import ErrorClass

app = Commands(help="Dead letters: found, understood, sent back.")


@app.command("list")
@filtered
def list_letters(
    ctx: typer.Context,
    letters: LetterOptions,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that were not replayed yet.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    json: Json = False,
) -> None:
    """List dead letters with their reason, newest first.

    \b
    Examples:
      velocity dlq list --class bad_format --source orders
      velocity dlq list --sku POST --since 2011-03-01T00:00:00Z --limit 10
    """
    from console.desk.views import json_row, newest, table_row

    settings = settings_of(ctx, with_topics=True)
    found = asyncio.run(newest(settings, letters.filter(settings), limit, waiting_only=waiting))
    if json:
        screen.say_json([json_row(listed) for listed in found.rows])
        return
    columns = ("id", "class", "path", "at", "attempts", "replayed", "message", "value")
    screen.say_table(columns, [table_row(listed) for listed in found.rows])
    screen.remark(f"{len(found.rows)} of {found.total:,} dead letters; `velocity dlq show ID` shows one")


@app.command()
def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="topic/partition/offset of the refused record.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the value, byte for byte.")] = False,
    json: Json = False,
) -> None:
    """Show one dead letter: what is wrong with it, where it came from, and its value.

    \b
    Examples:
      velocity dlq show wms.orders.v1/3/1207
      velocity dlq show wms.orders.v1/3/1207 --raw > letter.bin
    """
    from console.desk.letters import find_letter
    from console.desk.views import details, json_details

    letter = asyncio.run(find_letter(settings_of(ctx, with_topics=True), letter_id))
    if letter is None:
        raise CommandFailed(f"there is no dead letter {letter_id}; `velocity dlq list` shows which there are")
    if raw:
        screen.say_bytes(letter.value or b"")
    elif json:
        screen.say_json(json_details(letter))
    else:
        for line in details(letter):
            screen.say(line)


@app.command()
@filtered
def stats(
    ctx: typer.Context,
    letters: LetterOptions,
    json: Json = False,
) -> None:
    """Count dead letters by class. `waiting` ones were not replayed yet.

    \b
    Example:
      velocity dlq stats --json | jq .by_class
    """
    from console.desk.letters import letter_stats
    from schemas.errors import MEANINGS

    settings = settings_of(ctx, with_topics=True)
    found = asyncio.run(letter_stats(settings, letters.filter(settings)))
    if json:
        screen.say_json(found.as_json())
        return
    rows = [
        (name, count, found.waiting_by_class[name], MEANINGS[ErrorClass(name)])
        for name, count in found.by_class.most_common()
    ]
    screen.say_table(("class", "letters", "waiting", "meaning"), rows)
    screen.say(f"{found.total:,} dead letters in {found.chains:,} chains")
    screen.say(f"{found.waiting:,} wait, {found.replayed:,} were replayed")


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
