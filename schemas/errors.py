"""The closed set of reasons for which a record becomes a dead letter."""

from enum import StrEnum


class ErrorClass(StrEnum):
    """Why a record was refused. Adding a class is a change of the wire contract."""

    TOO_LARGE = "too_large"
    ENCODING = "encoding"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    MISSING_FIELD = "missing_field"
    NULL_FIELD = "null_field"
    WRONG_TYPE = "wrong_type"
    BAD_FORMAT = "bad_format"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_UNIT = "unknown_unit"
    FUTURE_EVENT_TIME = "future_event_time"
    UNKNOWN_SCHEMA = "unknown_schema"
    INCOMPATIBLE_SCHEMA = "incompatible_schema"
    INTERNAL = "internal"


#: One sentence each, for `--help`, `dlq stats` and the documentation.
MEANINGS: dict[ErrorClass, str] = {
    ErrorClass.TOO_LARGE: "the record is larger than 1 MiB",
    ErrorClass.ENCODING: "the bytes are not UTF-8",
    ErrorClass.NOT_JSON: "the text is not one JSON value (RFC 8259: no NaN, no Infinity)",
    ErrorClass.NOT_OBJECT: "the JSON value is not an object",
    ErrorClass.MISSING_FIELD: "a mandatory field is absent",
    ErrorClass.NULL_FIELD: "a mandatory field is null",
    ErrorClass.WRONG_TYPE: "a field has the wrong JSON type; nothing is coerced",
    ErrorClass.BAD_FORMAT: "a text has the wrong form or length",
    ErrorClass.OUT_OF_RANGE: "a number or a time is outside its bounds, or has too many decimals",
    ErrorClass.UNKNOWN_UNIT: "the unit of measure is not one of the configured codes",
    ErrorClass.FUTURE_EVENT_TIME: "the event time is later than the record's Kafka timestamp allows",
    ErrorClass.UNKNOWN_SCHEMA: "the Avro schema id is not known here",
    ErrorClass.INCOMPATIBLE_SCHEMA: "the Avro bytes do not resolve to the event's schema",
    ErrorClass.INTERNAL: "the pipeline failed on this record; please report it",
}
