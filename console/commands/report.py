"""`velocity report`: one page for those who look rather than log in."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from console import screen
from console.commands import settings_of
from console.errors import UsageError


def report(
    ctx: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file to write; one that is there is replaced.")
    ],
    site: Annotated[str | None, typer.Option("--site", help="Only this site; without it all sites.")] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of the calculation for this instant; default: the newest.")
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="The horizon; default: the first of velocity.horizons.")] = None,
) -> None:
    """Write a report as one HTML file: conservation, dead letters, completeness, classes, Pareto, movers, migration.

    It holds its styles and charts, needs no script and no network, prints, and is dark where the reader's screen is.
    The same data give the same file. The audit in it is one without --deep. Exit 1 if it is not complete; the file is
    written all the same.

    \b
    Examples:
      velocity report --out report.html
      velocity report --out june.html --site UK-DC1 --as-of 2011-06-01T00:00:00+01:00
    """
    from console.audit_run import audit
    from console.insight.report import gather_report
    from console.insight.report_page import render_report
    from console.times import parse_instant
    from schemas.instants import rfc3339

    if out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no such directory, or it is one itself")
    instant = rfc3339(parse_instant("--as-of", as_of)) if as_of else None
    settings = settings_of(ctx, with_topics=True)
    audited = audit(settings)
    content = asyncio.run(gather_report(settings, audited, site, instant, horizon))
    text = render_report(content)
    out.write_text(text, "utf-8")
    screen.remark(f"{len(text.encode()):,} bytes written to {out}: {len(content.sites)} sites")
    if not audited.complete:
        screen.remark("the audit is NOT complete: `velocity audit` says what is missing", style="red")
        raise typer.Exit(1)
