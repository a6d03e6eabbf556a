"""What single settings may be, and what all sections of them have in common."""

from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict

from runtime.sizes import parse_bytes
from schemas.wall_spans import WallSpan
from schemas.windows import WindowSpec


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than nothing")
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is not an IANA time zone, such as Europe/London") from error
    return name


def _window_spec(text: str) -> str:
    WindowSpec.parse(text)
    return text


def _size(text: str) -> str:
    parse_bytes(text)
    return text


def _wall_span(text: str) -> str:
    WallSpan.parse(text)
    return text


Duration = Annotated[timedelta, AfterValidator(_positive)]
Zone = Annotated[str, AfterValidator(_zone)]
WindowText = Annotated[str, AfterValidator(_window_spec)]
WallSpanText = Annotated[str, AfterValidator(_wall_span)]
Size = Annotated[str, AfterValidator(_size)]  # as DuckDB writes it: 2GB, 512MiB


class Section(BaseModel):
    """A section of settings: a name that it does not know is refused."""

    model_config = ConfigDict(extra="forbid")
