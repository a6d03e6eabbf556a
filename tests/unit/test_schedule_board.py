"""The week as `velocity schedule show` draws it, and what the commands of the schedule say."""

import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from batcher.schedule.calendar import Calendar
from batcher.schedule.days import days_of
from batcher.schedule.rules import Dated, Kind, Opening, Rules, SiteRules, Weekly
from console.main import app
from console.schedule_board import as_json, draw, legend
from runtime.refusals import Refusal, SettingsRefused
from schemas.wall_spans import WallSpan
from schemas.windows import SiteZones

WORKDAYS = frozenset(range(5))
RULES = SiteRules(
    WallSpan.parse("01:00-04:00"),
    (
        Weekly(WORKDAYS, WallSpan.parse("05:00-09:00"), Kind.PICKING_WAVE),
        Weekly(frozenset({6}), WallSpan.parse("22:40-23:00"), Kind.RECEIVING),
    ),
    (Dated(date(2026, 10, 24), None, Kind.INVENTORY_AUDIT),),
    (Opening(date(2026, 10, 25), WallSpan.parse("10:00-11:00")),),
)
LONDON = Calendar(Rules(RULES), SiteZones({}, "Europe/London"))
NEW_YORK = Calendar(Rules(SiteRules()), SiteZones({}, "America/New_York"))
STANDING = {
    "open_until": None,
    "closed_because": "outside of 01:00-04:00 until 2026-10-26T01:00:00Z",
    "deferred": True,
    "waits_for": None,
    "nights": [
        {"night": "2026-10-23", "state": "done", "finished_at": "2026-10-23T00:07:00Z", "why": None},
        {"night": "2026-10-24", "state": "missed", "finished_at": None, "why": "blacked out"},
    ],
}


def test_a_week_is_drawn_in_wall_time_with_its_nights() -> None:
    """
    One row a day, three cells an hour: open hours, blackouts by their letters, what became of the night, and a line
    where clocks change or a night has a remark. It fits into 100 columns and needs no colour.
    """
    lines = [line.plain.rstrip() for line in draw("S", LONDON, days_of(LONDON, "S", date(2026, 10, 23), 3), STANDING)]
    rest = "·" * 72
    assert lines == [
        "S  Europe/London  off-peak 01:00-04:00",
        "closed: outside of 01:00-04:00 until 2026-10-26T01:00:00Z; a calculation waits for the end of the blackout",
        " " * 16 + " ".join(f"{hour:02}" for hour in range(24)) + "   night",
        "Fri 2026-10-23  " + "···" + "█" * 9 + "···" + "P" * 12 + rest[27:] + "  done 01:07",
        "Sat 2026-10-24  " + "A" * 72 + "  missed",
        " " * 16 + "missed: blacked out",
        "Sun 2026-10-25  " + "···" + "█" * 9 + rest[12:30] + "███" + rest[33:68] + "R" + "···",
        " " * 16 + "clocks go back from 02:00 to 01:00: what lies between comes twice",
    ]
    assert max(len(line) for line in lines[2:]) <= 100
    assert max(len(line.plain) for line in legend()) <= 100


def test_hours_that_clocks_jump_over_are_drawn_as_such() -> None:
    """New York, 2026-03-08: 02:00 to 03:00 is left out, the window is what is left of it."""
    lines = [line.plain for line in draw("S", NEW_YORK, days_of(NEW_YORK, "S", date(2026, 3, 8), 1), None)]
    assert lines[2].startswith("Sun 2026-03-08  ······~~~███···")
    assert lines[3].strip() == "clocks go forward from 02:00 to 03:00"


def test_a_day_that_a_zone_left_out_is_not_drawn() -> None:
    """Pacific/Apia had no 2011-12-30."""
    apia = Calendar(Rules(), SiteZones({}, "Pacific/Apia"))
    assert [d.day.day for d in days_of(apia, "S", date(2011, 12, 29), 3)] == [29, 31]


def test_machines_get_instants() -> None:
    """In UTC; a day of 25 hours is one."""
    told = as_json("S", LONDON, days_of(LONDON, "S", date(2026, 10, 25), 1), STANDING)
    (day,) = told["days"]
    assert (day["start"], day["end"]) == ("2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z")
    assert day["open"][0] == {"start": "2026-10-25T00:00:00Z", "end": "2026-10-25T04:00:00Z"}
    assert day["clock_changes"] == [{"at": "2026-10-25T01:00:00Z", "before": "02:00", "after": "01:00"}]
    assert (told["deferred"], told["time_zone"]) == (True, "Europe/London")


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A schedule file, of a machine where no batch worker answers."""
    for name in [name for name in os.environ if name.startswith("VELOCITY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "schedule.toml"
    file.write_text("[sites.UK-DC1]\noff_peak = '01:00-04:30'\n", "utf-8")
    monkeypatch.setenv("VELOCITY_API__URL", "http://127.0.0.1:9")
    monkeypatch.setenv("VELOCITY_SCHEDULE__FILE", str(file))
    yield file


def test_a_week_is_shown_without_a_worker_too(schedule: Path) -> None:
    """The rules are in the settings; that nights are missing is remarked on."""
    shown = CliRunner().invoke(app, ["schedule", "show", "--week", "2026-W43"])
    assert shown.exit_code == 0
    assert "Mon 2026-10-19  ···███████████···" in shown.stdout
    assert "nights are not shown: no batch worker answers" in shown.stderr
    told = CliRunner().invoke(app, ["schedule", "show", "--site", "X", "--from", "2026-10-25", "--json"])
    (site,) = json.loads(told.stdout)["sites"]
    assert (site["site_id"], site["off_peak"], len(site["days"])) == ("X", "02:00-04:00", 7)


@pytest.mark.parametrize("options", [["--week", "W43"], ["--from", "monday"], ["--week", "2026-W43", "--from", "x"]])
def test_what_is_no_day_or_week_is_a_usage_error(schedule: Path, options: list[str]) -> None:
    """The option is named."""
    shown = CliRunner().invoke(app, ["schedule", "show", *options])
    assert getattr(shown.exception, "exit_code", None) == 2
    assert options[0] in str(shown.exception)


def test_a_schedule_is_checked_before_a_worker_starts_with_it(schedule: Path) -> None:
    """A good one is summed up; of a bad one the rule is named, and the exit code is 3."""
    checked = CliRunner().invoke(app, ["schedule", "check", str(schedule)])
    assert checked.exit_code == 0
    assert "UK-DC1  UTC  off-peak 01:00-04:30  opens next at " in checked.stdout
    schedule.write_text("[[sites.UK-DC1.closed]]\ndate = 2026-12-25\ntime = 'noon'\n", "utf-8")
    checked = CliRunner().invoke(app, ["schedule", "check", str(schedule)])
    assert isinstance(checked.exception, SettingsRefused)
    assert "sites.UK-DC1.closed, rule 1: time: 'noon'" in str(checked.exception)
    assert issubclass(SettingsRefused, Refusal) and Refusal.exit_code == 3
