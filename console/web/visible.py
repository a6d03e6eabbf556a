"""Texts and bytes of strangers as a page may show them: nothing in them acts, and nothing in them hides. Pure.

Escaping HTML is the templates' matter. What it leaves are characters that show nothing, or turn the text around them:
they are shown by name.
"""

import unicodedata

LONGEST_CELL = 160  # characters of a value in a table

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_CONTROL_PICTURES = 0x2400
_DELETE = 0x7F


def visible(text: str, *, lines: bool = False) -> str:
    """A text with each character that shows nothing as a sign of its own; line ends stay where `lines` are meant."""
    if text.isprintable():
        return text
    return "".join(sign if sign == "\n" and lines else _sign(sign) for sign in text)


def _sign(sign: str) -> str:
    code = ord(sign)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == _DELETE:
        return "␡"
    return f"⟨U+{code:04X}⟩" if unicodedata.category(sign) in _HIDDEN else sign


def clipped(text: str, longest: int = LONGEST_CELL) -> str:
    """The beginning of a text."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def one_line(data: bytes | None, longest: int = LONGEST_CELL) -> str:
    """The beginning of some bytes for a table: what is no UTF-8 as `\\xff`."""
    if data is None:
        return "(null)"
    return clipped(visible(data[: 4 * longest].decode("utf-8", "backslashreplace")), longest)
