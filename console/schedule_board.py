"""`velocity schedule show`: a site's days in its own wall time, a row each, 100 columns wide, and the same as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from batcher.schedule.calendar import Calendar
from batcher.schedule.days import CLOSED, LEFT_OUT, OPEN, ClockChange, Day
from batcher.schedule.rules import Kind
from console.times import wall_clock
from schemas.instants import parse_rfc3339, rfc3339

CELL_MINUTES = 20
_MARGIN = 16
#: What a cell holds → the letter that it is drawn with, and its colour, which says nothing that the letter does not.
SIGNS: dict[str, tuple[str, str]] = {
    OPEN: ("█", "green"),
    Kind.PICKING_WAVE: ("P", "red"),
    Kind.RECEIVING: ("R", "magenta"),
    Kind.SHIFT_HANDOFF: ("H", "yellow"),
    Kind.INVENTORY_AUDIT: ("A", "cyan"),
    Kind.OTHER: ("X", "blue"),
    CLOSED: ("·", "dim"),
    LEFT_OUT: ("~", "dim"),
}


def draw(site_id: str, calendar: Calendar, days: Sequence[Day], standing: Mapping[str, Any] | None) -> list[Text]:
    """The lines of one site; `standing` is what its worker says of it, its `nights` among it."""
    nights = {night["night"]: night for night in (standing or {}).get("nights", ())}
    title = f"{site_id}  {calendar.zone_of(site_id).key}  off-peak {calendar.off_peak_of(site_id)}"
    lines = [Text(title, "bold")]
    if standing:
        lines.append(Text(standing_text(standing)))
    lines.append(Text(" " * _MARGIN + "".join(f"{hour:02} " for hour in range(24)) + "  night"))
    for day in days:
        lines.append(_row(day, nights.get(day.day.isoformat())))
        lines += [Text(" " * _MARGIN + remark, "italic") for remark in remarks_on(day, nights.get(day.day.isoformat()))]
    return lines


def legend() -> list[Text]:
    """What the signs mean."""
    meanings = {OPEN: "open", CLOSED: "closed", LEFT_OUT: "left out by the clock"}
    lines: list[list[str]] = [[*meanings], [*Kind]]
    return [Text("  ").join(_meaning(what, meanings.get(what, what)) for what in line) for line in lines]


def _meaning(what: str, text: str) -> Text:
    sign, colour = SIGNS[what]
    return Text(f"{sign} {text}", colour)


def as_json(
    site_id: str, calendar: Calendar, days: Sequence[Day], standing: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The same for machines: instants are RFC 3339 in UTC, days and nights are local dates."""
    known = dict(standing or {})
    nights = {night["night"]: night for night in known.pop("nights", ())}
    return {
        **known,
        "site_id": site_id,
        "time_zone": calendar.zone_of(site_id).key,
        "off_peak": str(calendar.off_peak_of(site_id)),
        "days": [_day_as_json(day, nights.get(day.day.isoformat())) for day in days],
    }


def _row(day: Day, night: Mapping[str, Any] | None) -> Text:
    row = Text(f"{day.day:%a %Y-%m-%d}".ljust(_MARGIN))
    for what in day.cells(CELL_MINUTES):
        row.append(*SIGNS[what])
    row.append(f"  {night_text(day, night)}")
    row.rstrip()
    return row


def night_text(day: Day, night: Mapping[str, Any] | None) -> str:
    """What became of a night, with the wall time at which its job was done."""
    if night is None:
        return ""
    if night["state"] != "done":
        return night["state"]
    return f"done {wall_clock(parse_rfc3339(night['finished_at']), day.zone):%H:%M}"


def remarks_on(day: Day, night: Mapping[str, Any] | None) -> list[str]:
    """What is to be said about a day: changes of its clocks, and why its night is not done."""
    remarks = [_clock_remark(change) for change in day.clock_changes]
    if night and night["why"]:
        remarks.append(f"{night['state']}: {night['why']}")
    return remarks


def _clock_remark(change: ClockChange) -> str:
    if change.after > change.before:
        return f"clocks go forward from {change.before:%H:%M} to {change.after:%H:%M}"
    return f"clocks go back from {change.before:%H:%M} to {change.after:%H:%M}: what lies between comes twice"


def standing_text(standing: Mapping[str, Any]) -> str:
    """How a site stands at the moment."""
    said = f"open until {standing['open_until']}" if standing["open_until"] else f"closed: {standing['closed_because']}"
    if standing["deferred"]:
        said += "; a calculation waits for the end of the blackout"
    if standing["waits_for"]:
        said += f"; the job of the night waits: {standing['waits_for']}"
    return said


def _day_as_json(day: Day, night: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "date": day.day.isoformat(),
        "start": rfc3339(day.bounds[0]),
        "end": rfc3339(day.bounds[1]),
        "off_peak": {"start": rfc3339(day.off_peak[0]), "end": rfc3339(day.off_peak[1])},
        "open": [{"start": rfc3339(start), "end": rfc3339(end)} for start, end in day.open],
        "blackouts": [
            {"start": rfc3339(one.start_ms), "end": rfc3339(one.end_ms), "kind": one.kind} for one in day.blackouts
        ],
        "clock_changes": [
            {"at": rfc3339(change.at_ms), "before": f"{change.before:%H:%M}", "after": f"{change.after:%H:%M}"}
            for change in day.clock_changes
        ],
        "night": night,
    }
