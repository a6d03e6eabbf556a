"""As much of PromQL as tells which series an expression reads."""

import re

_BLANKED = re.compile(
    r'"(?:[^"\\]|\\.)*"'  # strings
    r"|\{[^}]*\}"  # label matchers, once their strings are gone
    r"|\[[^\]]*\]"  # ranges
    r"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"  # labels of an aggregation or a match
)
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset", "inf", "nan"}


def metric_names(expression: str) -> set[str]:
    """The series that an expression reads: identifiers that are no function, no keyword and no label."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    text = _BLANKED.sub(" ", text)
    found: set[str] = set()
    for match in _NAME.finditer(text):
        before, after = text[: match.start()][-1:], text[match.end() :].lstrip()
        if match[0].lower() not in _WORDS and not after.startswith("(") and not before.isdigit():
            found.add(match[0])
    return found
