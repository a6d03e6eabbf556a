"""Secrets in texts that are shown: an error of another system may repeat an address with a password. Pure."""

import re

MASK = "***"

_SECRETS = (
    re.compile(r"(?<=://)[^/\s@'\"]+(?=@)"),  # user and password of an address
    re.compile(r"(?i)(?<=\bbearer\s)[^\s'\"]+"),
    re.compile(r"\bvelocity_[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),  # our own tokens
    re.compile(r"(?i)(?<=password=)[^\s&;,'\"]+|(?<=secret=)[^\s&;,'\"]+|(?<=token=)[^\s&;,'\"]+"),
)


def masked(text: str) -> str:
    """The text with what looks like a secret replaced by `***`."""
    for secret in _SECRETS:
        text = secret.sub(MASK, text)
    return text
