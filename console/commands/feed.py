"""`velocity produce` and `velocity reference load`: what goes in."""

from typing import Annotated

import typer

from console import screen
from console.commands import Json, settings_of
from console.lines import KeyField
from schemas.sources import Source

FAULTS_SHOWN = 20


def produce(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="NDJSON files; - is standard input.")],
    source: Annotated[Source, typer.Option(help="What the lines are.")],
    key: Annotated[KeyField, typer.Option(help="The field whose text becomes the record's key.")] = KeyField.SKU,
    json: Json = False,
) -> None:
    """Send lines to a source topic as they are, byte for byte, bad ones too: judging them is the stream worker's part.

    A line ends at a newline and nowhere else; an empty line is sent as an empty record. The key is null where it
    cannot be read. A line that is longer than the topic's messages may be is reported and left out, the others are
    sent, and the exit code is 1.

    \b
    Examples:
      velocity produce --source orders orders.ndjson
      zcat returns-*.gz | velocity produce --source returns --key site -
    """
    from console.produce import produce as send

    sent = send(settings_of(ctx), source, key, files)
    if json:
        screen.say_json(sent)
    else:
        screen.say(f"{sent.delivered:,} of {sent.lines:,} lines are in {sent.topic}")
    for fault in sent.faults[:FAULTS_SHOWN]:
        screen.remark(str(fault), style="red")
    if len(sent.faults) > FAULTS_SHOWN:
        screen.remark(f"… and {len(sent.faults) - FAULTS_SHOWN:,} more")
    raise typer.Exit(0 if sent.delivered == sent.lines else 1)
