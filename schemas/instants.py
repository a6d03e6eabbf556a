"""Instants: UTC milliseconds inside, RFC 3339 outside."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339(at_ms: int) -> str:
    """`2011-05-01T00:00:00Z`; milliseconds are written where there are any."""
    moment = (_EPOCH + timedelta(milliseconds=at_ms)).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds") + "Z"


def parse_rfc3339(text: str) -> int:
    """UTC milliseconds of a time with `Z` or an offset; what is finer is cut off.

    Raises:
        ValueError: the text is no such time.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"{text!r} is no RFC 3339 time, such as 2011-05-01T00:00:00Z")
    return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(milliseconds=1)
