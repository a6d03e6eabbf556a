"""What is said between this system and a WMS that takes coefficients over HTTP: one request for each chunk.

    POST /api/v1/slotting/coefficients
    Velocity-Schema-Version: 1
    Idempotency-Key: <64 hexadecimal digits>     the same chunk again, from whichever worker: to be applied once
    X-Request-ID: <the idempotency key's first 32 digits>-<attempt>

A request replaces the rows of the SKUs it names and removes those it names as `removed`. It says nothing of any other,
but where it `covers` a range of SKUs: of these, only those that it names are there.
The WMS answers 200 with a `Receipt`, also when it has applied the same key before.
"""

from typing import Literal

import msgspec

SCHEMA_VERSION = 1
PATH = "/api/v1/slotting/coefficients"
VERSION_HEADER = "Velocity-Schema-Version"
IDEMPOTENCY_HEADER = "Idempotency-Key"
REQUEST_ID_HEADER = "X-Request-ID"


class DeliveredRow(msgspec.Struct, frozen=True, kw_only=True):
    """The velocity of one SKU: a `Coefficient` without what the whole chunk has in common."""

    sku: str
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
    forward_lines: float
    stable_class: str
    count_accuracy: float | None


class SkuRange(msgspec.Struct, frozen=True):
    """The SKUs in `(after, until]` in the order of code points; without a bound where that is null."""

    after: str | None
    until: str | None

    def holds(self, sku: str) -> bool:
        """Whether the SKU is one of them."""
        return (self.after is None or sku > self.after) and (self.until is None or sku <= self.until)


class DeliveryChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a site's coefficients to those of a run, of some SKUs; `chunk` counts from 1 to `chunks`."""

    schema_version: int = SCHEMA_VERSION
    site_id: str
    horizon: str
    as_of: str
    run_id: str
    coverage: float | None
    chunk: int
    chunks: int
    rows: list[DeliveredRow]
    removed: list[str]
    covers: list[SkuRange] = []


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a WMS answers; fields beyond these are its own affair."""

    schema_version: int
    idempotency_key: str
    status: Literal["applied", "duplicate"]
    rows: int
    removed: int
