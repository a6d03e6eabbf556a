"""The schedule file: rules per site, in TOML.

[defaults]
off_peak = "02:00-04:00"

[[defaults.blackouts]]           # every week
days = ["mon-fri"]
time = "05:00-09:00"
kind = "picking wave"

[sites.UK-DC1]                   # keeps the defaults' rules and adds to them; `inherit = false` begins anew
off_peak = "01:00-04:30"

[[sites.UK-DC1.closed]]          # one day, or a part of it
date = 2026-11-27
kind = "picking wave"

[[sites.UK-DC1.open]]
date = 2026-12-25
time = "00:00-12:00"
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from batcher.schedule.calendar import Calendar
from batcher.schedule.rules import Dated, Kind, Opening, Rules, SiteRules, Weekly
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from schemas.sources import SITE_PATTERN
from schemas.wall_spans import WallSpan
from schemas.windows import SiteZones

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SECTION = {"off_peak", "inherit", "blackouts", "closed", "open"}

T = TypeVar("T")


class _Weekly(msgspec.Struct, forbid_unknown_fields=True):
    days: list[str]
    time: str
    kind: Kind = Kind.OTHER


class _Dated(msgspec.Struct, forbid_unknown_fields=True):
    date: date
    time: str | None = None
    kind: Kind = Kind.OTHER


class _Opening(msgspec.Struct, forbid_unknown_fields=True):
    date: date
    time: str | None = None


def load_calendar(settings: Settings, zones: SiteZones) -> Calendar:
    """The calendar of these settings.

    Raises:
        SettingsRefused: see `read_rules`.
    """
    default = SiteRules(WallSpan.parse(settings.schedule.off_peak))
    file = settings.schedule.file
    return Calendar(Rules(default) if file is None else read_rules(file, default), zones)


def read_rules(file: Path, default: SiteRules) -> Rules:
    """The rules of a file, over those that hold where it says nothing.

    Raises:
        SettingsRefused: it cannot be read, or a rule is wrong; names file, site and rule.
    """
    try:
        return parse_rules(file.read_text("utf-8"), default)
    except OSError as error:
        raise SettingsRefused(f"schedule.file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"schedule.file {file} is not TOML: {error}") from error
    except ValueError as error:
        raise SettingsRefused(f"schedule.file {file}: {error}") from error


def parse_rules(text: str, default: SiteRules) -> Rules:
    """The rules of a file's text.

    Raises:
        ValueError: it is not TOML, or a rule is wrong; names section and rule, counted from 1.
    """
    content = tomllib.loads(text)
    if unknown := sorted(content.keys() - {"defaults", "sites"}):
        raise ValueError(f"there is no [{unknown[0]}]; there are [defaults] and [sites.NAME]")
    everywhere = _section("defaults", content.get("defaults", {}), default)
    sites: dict[str, SiteRules] = {}
    for site_id, values in _table("sites", content.get("sites", {})).items():
        if not re.fullmatch(SITE_PATTERN, site_id):
            raise ValueError(f"sites: {site_id!r} is not a site id")
        sites[site_id] = _section(f"sites.{site_id}", values, everywhere)
    return Rules(everywhere, sites)


def _section(name: str, found: Any, above: SiteRules) -> SiteRules:
    values = _table(name, found)
    if unknown := sorted(values.keys() - _SECTION):
        raise ValueError(f"{name}: there is no {unknown[0]!r}; there are {', '.join(sorted(_SECTION))}")
    inherit = values.get("inherit", True)
    if not isinstance(inherit, bool):
        raise ValueError(f"{name}.inherit: true or false")
    start = above if inherit else SiteRules(above.off_peak)
    weekly = [_weekly(place, rule) for place, rule in _rules(name, "blackouts", values, _Weekly)]
    dated = [_dated(place, rule) for place, rule in _rules(name, "closed", values, _Dated)]
    openings = [_opening(place, rule) for place, rule in _rules(name, "open", values, _Opening)]
    return SiteRules(
        _span(f"{name}.off_peak", values["off_peak"]) if "off_peak" in values else start.off_peak,
        (*start.weekly, *weekly),
        (*start.dated, *dated),
        (*start.openings, *openings),
    )


def _table(name: str, found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ValueError(f"{name}: must be a table, written [{name}]")
    return found


def _rules(section: str, name: str, values: Mapping[str, Any], kind: type[T]) -> list[tuple[str, T]]:
    """Each rule of a list, with where it stands."""
    found = values.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"{section}.{name}: must be a list, each rule of which is written [[{section}.{name}]]")
    rules: list[tuple[str, T]] = []
    for number, rule in enumerate(found, 1):
        place = f"{section}.{name}, rule {number}"
        if isinstance(rule, Mapping) and isinstance(rule.get("date"), datetime):
            raise ValueError(f"{place}: date: write a day such as 2026-12-25, the time of day under `time`")
        try:
            rules.append((place, msgspec.convert(rule, kind)))
        except msgspec.ValidationError as error:
            raise ValueError(f"{place}: {error}{_kinds(rule)}") from error
    return rules


def _kinds(rule: Any) -> str:
    """Which kinds there are, where that is what is wrong."""
    wrong = isinstance(rule, Mapping) and "kind" in rule and rule["kind"] not in [*Kind]
    return f"; kinds are {', '.join(Kind)}" if wrong else ""


def _span(place: str, text: Any) -> WallSpan:
    try:
        return WallSpan.parse(text if isinstance(text, str) else str(text))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _weekly(place: str, rule: _Weekly) -> Weekly:
    return Weekly(_weekdays(place, rule.days), _span(f"{place}: time", rule.time), rule.kind)


def _dated(place: str, rule: _Dated) -> Dated:
    return Dated(rule.date, _span(f"{place}: time", rule.time) if rule.time else None, rule.kind)


def _opening(place: str, rule: _Opening) -> Opening:
    return Opening(rule.date, _span(f"{place}: time", rule.time) if rule.time else None)


def _weekdays(place: str, names: list[str]) -> frozenset[int]:
    """Weekdays of `["mon-fri", "sun"]`; a range may go across Sunday."""
    days: set[int] = set()
    for name in names:
        first, _, last = name.partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            known = ", ".join(WEEKDAYS)
            raise ValueError(f"{place}: days: {name!r} is neither a day ({known}) nor a range, such as mon-fri")
        start, length = WEEKDAYS.index(first), (WEEKDAYS.index(last or first) - WEEKDAYS.index(first)) % 7
        days.update((start + number) % 7 for number in range(length + 1))
    if not days:
        raise ValueError(f"{place}: days: name at least one, such as mon-fri")
    return frozenset(days)
