"""JSON values: which there are, and how a message shows one. Pure."""

import math
from decimal import Decimal
from typing import Any

import msgspec

SHOWN = 40
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def read_exact(data: bytes) -> Any:
    """The JSON value of some bytes; numbers keep their digits.

    Raises:
        ValueError: they are no JSON, nest too deep, or hold a number beyond any use.
    """
    try:
        return _DECODER.decode(data)
    except (ArithmeticError, RecursionError) as error:
        raise ValueError(f"a number or the nesting is out of any range ({type(error).__name__})") from None


def write_exact(value: Any) -> bytes:
    """The compact JSON of a value of `read_exact`."""
    return _ENCODER.encode(value)


def require_json(value: Any) -> None:
    """
    Raises:
        ValueError: TOML can write it and JSON cannot, such as a date.
    """
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            require_json(part)
    elif isinstance(value, float | Decimal) and not math.isfinite(value):
        raise ValueError(f"value: {value} is no JSON number")
    elif not isinstance(value, str | bool | int | float | Decimal | None):
        raise ValueError(f"value: a {type(value).__name__} is no JSON value; write it as a text")


def shown(value: Any) -> str:
    """The beginning of a JSON value, for a message."""
    text = write_exact(value).decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
