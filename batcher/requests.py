"""Requests to the API: what they are made of, and what is wrong with them. Pure."""

from collections.abc import Collection
from typing import Annotated, TypeVar

import msgspec

from schemas.instants import parse_rfc3339

MAX_SKUS = 20_000
MAX_SKU_LENGTH = 256  # characters
MAX_ROWS = 100_000
DEFAULT_HORIZON = "rolling_30d"

SkuText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SKU_LENGTH)]


class BadRequest(ValueError):
    """The request is wrong; the message says what."""


class ComputeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/velocity/compute`. `as_of` is RFC 3339; left out, the newest run answers."""

    skus: Annotated[tuple[SkuText, ...], msgspec.Meta(min_length=1, max_length=MAX_SKUS)]
    window: str = DEFAULT_HORIZON
    site_id: str | None = None
    as_of: str | None = None


class RecalcRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/recalc`. Without a site, all sites of the worker."""

    as_of: str
    site_id: str | None = None
    horizon: str = DEFAULT_HORIZON
    partial: bool = False


class ResumeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/sinks/resume`."""

    sink: str


class DeliverRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/deliveries`. Without a sink, all; without a site, all of the worker. `now`: whatever the schedule
    says."""

    sink: str | None = None
    site_id: str | None = None
    full: bool = False
    now: bool = False


class ChunkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/chunks/retry`. The site says which worker has it."""

    chunk_id: str
    site_id: str | None = None


class DiscardRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /api/v1/chunks/discard`."""

    chunk_id: str
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    site_id: str | None = None


R = TypeVar("R", bound=msgspec.Struct)


def read_body(body: bytes, kind: type[R]) -> R:
    """
    Raises:
        BadRequest: the body is no such request.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadRequest(str(error)) from error


def read_instant(name: str, text: str | None) -> int | None:
    """UTC milliseconds of a time in RFC 3339; None where there is none.

    Raises:
        BadRequest: it is no such time.
    """
    try:
        return None if text is None else parse_rfc3339(text)
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from error


def read_horizon(name: str, text: str, known: Collection[str]) -> str:
    """
    Raises:
        BadRequest: there is no such horizon.
    """
    if text not in known:
        raise BadRequest(f"{name}: there is no horizon {text!r}; there are {', '.join(sorted(known))}")
    return text


def read_text(name: str, text: str | None) -> str:
    """
    Raises:
        BadRequest: it is missing or empty.
    """
    if not text or not text.strip():
        raise BadRequest(f"{name}: must be given")
    return text


def read_limit(text: str | None, default: int) -> int:
    """How many rows are wanted at most.

    Raises:
        BadRequest: it is no number from 1 on.
    """
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_ROWS):
        raise BadRequest(f"limit: {text!r} is not a number from 1 to {MAX_ROWS}")
    return int(text)
