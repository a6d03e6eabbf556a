"""`velocity recalc`, `coefficients`, `explain`, `windows`, `batches`, `facts`: what the batch workers know."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console import screen
from console.commands import Json, settings_of
from console.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from runtime.settings import Settings

HORIZON = "rolling_30d"
HELD_READ = 100_000  # held facts that are asked for to be grouped
FORMATS = ("table", "csv", "json", "parquet")

Site = Annotated[str | None, typer.Option("--site", help="Only this site; without it all sites of all workers.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many rows.")]


def recalc(
    ctx: typer.Context,
    as_of: Annotated[str, typer.Option(metavar="TIME", help="The instant (RFC 3339); events before it count.")],
    site: Site = None,
    horizon: Annotated[str, typer.Option(help="The horizon.")] = HORIZON,
    partial: Annotated[
        bool, typer.Option("--partial", help="Calculate even where windows before the instant are not complete.")
    ] = False,
    json: Json = False,
) -> None:
    """Calculate the velocity of every SKU as of an instant. The same data give the same run: nothing changes then.

    Exit 3 if a window that starts before the instant is not complete, unless --partial.

    \b
    Example:
      velocity recalc --as-of 2011-06-01T00:00:00+01:00
    """
    import msgspec

    from console.client import BatchApi, Question
    from console.times import parse_instant
    from schemas.instants import rfc3339

    instant = rfc3339(parse_instant("--as-of", as_of))
    body = {"as_of": instant, "site_id": site, "horizon": horizon, "partial": partial}

    async def run(settings: "Settings") -> list[dict[str, Any]]:
        async with BatchApi(settings) as api:
            answers = await api.ask(Question("/api/v1/recalc", body=body), site)
        return sorted((r for a in answers for r in msgspec.json.decode(a)["runs"]), key=lambda r: r["site_id"])

    runs = asyncio.run(run(settings_of(ctx)))
    if json:
        screen.say_json({"runs": runs})
        return
    columns = ("site_id", "horizon", "as_of", "skus", "coverage", "run_id")
    screen.say_table(columns, [tuple(run[name] for name in columns) for run in runs])


def coefficients(
    ctx: typer.Context,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of the calculation for this instant; default: the newest.")
    ] = None,
    site: Site = None,
    horizon: Annotated[str, typer.Option(help="The horizon.")] = HORIZON,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "table",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of standard output.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of --format table, the fastest first.")] = 50,
) -> None:
    """Show the results: one row per SKU, sorted by site and SKU, all columns, null as empty in CSV.

    The table shows the fastest movers and the most important columns only.

    \b
    Examples:
      velocity coefficients
      velocity coefficients --as-of 2011-06-01T00:00:00+01:00 --format csv --out velocity.csv
    """
    from console.result_formats import SHORT, Format, fastest

    check_format(form, out)
    table = asyncio.run(_fetch(settings_of(ctx), as_of, site, horizon))
    if form == Format.TABLE and out is None:
        screen.say_table(SHORT, fastest(table, limit))
        screen.remark(
            f"{min(limit, table.num_rows):,} of {table.num_rows:,} SKUs; --format csv has all and all columns"
        )
        return
    say_encoded(table, form, out)


def check_format(form: str, out: Path | None) -> None:
    """
    Raises:
        UsageError: there is no such format, or a terminal could not show it.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form!r}: one of {', '.join(FORMATS)}")
    if form == "parquet" and out is None and screen.answers_terminal():
        raise UsageError("--format parquet writes bytes: name a file with --out")


def say_encoded(table: "pa.Table", form: str, out: Path | None) -> None:
    """All rows and columns, in a file or on standard output; `table` is CSV there."""
    from console.result_formats import Format, encode

    data = encode(table, Format.CSV if form == Format.TABLE else Format(form))
    if out is None:
        screen.say_bytes(data)
    else:
        out.write_bytes(data)
        screen.remark(f"{table.num_rows:,} rows written to {out}")


def explain(
    ctx: typer.Context,
    sku: Annotated[str, typer.Argument(help="The SKU, in any case.")],
    site: Site = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of the calculation for this instant; default: the newest.")
    ] = None,
    horizon: Annotated[str, typer.Option(help="The horizon.")] = HORIZON,
    json: Json = False,
) -> None:
    """Explain the coefficient and the classes of a SKU: what each line counts and why, and what changed.

    Top to bottom: order lines by their factors and the reference rows that say so, units, the season ahead, rank and
    distance to the next class, both classes, the batches that the facts came from, and the run before.

    \b
    Examples:
      velocity explain 85123A
      velocity explain 85123A --site UK-DC1 --as-of 2011-06-01T00:00:00+01:00 --json
    """
    from console.client import BatchApi, Question
    from console.explain_view import sections
    from console.times import parse_instant
    from schemas.instants import rfc3339

    instant = rfc3339(parse_instant("--as-of", as_of)) if as_of else None
    params = {"sku": sku, "site_id": site, "as_of": instant, "horizon": horizon}

    async def ask(settings: "Settings") -> list[dict[str, Any]]:
        async with BatchApi(settings) as api:
            return await api.rows(Question("/api/v1/explain", params), site)

    rows = sorted(asyncio.run(ask(settings_of(ctx))), key=lambda row: row["site_id"])
    if json:
        screen.say_json(rows)
        return
    for section in (section for row in rows for section in sections(row)):
        screen.say(section.title, style="bold")
        if section.text:
            screen.say(section.text)
        if section.columns:
            screen.say_table(section.columns, section.rows)
        screen.say()


