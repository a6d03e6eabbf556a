"""`velocity compute`: the velocity of the SKUs that are named, by way of the compute API."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console import screen
from console.commands import settings_of
from console.commands.results import FORMATS, HORIZON, check_format, say_encoded
from console.errors import CommandFailed, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from schemas.failed_chunks import FailedChunk


Skus = Annotated[list[str] | None, typer.Argument(metavar="[SKU]…", help="SKUs, as their warehouse writes them.")]
File = Annotated[Path | None, typer.Option("--file", metavar="FILE", help="One SKU a line; - is standard input.")]
Site = Annotated[str | None, typer.Option("--site", help="The site; needed where there are several.")]
AsOf = Annotated[str | None, typer.Option(metavar="TIME", help="Of the calculation for this instant; else the newest.")]
Out = Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of standard output.")]
JournalFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Keep answers there: after a crash only the rest is asked for.")
]


def compute(
    ctx: typer.Context,
    skus: Skus = None,
    file: File = None,
    site: Site = None,
    as_of: AsOf = None,
    horizon: Annotated[str, typer.Option(help="The horizon.")] = HORIZON,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "table",
    out: Out = None,
    journal: JournalFile = None,
    batch_size: Annotated[int, typer.Option(help="SKUs of a request, 5000 to 20000.")] = 5_000,
    concurrency: Annotated[int, typer.Option(help="Requests at the same time, 1 to 50.")] = 12,
    limit: Annotated[int, typer.Option(min=1, help="Rows of --format table.")] = 50,
) -> None:
    """Ask for the velocity of SKUs: one row for each, in their order, all from one calculation.

    A request that fails is repeated where that may help. SKUs of one that is given up have the status `failed`; it is
    then in the failed-chunks topic, and the exit code is 1.

    \b
    Examples:
      velocity compute 85123A 22423 --site UK-DC1
      velocity compute --file skus.txt --format csv --out velocity.csv --journal velocity.journal
    """
    from console.computation import as_table, compute_all, count_failed, read_skus
    from console.times import parse_instant
    from schemas.instants import rfc3339

    check_format(form, out)
    wanted = [*(skus or ()), *(read_skus(file) if file else ())]
    if not wanted:
        raise UsageError("say which: SKU…, or --file FILE with one SKU a line")
    options = {
        "batch_size": batch_size,
        "max_concurrency": concurrency,
        "window": horizon,
        "site_id": site,
        "as_of": rfc3339(parse_instant("--as-of", as_of)) if as_of else None,
        "journal": journal,
    }
    computed = asyncio.run(compute_all(settings_of(ctx), wanted, **options))
    show_rows(as_table(computed.rows), form, out, limit)
    if computed.failed:
        raise CommandFailed(_said_of(computed.failed, count_failed(computed.rows), len(wanted)))


def show_rows(table: "pa.Table", form: str, out: Path | None, limit: int) -> None:
    """A table on the screen, or all rows and columns in a file or on standard output."""
    from console.computation import SHOWN
    from console.result_formats import Format

    if form == Format.TABLE and out is None:
        columns = [name for name in SHOWN if name in table.column_names]
        shown = table.select(columns).slice(0, limit).to_pylist()
        screen.say_table(columns, [tuple(row.values()) for row in shown])
        screen.remark(f"{len(shown):,} of {table.num_rows:,} SKUs; --format csv has all and all columns")
        return
    say_encoded(table, form, out)


def _said_of(failed: list["FailedChunk"], skus: int, of: int) -> str:
    reasons = dict.fromkeys(chunk.error.message for chunk in failed if chunk.error)
    first = f"{skus:,} of {of:,} SKUs have no answer, in {len(failed)} failed chunks: {'; '.join(list(reasons)[:3])}"
    return f"{first}\n`velocity chunks list` shows them, `velocity chunks retry --sink compute` asks again"
