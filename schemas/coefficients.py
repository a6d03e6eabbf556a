"""The velocity of one SKU, as published on the coefficients topic: `coefficient.avsc`, as compact JSON in its order."""

from datetime import UTC, datetime, timedelta

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Coefficient(msgspec.Struct, frozen=True, kw_only=True):
    """One row of results. Units are base units; `as_of` and `first_seen` are RFC 3339 in UTC."""

    site_id: str
    sku: str
    horizon: str
    as_of: str
    order_lines: int
    units_ordered: float
    units_returned: float
    net_units: float
    lines_per_day: float
    units_per_day: float
    normalized_lines: float
    velocity_coefficient: float
    abc_class: str
    demand_cv: float | None
    xyz_class: str
    variance_units: float
    inventory_accuracy: float | None
    first_seen: str
    provisional: bool
    coverage: float | None
    run_id: str

    @property
    def key(self) -> str:
        """Key of the record on the coefficients topic."""
        return coefficient_key(self.site_id, self.horizon, self.sku)


#: The columns of results, in their order.
COLUMNS = Coefficient.__struct_fields__

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Coefficient)


def encode_coefficient(coefficient: Coefficient) -> bytes:
    """Compact JSON in the order of the fields."""
    return _ENCODER.encode(coefficient)


def decode_coefficient(data: bytes | str) -> Coefficient:
    """The inverse of `encode_coefficient`.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the bytes are no coefficient.
    """
    return _DECODER.decode(data)


def coefficient_key(site_id: str, horizon: str, sku: str) -> str:
    """`site_id/horizon/sku`. Only the last part may have a `/` in it."""
    return f"{site_id}/{horizon}/{sku}"


def parse_coefficient_key(key: str) -> tuple[str, str, str]:
    """Inverse of `coefficient_key`: site, horizon, SKU.

    Raises:
        ValueError: the key has fewer than three parts.
    """
    site_id, horizon, sku = key.split("/", 2)
    return site_id, horizon, sku


def rfc3339(at_ms: int) -> str:
    """UTC milliseconds as `2011-05-01T00:00:00Z`; milliseconds are written where there are any."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds") + "Z"


def parse_rfc3339(text: str) -> int:
    """RFC 3339 with `Z` or an offset, as UTC milliseconds; further digits are cut off.

    Raises:
        ValueError: the text is no such time, or says nothing of its offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset: write Z for UTC")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
