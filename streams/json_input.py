"""Bytes to a JSON value, as RFC 8259 has it and no more.

Python's own parser is lenient in places; what it would let pass is refused here, always for the same reason:

| input | verdict |
|---|---|
| bytes that are not UTF-8; an escape that is half a surrogate pair, in any text or key | `encoding` |
| `NaN`, `Infinity`, a byte order mark, more than 100 levels of arrays and objects | `not_json` |

Of a key that stands twice, the last value counts.
"""

import json
import re
from typing import Any, NoReturn

from schemas.errors import ErrorClass
from streams.record_fault import RecordFault, clipped

NESTING_LIMIT = 100
_BYTE_ORDER_MARK = "\ufeff"
# Digits that any interpreter converts, whatever its limit is set to (see `sys.set_int_max_str_digits`).
_CONVERTIBLE_DIGITS = 640

# A text, with its closing quote where it has one, or a bracket. An unclosed text is read to the end, once.
_TEXT_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(?P<half>u[dD][89a-fA-F])|.)", re.DOTALL)


def read_json(data: bytes) -> Any:
    """The JSON value that the bytes are.

    Raises:
        RecordFault: `encoding` or `not_json`, at `$`.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {data[error.start]:#04x} at {error.start}"
        raise RecordFault(ErrorClass.ENCODING, f"found {found}, expected UTF-8 ({error.reason})") from None
    if nests_deeper(text, NESTING_LIMIT):
        raise RecordFault(ErrorClass.NOT_JSON, f"arrays and objects nest deeper than {NESTING_LIMIT} levels")
    value = _parse(text)
    if "\\u" in text and any(escape["half"] for escape in _ESCAPE.finditer(text)):
        raise RecordFault(ErrorClass.ENCODING, "an escape is half a surrogate pair, which UTF-8 cannot hold")
    return value


def nests_deeper(text: str, limit: int) -> bool:
    """Whether arrays and objects nest deeper than `limit`.

    Text that is no JSON may be called deeper than a parser would get before it gives up, never less deep.
    """
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(text):
        first = text[found.start()]
        depth += (first in "[{") - (first in "]}")
        if depth > limit:
            return True
    return False


def _parse(text: str) -> Any:
    if text.startswith(_BYTE_ORDER_MARK):
        raise RecordFault(ErrorClass.NOT_JSON, "found a byte order mark, expected JSON without one")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        found = json.dumps(clipped(text[error.pos :], 20), ensure_ascii=False) if text[error.pos :] else "the end"
        raise RecordFault(ErrorClass.NOT_JSON, f"{error.msg} at character {error.pos}, found {found}") from None


def _integer(digits: str) -> int:
    """An integer; of one beyond any bound only the first digits, which are as far beyond it."""
    return int(digits[:_CONVERTIBLE_DIGITS])


def _refuse_constant(name: str) -> NoReturn:
    raise RecordFault(ErrorClass.NOT_JSON, f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse_constant)
