"""Reference data: what gives events their meaning. One record per row, effective-dated, never deleted.

On the wire a record is compact JSON `{"kind": …}` under the key `kind/id/valid_from`; a later record under the same key
replaces the earlier one. A missing site or SKU means all; a missing `valid_from` or `start` always, a missing `end`
for ever. Numbers are decimals, written as text, with at most six decimals.
"""

import unicodedata
from decimal import Decimal
from typing import Annotated, ClassVar
from urllib.parse import quote

import msgspec

from schemas.instants import rfc3339

#: Factors and units are below this, so that a quantity in base units stays exact in 18 digits.
FACTOR_LIMIT = 1_000_000
FACTOR_DECIMALS = 6

#: UTC milliseconds; years 1970 to 2999, as for events.
INSTANT_LIMIT = 32_503_680_000_000
Instant = Annotated[int, msgspec.Meta(ge=0, lt=INSTANT_LIMIT)]


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    #: Fields that tell records of a kind apart, without the one that dates them.
    identity: ClassVar[tuple[str, ...]]
    dated_by: ClassVar[str] = "valid_from"

    @property
    def key(self) -> str:
        """Key of the record on the reference topic: `kind/id/valid_from`, the parts of the id escaped."""
        since = getattr(self, self.dated_by)
        parts = (quote(str(getattr(self, name) or ""), safe="") for name in self.identity)
        return "/".join((str(self.__struct_config__.tag), *parts, "" if since is None else rfc3339(since)))


class Item(_Record, frozen=True, kw_only=True, tag="item"):
    """One unit of an item: how many base units it holds. The base unit itself has 1."""

    identity: ClassVar[tuple[str, ...]] = ("sku", "uom")
    sku: str
    uom: str
    base_units: Decimal
    valid_from: Instant | None = None

    def __post_init__(self) -> None:
        check_factor("base_units", self.base_units)
        check_canonical(self.sku)


class Promotion(_Record, frozen=True, kw_only=True, tag="promotion"):
    """Demand is multiplied by `uplift` during `[start, end)`."""

    identity: ClassVar[tuple[str, ...]] = ("promo_id", "site_id", "sku")
    dated_by: ClassVar[str] = "start"
    promo_id: str
    site_id: str | None = None
    sku: str | None = None
    start: Instant | None = None
    end: Instant | None = None
    uplift: Decimal

    def __post_init__(self) -> None:
        check_factor("uplift", self.uplift)
        check_canonical(self.sku)
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("end must be later than start")


class Channel(_Record, frozen=True, kw_only=True, tag="channel"):
    """What a line of a sales channel counts."""

    identity: ClassVar[tuple[str, ...]] = ("site_id", "channel")
    site_id: str | None = None
    channel: str
    weight: Decimal
    valid_from: Instant | None = None

    def __post_init__(self) -> None:
        check_factor("weight", self.weight, zero_allowed=True)


class Season(_Record, frozen=True, kw_only=True, tag="season"):
    """Demand of a calendar month relative to the year's average."""

    identity: ClassVar[tuple[str, ...]] = ("site_id", "sku", "month")
    site_id: str | None = None
    sku: str | None = None
    month: int
    index: Decimal
    valid_from: Instant | None = None

    def __post_init__(self) -> None:
        check_factor("index", self.index)
        check_canonical(self.sku)
        if not 1 <= self.month <= 12:
            raise ValueError("month must be 1 to 12")


ReferenceRecord = Item | Promotion | Channel | Season

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[ReferenceRecord] = msgspec.json.Decoder(ReferenceRecord)


def encode_reference(record: ReferenceRecord) -> bytes:
    """Compact JSON, `kind` first."""
    return _ENCODER.encode(record)


def decode_reference(data: bytes) -> ReferenceRecord:
    """The inverse of `encode_reference`.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the bytes are no reference record.
    """
    return _DECODER.decode(data)


def canonical_sku(sku: str) -> str:
    """NFKC, trimmed, upper case: the form in which SKUs are compared everywhere."""
    return unicodedata.normalize("NFKC", sku).strip().upper()


def check_canonical(sku: str | None) -> None:
    """
    Raises:
        ValueError: the SKU is empty or not in canonical form.
    """
    if sku is not None and (not sku or sku != canonical_sku(sku)):
        raise ValueError(f"sku {sku!r} is not in canonical form")


def check_factor(name: str, value: Decimal, *, zero_allowed: bool = False) -> None:
    """
    Raises:
        ValueError: the value is not a number within the bounds of a factor.
    """
    if not value.is_finite() or value < 0 or value >= FACTOR_LIMIT or (value == 0 and not zero_allowed):
        raise ValueError(f"{name} must be {'at least' if zero_allowed else 'above'} 0 and below {FACTOR_LIMIT}")
    if value != round(value, FACTOR_DECIMALS):
        raise ValueError(f"{name} must have at most {FACTOR_DECIMALS} decimals")