async def _fetch(settings: "Settings", as_of: str | None, site: str | None, horizon: str) -> "pa.Table":
    from console.client import BatchApi, Question
    from console.times import parse_instant
    from schemas.instants import rfc3339

    instant = rfc3339(parse_instant("--as-of", as_of)) if as_of else None
    params = {"as_of": instant, "site_id": site, "horizon": horizon}
    async with BatchApi(settings) as api:
        return await api.table(Question("/api/v1/coefficients", params, arrow=True), site)


def windows(ctx: typer.Context, site: Site = None, limit: Limit = 50, json: Json = False) -> None:
    """Show windows, the latest first: open, closed, complete, how many records, how often corrected.

    A window is closed once every partition that had events of it has closed it, and complete once every partition of
    every source has passed its end.

    \b
    Example:
      velocity windows --site UK-DC1
    """
    rows = _rows(ctx, "/api/v1/windows", site, limit)
    rows.sort(key=lambda row: (row["start"], row["site_id"]), reverse=True)
    _show(rows[:limit], json)


def batches(ctx: typer.Context, site: Site = None, limit: Limit = 50, json: Json = False) -> None:
    """Show the catalogue of batches that the batch workers have loaded.

    \b
    Example:
      velocity batches --site UK-DC1 --limit 10
    """
    columns = ("batch_id", "kind", "record_count", "closed_by", "path")
    _show(_rows(ctx, "/api/v1/batches", site, limit)[:limit], json, columns)


def facts(
    ctx: typer.Context,
    held: Annotated[bool, typer.Option("--held", help="Facts that wait for reference data.")] = False,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="Different facts under one event id, of which one counts.")
    ] = False,
    groups: Annotated[
        bool, typer.Option("--groups", help="With --held: by what they wait for, and what to do about it.")
    ] = False,
    site: Site = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """Show facts that need attention: held back for want of a unit or a known item, or in conflict.

    Held facts are counted in as soon as `velocity reference load` brings what they wait for.

    \b
    Examples:
      velocity facts --held
      velocity facts --held --groups
    """
    if held == conflicts:
        raise UsageError("say which: --held or --conflicts")
    if groups and not held:
        raise UsageError("--groups is of held facts: write --held --groups")
    if groups:
        _show_held_groups(ctx, site, limit, json)
        return
    _show(_rows(ctx, "/api/v1/facts/held" if held else "/api/v1/conflicts", site, limit)[:limit], json)


def _show_held_groups(ctx: typer.Context, site: str | None, limit: int, json: bool) -> None:
    from console.desk.held import group_held
    from schemas.instants import rfc3339

    rows = _rows(ctx, "/api/v1/facts/held", site, HELD_READ)
    found = group_held(rows)
    if json:
        screen.say_json([{**asdict(one), "remedy": one.remedy} for one in found[:limit]])
        return
    columns = ("site", "facts", "sku", "uom", "first", "last", "reason", "what to do")
    shown = ((one, rfc3339(one.first), rfc3339(one.last)) for one in found[:limit])
    cells = [(o.site_id, o.facts, o.sku, o.uom, first, last, o.reason, o.remedy) for o, first, last in shown]
    screen.say_table(columns, cells) if cells else screen.say("none")
    if len(rows) >= HELD_READ:
        screen.remark(
            f"there are more than {HELD_READ:,} held facts; counts are of the earliest of them", style="yellow"
        )


def _rows(ctx: typer.Context, path: str, site: str | None, limit: int) -> list[dict[str, Any]]:
    from console.client import BatchApi, Question

    async def ask(settings: "Settings") -> list[dict[str, Any]]:
        async with BatchApi(settings) as api:
            return await api.rows(Question(path, {"site_id": site, "limit": str(limit)}), site)

    return asyncio.run(ask(settings_of(ctx)))


def _show(rows: list[dict[str, Any]], json: bool, columns: tuple[str, ...] = ()) -> None:
    if json:
        screen.say_json(rows)
    elif not rows:
        screen.say("none")
    else:
        names = [name for name in columns if name in rows[0]] or list(rows[0])
        screen.say_table(names, [[_cell(row[name]) for name in names] for row in rows])


def _cell(value: Any) -> screen.Cell:
    return value if isinstance(value, str | int | float) or value is None else str(value)
