"""Times as people write and read them: ISO 8601 durations, RFC 3339 instants. Milliseconds of UTC inside."""

from datetime import UTC, datetime, timedelta

from console.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise UsageError(f"{option} {text!r}: write an instant with its offset, such as 2011-06-01T00:00:00+01:00")
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def instant_text(at_ms: int | None) -> str:
    """An instant as RFC 3339 in UTC, without a fraction where it has none; empty for None."""
    if at_ms is None:
        return ""
    instant = _EPOCH + timedelta(milliseconds=at_ms)
    return instant.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds").replace("+00:00", "Z")
