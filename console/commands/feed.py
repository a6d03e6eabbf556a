"""`velocity produce` and `velocity reference load`: what goes in."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.errors import UsageError
from console.lines import KeyField
from schemas.sources import Source

FAULTS_SHOWN = 20

reference = Commands(help="Reference data: units, promotions, channel weights, seasons.")


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


@reference.callback()
def _reference() -> None:
    """A group, so that there can be more than `load`."""


@reference.command()
def load(
    ctx: typer.Context,
    items: Annotated[Path | None, typer.Option(help="CSV: sku,uom,base_units,valid_from")] = None,
    promotions: Annotated[Path | None, typer.Option(help="CSV: promo_id,site_id,sku,start,end,uplift")] = None,
    channels: Annotated[Path | None, typer.Option(help="CSV: site_id,channel,weight,valid_from")] = None,
    seasons: Annotated[Path | None, typer.Option(help="CSV: site_id,sku,month,index,valid_from")] = None,
    json: Json = False,
) -> None:
    """Load reference files: all of them are checked, then all of them are loaded, or none is.

    A row is effective from its valid_from (empty: always) and replaces an earlier one of the same key and date;
    nothing is ever deleted. Facts that waited for a unit are counted in as soon as it is there.

    \b
    Example:
      velocity reference load --items items.csv --channels channels.csv
    """
    from batcher.reference_files import ReferenceFile
    from console.reference import publish, read_files

    given = {"items": items, "promotions": promotions, "channels": channels, "seasons": seasons}
    files = {ReferenceFile(name): path for name, path in given.items() if path is not None}
    if not files:
        raise UsageError("name a file: --items, --promotions, --channels or --seasons")
    settings = settings_of(ctx, with_topics=True)
    records = read_files(settings, files)
    asyncio.run(publish(settings, records))
    counts = {kind.value: len(of_kind) for kind, of_kind in records.items()}
    if json:
        screen.say_json(counts)
    else:
        screen.say(f"loaded: {', '.join(f'{count:,} {kind}' for kind, count in counts.items())}")
