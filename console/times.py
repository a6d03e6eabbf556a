"""Times in options: ISO 8601 durations, days and weeks, RFC 3339 instants; what is none is named with its option."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from console.errors import UsageError
from schemas.instants import parse_rfc3339


def parse_duration(option: str, text: str) -> timedelta:
    """`PT10M`, `P1D`.

    Raises:
        UsageError: it is no duration, or none above zero; names the option.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        duration = TypeAdapter(timedelta).validate_python(text)
    except ValidationError:
        duration = timedelta(0)
    if duration <= timedelta(0):
        raise UsageError(f"{option} {text!r}: write an ISO 8601 duration, such as PT10M")
    return duration


def parse_instant(option: str, text: str) -> int:
    """`2011-06-01T00:00:00+01:00`, as UTC milliseconds.

    Raises:
        UsageError: it is no RFC 3339 instant, or has no offset; names the option.
    """
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r}: write an instant with its offset, such as 2011-06-01T00:00:00+01:00"
        ) from None


def parse_day(option: str, text: str) -> date:
    """`2026-10-25`, or `2026-W43` for that week's Monday.

    Raises:
        UsageError: it is neither; names the option.
    """
    try:
        return date.fromisoformat(text)  # a week is its Monday
    except ValueError:
        raise UsageError(f"{option} {text!r}: write a day such as 2026-10-25, or a week such as 2026-W43") from None


def wall_clock(at_ms: int, zone: ZoneInfo) -> datetime:
    """What the wall clock of a zone shows at an instant."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(zone)
