"""Sizes in bytes, as people and DuckDB write them."""

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(text: str) -> int:
    """A size such as `2GB` or `512 MiB` in bytes.

    Raises:
        ValueError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or found[2].upper() not in _UNITS:
        raise ValueError(f"{text!r} is no size; it must be like 2GB or 512MiB")
    return int(float(found[1]) * _UNITS[found[2].upper()])
