"""`velocity dlq`: dead letters found and understood; what is done to them is in the modules beside this one."""

import asyncio
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.commands import dlq_recipes as recipes
from console.commands import dlq_repairs as repairs
from console.commands import dlq_set_aside as set_aside
from console.commands.letter_options import LetterOptions, filtered
from console.errors import CommandFailed
from schemas.errors import ErrorClass

app = Commands(help="Dead letters: found, understood, repaired, sent back.")


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
    """Show one dead letter: what is wrong with it, its value, and its story from the first failure to the coefficient.

    \b
    Examples:
      velocity dlq show wms.orders.v1/3/1207
      velocity dlq show wms.orders.v1/3/1207 --raw > letter.bin
    """
    from console.desk.home import story, story_lines
    from console.desk.letters import find_letter
    from console.desk.views import details, json_details

    settings = settings_of(ctx, with_topics=True)
    letter = asyncio.run(find_letter(settings, letter_id))
    if letter is None:
        raise CommandFailed(f"there is no dead letter {letter_id}; `velocity dlq list` shows which there are")
    if raw:
        screen.say_bytes(letter.value or b"")
        return
    told = asyncio.run(story(settings, letter))
    if json:
        screen.say_json({**json_details(letter), "story": told.as_json()})
    else:
        for line in (*details(letter), *story_lines(told)):
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


for _command in (repairs.fix, repairs.replay, set_aside.discard, set_aside.park, set_aside.log):
    app.command()(_command)
app.command("recipes")(recipes.list_recipes)
app.add_typer(recipes.app, name="recipe")
