"""How the parts of the intake say that a record is wrong."""

import json
from typing import Any

from schemas.errors import ErrorClass

_CLIP = 60  # characters of a value that a message shows


class RecordFault(Exception):
    """The record is not what the contract asks for; `path` is the JSON path of the fault, `$` for the whole record."""

    def __init__(self, error_class: ErrorClass, message: str, path: str = "$") -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message
        self.path = path


def clipped(text: str, limit: int = _CLIP) -> str:
    """The beginning of a text, with an ellipsis where something was cut."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def shown(value: Any) -> str:
    """A value as a message shows it: its JSON type, and its own beginning where that is short."""
    match value:
        case None:
            return "null"
        case bool():
            return json.dumps(value)
        case str():
            return f"text {json.dumps(clipped(value), ensure_ascii=False)}"
        case int() | float():
            return f"number {clipped(str(value))}"
        case dict():
            return "an object"
        case list():
            return "an array"
        case _:
            return f"a {type(value).__name__}"
