"""`velocity dlq`: dead letters found, understood, and sent back."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.errors import CommandFailed, UsageError
from schemas.errors import ErrorClass
from schemas.sources import Source

if TYPE_CHECKING:
    from console.dead_letters import LetterFilter
    from runtime.settings import Settings

app = Commands(help="Dead letters: found, understood, sent back.")

Classes = Annotated[list[ErrorClass] | None, typer.Option("--class", help="Only of this error class; may be repeated.")]
Ids = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only this one: topic/partition/offset; repeatable.")
]
OfSource = Annotated[Source | None, typer.Option("--source", help="Only of this source.")]
Site = Annotated[str | None, typer.Option("--site", help="Only of this site, where the value can be read.")]
Sku = Annotated[str | None, typer.Option("--sku", help="Only of this SKU, as it was sent.")]
Text = Annotated[str | None, typer.Option("--text", help="Only with this text in the value or the message.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Only of records from this instant on (RFC 3339).")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only of records before this instant.")]


def _filter(
    settings: "Settings",
    ids: list[str] | None = None,
    classes: list[ErrorClass] | None = None,
    source: Source | None = None,
    site: str | None = None,
    sku: str | None = None,
    text: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> "LetterFilter":
    from console.dead_letters import LetterFilter
    from console.times import parse_instant

    return LetterFilter(
        ids=frozenset(ids or ()),
        classes=frozenset(classes or ()),
        topic=settings.topics.source_topic(source) if source else None,
        since=parse_instant("--since", since) if since else None,
        until=parse_instant("--until", until) if until else None,
        site=site,
        sku=sku,
        text=text,
    )


@app.command("list")
def list_letters(
    ctx: typer.Context,
    classes: Classes = None,
    source: OfSource = None,
    site: Site = None,
    sku: Sku = None,
    text: Text = None,
    since: Since = None,
    until: Until = None,
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
    from console.letter_views import json_row, newest, table_row

    settings = settings_of(ctx, with_topics=True)
    wanted = _filter(settings, None, classes, source, site, sku, text, since, until)
    found = asyncio.run(newest(settings, wanted, limit, waiting_only=waiting))
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
    from console.dead_letters import find_letter
    from console.letter_views import details, json_details

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
def stats(
    ctx: typer.Context,
    source: OfSource = None,
    site: Site = None,
    since: Since = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Count dead letters by class. `waiting` ones were not replayed yet.

    \b
    Example:
      velocity dlq stats --json | jq .by_class
    """
    from console.dead_letters import letter_stats
    from schemas.errors import MEANINGS

    settings = settings_of(ctx, with_topics=True)
    wanted = _filter(settings, source=source, site=site, since=since, until=until)
    found = asyncio.run(letter_stats(settings, wanted))
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
def replay(
    ctx: typer.Context,
    classes: Classes = None,
    ids: Ids = None,
    source: OfSource = None,
    site: Site = None,
    sku: Sku = None,
    text: Text = None,
    since: Since = None,
    until: Until = None,
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
    from console.replay import replay as send_back

    if not classes and not ids:
        raise UsageError("say which: --class CLASS or --id ID")
    settings = settings_of(ctx, with_topics=True)
    wanted = _filter(settings, ids, classes, source, site, sku, text, since, until)
    result = asyncio.run(send_back(settings, wanted, why=why, dry_run=dry_run))
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
