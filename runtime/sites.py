"""The sites file: which time zone a site's wall clock follows."""

import csv
import re
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from schemas.sources import SITE_PATTERN
from schemas.windows import SiteWindows, SiteZones, WindowSpec


def load_sites(path: Path) -> dict[str, str]:
    """Site → IANA zone, from CSV with the header `site_id,time_zone`.

    Raises:
        SettingsRefused: the file is missing, or a line of it is wrong; names the line.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise SettingsRefused(f"sites_file {path}: {error.strerror}") from error
    rows = csv.DictReader(lines)
    if rows.fieldnames is None or not {"site_id", "time_zone"} <= set(rows.fieldnames):
        raise SettingsRefused(f"sites_file {path}: the header must be site_id,time_zone")
    zones: dict[str, str] = {}
    for row in rows:
        site, zone = (row["site_id"] or "").strip(), (row["time_zone"] or "").strip()
        where = f"sites_file {path}, line {rows.line_num}"
        if not re.fullmatch(SITE_PATTERN, site):
            raise SettingsRefused(f"{where}: {site!r} is not a site id")
        if site in zones:
            raise SettingsRefused(f"{where}: site {site} stands twice")
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingsRefused(f"{where}: {zone!r} is not an IANA time zone") from error
        zones[site] = zone
    return zones


def site_windows(settings: Settings) -> SiteWindows:
    """The window grids of all sites.

    Raises:
        SettingsRefused: see `load_sites`.
    """
    zones = load_sites(settings.sites_file) if settings.sites_file else {}
    return SiteWindows(WindowSpec.parse(settings.window.spec), SiteZones(zones, settings.default_time_zone))
