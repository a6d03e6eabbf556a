"""Times as machines write them, read in a named zone: RFC 3339 with an offset comes out. Pure.

A wall time that daylight saving skips is no instant, and one that it repeats is two. Both are refused unless `fold`
says which one is meant: `earlier` or `later`.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.instants import rfc3339
from schemas.windows import SiteZones

Fold = Literal["earlier", "later"]
EPOCH_FORMATS = {"epoch-seconds": 1000, "epoch-milliseconds": 1}
_DIGITS = re.compile(r"-?\d{1,16}", re.ASCII)


class NoInstant(Exception):
    """A value is no time of the format, or does not name one instant."""


def zone_called(name: str) -> ZoneInfo:
    """The zone, from where the sites' zones come from: the pinned package, never the host.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return SiteZones({}, name).zone_of("")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone, such as America/Chicago") from None


def brings_its_offset(form: str) -> bool:
    """Whether a time of this format needs no zone."""
    return form in EPOCH_FORMATS or "%z" in form.replace("%%", "")


def read_time(value: Any, form: str, zone: ZoneInfo | None, fold: Fold | None) -> str:
    """The RFC 3339 time that a value stands for; `form` is one of `strptime`, or one of `EPOCH_FORMATS`.

    Raises:
        NoInstant: it stands for none.
    """
    try:
        return _from_epoch(value, EPOCH_FORMATS[form]) if form in EPOCH_FORMATS else _from_text(value, form, zone, fold)
    except OverflowError:
        raise NoInstant("it is out of range") from None


def _from_text(value: Any, form: str, zone: ZoneInfo | None, fold: Fold | None) -> str:
    if not isinstance(value, str):
        raise NoInstant("it is no text")
    try:
        wall = datetime.strptime(value.strip(), form)  # noqa: DTZ007 (its zone comes next)
    except ValueError:
        raise NoInstant(f"it is not of the format {form}") from None
    if wall.tzinfo is not None:
        return _written(wall)
    if zone is None:
        raise NoInstant("it has no offset, and no zone is named")
    return _written(_placed(wall, zone, fold))


def _placed(wall: datetime, zone: ZoneInfo, fold: Fold | None) -> datetime:
    candidates = sorted(wall.replace(tzinfo=zone, fold=n).astimezone(UTC) for n in (0, 1))
    if candidates[0] != candidates[1] and fold is None:
        there = candidates[0].astimezone(zone).replace(tzinfo=None) == wall
        what = "exists twice" if there else "does not exist"
        raise NoInstant(f"this wall time {what} in {zone.key} (daylight saving); `fold` says which instant is meant")
    return candidates[0 if fold != "later" else 1].astimezone(zone)


def _from_epoch(value: Any, ms_per_unit: int) -> str:
    text = value.strip() if isinstance(value, str) else str(value) if type(value) is int else ""
    if not _DIGITS.fullmatch(text):
        raise NoInstant("it is no whole number")
    return rfc3339(int(text) * ms_per_unit)


def _written(moment: datetime) -> str:
    offset = moment.utcoffset() or timedelta(0)
    if offset % timedelta(minutes=1):  # local mean time of the 19th century: RFC 3339 cannot write it
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
