"""`velocity schedule show|run|check`: when sites may be calculated, what became of their nights, and tonight's job."""

import asyncio
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console import screen
from console.commands import Commands, Json, settings_of
from console.errors import CommandFailed, UsageError

if TYPE_CHECKING:
    from batcher.schedule.calendar import Calendar
    from runtime.settings import Settings

app = Commands(help="Off-peak windows, blackouts, and the job of the night.")

DAYS = 7
ANY_SITE = "every-site"

Site = Annotated[str | None, typer.Option("--site", help="Only this site; without it all sites.")]


@app.command()
def show(
    ctx: typer.Context,
    site: Site = None,
    week: Annotated[str | None, typer.Option(metavar="YYYY-Www", help="An ISO week, such as 2026-W43.")] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="DATE", help="A week from this day on.")] = None,
    json: Json = False,
) -> None:
    """Draw the coming week of each site in its own wall time: open hours, blackouts by kind, and its nights.

    The rules are those of this command's settings; what became of nights is what the batch workers say, if any
    answers.

    \b
    Examples:
      velocity schedule show
      velocity schedule show --site UK-DC1 --week 2026-W43
    """
    from batcher.schedule.days import days_of
    from console import schedule_board as board

    if week and start:
        raise UsageError("say one: --week or --from")
    settings = settings_of(ctx)
    calendar = _calendar(settings)
    standings = {row["site_id"]: row for row in _standings(settings, site)}
    sites = [site] if site else sorted(standings) or calendar.named_sites or [ANY_SITE]
    first = _first_day(week, start)
    shown = {name: days_of(calendar, name, first or _today(calendar, name), DAYS) for name in sites}
    if json:
        found = [board.as_json(name, calendar, days, standings.get(name)) for name, days in shown.items()]
        screen.say_json({"sites": found})
        return
    for name, days in shown.items():
        for line in board.draw(name, calendar, days, standings.get(name)):
            screen.answer_console().print(line)
        screen.say()
    for line in board.legend():
        screen.answer_console().print(line)


@app.command()
def run(
    ctx: typer.Context,
    site: Site = None,
    now: Annotated[bool, typer.Option("--now", help="Also outside of off-peak hours; never in a blackout.")] = False,
    json: Json = False,
) -> None:
    """Let the batch worker make the job of the present night, for cron and the like. Asking again changes nothing.

    Exit 0: it is done, or was already; 3: refused, with the reason and until when; 1: failed.

    \b
    Examples:
      velocity schedule run
      5 2-3 * * *  velocity schedule run --site UK-DC1     (in a crontab)
    """
    from console.nightly_request import request_night

    outcome = asyncio.run(request_night(settings_of(ctx), site, outside=now))
    if json:
        screen.say_json({"rows": outcome.rows, "not_ready": outcome.left_out})
    elif outcome.rows:
        columns = ("site_id", "night", "outcome", "why")
        screen.say_table(columns, [[row[name] for name in columns] for row in outcome.rows])
    else:
        screen.say("there are no sites yet: nothing to do")
    outcome.judge()


@app.command()
def check(ctx: typer.Context, file: Annotated[Path, typer.Argument(help="A schedule file.")]) -> None:
    """Check a schedule file before a worker starts with it. Exit 3 names the file, the site and the rule.

    \b
    Example:
      velocity schedule check schedule.toml
    """
    import time

    from runtime.settings import ScheduleSettings
    from schemas.instants import rfc3339

    settings = settings_of(ctx)
    settings.schedule = ScheduleSettings(**{**settings.schedule.model_dump(), "file": file})
    calendar, now_ms = _calendar(settings), time.time_ns() // 1_000_000
    for name in calendar.named_sites or [ANY_SITE]:
        opens = calendar.next_open(name, now_ms)
        when = "never opens within a year" if opens is None else f"opens next at {rfc3339(opens)}"
        zone, off_peak = calendar.zone_of(name).key, calendar.off_peak_of(name)
        screen.say(f"{name}  {zone}  off-peak {off_peak}  {when}", style="yellow" if opens is None else None)
        if settings.sites_file and name not in calendar.zoned_sites:
            screen.remark(f"{name} is not in {settings.sites_file}: its zone is the default one", style="yellow")
    screen.say(f"{file} is a schedule")


def _calendar(settings: "Settings") -> "Calendar":
    from batcher.schedule.file import load_calendar
    from runtime.sites import site_windows

    return load_calendar(settings, site_windows(settings).zones)


def _first_day(week: str | None, start: str | None) -> date | None:
    from console.times import parse_day

    if week:
        return parse_day("--week", week)
    return parse_day("--from", start) if start else None


def _today(calendar: "Calendar", site_id: str) -> date:
    import time

    from schemas.wall_spans import local_date

    return local_date(time.time_ns() // 1_000_000, calendar.zone_of(site_id))


def _standings(settings: "Settings", site: str | None) -> list[dict[str, Any]]:
    """What the workers say of their sites; nothing, and a remark, where none answers."""
    from console.client import BatchApi, Question

    async def ask() -> list[dict[str, Any]]:
        async with BatchApi(settings) as api:
            return await api.rows(Question("/api/v1/schedule", {"site_id": site, "nights": "60"}), site)

    try:
        return asyncio.run(ask())
    except CommandFailed as error:
        screen.remark(f"nights are not shown: {error}", style="yellow")
        return []
