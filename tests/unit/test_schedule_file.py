"""The schedule file: what it can say, and what is said about one that is wrong."""

import textwrap
from datetime import date
from pathlib import Path

import pytest

import batcher.schedule.file
from batcher.schedule.file import load_calendar, parse_rules, read_rules
from batcher.schedule.rules import Dated, Kind, Opening, SiteRules, Weekly
from runtime.refusals import SettingsRefused
from runtime.settings import ScheduleSettings, Settings
from schemas.wall_spans import WallSpan
from schemas.windows import SiteZones

DEFAULT = SiteRules(WallSpan.parse("03:00-05:00"))
WAVE = Weekly(frozenset(range(5)), WallSpan.parse("05:00-09:00"), Kind.PICKING_WAVE)


def test_the_example_of_the_documentation_means_what_it_says() -> None:
    """Sites keep the defaults' rules and add their own."""
    text = textwrap.dedent((batcher.schedule.file.__doc__ or "").split("\n\n", 1)[1])
    rules = parse_rules(text, DEFAULT)
    assert rules.of("anything") == SiteRules(WallSpan.parse("02:00-04:00"), (WAVE,))
    assert rules.of("UK-DC1") == SiteRules(
        WallSpan.parse("01:00-04:30"),
        (WAVE,),
        (Dated(date(2026, 11, 27), None, Kind.PICKING_WAVE),),
        (Opening(date(2026, 12, 25), WallSpan.parse("00:00-12:00")),),
    )


def test_a_file_that_says_nothing_leaves_the_settings() -> None:
    """The default off-peak window is that of `schedule.off_peak`."""
    assert parse_rules("", DEFAULT).of("S") == DEFAULT


def test_a_site_may_begin_anew() -> None:
    """`inherit = false`: without the defaults' blackouts."""
    text = """
        [[defaults.blackouts]]
        days = ["sat-mon"]
        time = "22:00-02:00"
        [sites.A]
        inherit = false
        [sites.B]
    """
    rules = parse_rules(text, DEFAULT)
    assert rules.of("A") == DEFAULT
    (weekly,) = rules.of("B").weekly
    assert (weekly.weekdays, weekly.kind) == (frozenset({5, 6, 0}), Kind.OTHER)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sitess.A]", "there is no [sitess]; there are [defaults] and [sites.NAME]"),
        ("[sites.A]\noffpeak = '02:00-04:00'", "sites.A: there is no 'offpeak'"),
        ("[sites.A]\noff_peak = '2-4'", "sites.A.off_peak: '2-4' is no span of wall time"),
        ("[sites.'A B']", "sites: 'A B' is not a site id"),
        ("[sites]\nA = 1", "sites.A: must be a table"),
        ("[sites.A]\nclosed = 1", "sites.A.closed: must be a list, each rule of which is written [[sites.A.closed]]"),
        ("[sites.A]\ninherit = 'no'", "sites.A.inherit: true or false"),
        ("[[sites.A.closed]]\ndate = '2026-02-30'", "sites.A.closed, rule 1: "),
        ("[[sites.A.closed]]\ndate = 2026-12-25T00:00:00", "write a day such as 2026-12-25"),
        ("[[sites.A.open]]\nkind = 'receiving'", "sites.A.open, rule 1: "),
        ("[[defaults.blackouts]]\ndays = ['mon']", "defaults.blackouts, rule 1: Object missing required field `time`"),
        ("[[defaults.blackouts]]\ndays = []\ntime = '02:00-03:00'", "name at least one, such as mon-fri"),
        (
            "[[defaults.blackouts]]\ndays = ['mon']\ntime = '02:00-03:00'\n"
            "[[defaults.blackouts]]\ndays = ['monday']\ntime = '02:00-03:00'",
            "defaults.blackouts, rule 2: days: 'monday' is neither a day (mon, tue, wed, thu, fri, sat, sun)",
        ),
        (
            "[[defaults.blackouts]]\ndays = ['mon']\ntime = '02:00-03:00'\nkind = 'lunch'",
            "kinds are picking wave, receiving, shift handoff, inventory audit, other",
        ),
        ("[[defaults.blackouts]]\ndays = ['mon']\ntime = '02:00'", "rule 1: time: '02:00' is no span of wall time"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_its_site_and_its_rule(text: str, said: str, tmp_path: Path) -> None:
    """The worker does not start with it."""
    file = tmp_path / "schedule.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(SettingsRefused) as refused:
        read_rules(file, DEFAULT)
    assert str(refused.value).startswith(f"schedule.file {file}: ")
    assert said in str(refused.value)


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    """With the system's word, or the place of the fault."""
    settings = Settings(schedule=ScheduleSettings(file=tmp_path / "none.toml"))
    with pytest.raises(SettingsRefused, match=r"none\.toml: No such file"):
        load_calendar(settings, SiteZones({}))
    (tmp_path / "none.toml").write_text("[", "utf-8")
    with pytest.raises(SettingsRefused, match="is not TOML"):
        load_calendar(settings, SiteZones({}))


def test_the_default_window_is_a_setting() -> None:
    """And a wrong one is refused by name."""
    calendar = load_calendar(Settings(schedule=ScheduleSettings(off_peak="22:00-01:00")), SiteZones({}))
    assert str(calendar.off_peak_of("S")) == "22:00-01:00"
    with pytest.raises(ValueError, match=r"off_peak[\s\S]*no span of wall time"):
        ScheduleSettings(off_peak="at night")
