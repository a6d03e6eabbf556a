"""The three sources of WMS events, as data: what else there is to know about a source hangs off this table."""

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """A kind of WMS event; the value is its name on the command line and in manifests."""

    ORDERS = "orders"
    RETURNS = "returns"
    CYCLE_COUNTS = "cycle-counts"


class FieldKind(StrEnum):
    """How a field's value is checked; each kind has one rule in the intake."""

    IDENTIFIER = "identifier"  # string of bounded length
    SITE = "site"  # string, `SITE_PATTERN`
    SKU = "sku"  # string, canonicalised, then the setting `sku_pattern`
    TIME = "time"  # RFC 3339 with offset (Avro: timestamp-millis)
    UNIT = "unit"  # string, one of the setting `unit_codes`
    INTEGER = "integer"
    DECIMAL = "decimal"  # number with at most three decimals


SITE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
QUANTITY_LIMIT = 1e9
LONG_LIMIT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event: its kind, whether null is allowed, and inclusive bounds.

    `minimum` and `maximum` bound a string's length or a number's value; `above` is an exclusive lower bound.
    """

    name: str
    kind: FieldKind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None


def _text(name: str, maximum: int, *, nullable: bool = False, minimum: int = 1) -> Field:
    return Field(name, FieldKind.IDENTIFIER, nullable, minimum, maximum)


_COMMON = (
    _text("event_id", 64),
    Field("site_id", FieldKind.SITE),
    Field("sku", FieldKind.SKU),
    Field("event_time", FieldKind.TIME),
)
_QUANTITY = Field("quantity", FieldKind.DECIMAL, above=0, maximum=QUANTITY_LIMIT)
_UOM = Field("uom", FieldKind.UNIT)

#: Every field of every source in the order of the event contract; the first fault in this order is the verdict.
FIELDS: dict[Source, tuple[Field, ...]] = {
    Source.ORDERS: (
        *_COMMON,
        _QUANTITY,
        _UOM,
        _text("order_id", 64),
        Field("line", FieldKind.INTEGER, minimum=1, maximum=LONG_LIMIT),
        _text("channel", 32, nullable=True),
        _text("promo_id", 64, nullable=True),
    ),
    Source.RETURNS: (
        *_COMMON,
        _QUANTITY,
        _UOM,
        _text("order_id", 64, nullable=True),
        Field("line", FieldKind.INTEGER, nullable=True, minimum=1, maximum=LONG_LIMIT),
        _text("channel", 32, nullable=True),
        _text("return_id", 64),
        _text("reason", 256, nullable=True, minimum=0),
    ),
    Source.CYCLE_COUNTS: (
        *_COMMON,
        _UOM,
        _text("count_id", 64),
        Field("variance", FieldKind.DECIMAL, minimum=-QUANTITY_LIMIT, maximum=QUANTITY_LIMIT),
        Field("book_quantity", FieldKind.DECIMAL, nullable=True, minimum=0, maximum=QUANTITY_LIMIT),
        _text("location_id", 64, nullable=True, minimum=0),
        _text("reason", 256, nullable=True, minimum=0),
    ),
}

EVENT_SCHEMAS = {
    Source.ORDERS: "order_event",
    Source.RETURNS: "return_event",
    Source.CYCLE_COUNTS: "cycle_count_event",
}
BATCH_SCHEMAS = {
    Source.ORDERS: "order_batch",
    Source.RETURNS: "return_batch",
    Source.CYCLE_COUNTS: "cycle_count_batch",
}

#: What a batch record carries beyond its event: where it came from and the window it fell into.
BATCH_EXTRAS = ("source_partition", "source_offset", "window_start")
