"""The velocity of one SKU, as published on the coefficients topic: `coefficient.avsc`, as compact JSON in its order."""

import msgspec


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
    forward_lines: float
    stable_class: str
    count_accuracy: float | None

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
