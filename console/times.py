"""Times in options: ISO 8601 durations, RFC 3339 instants; what is none is named with its option."""

from datetime import timedelta

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
