"""What a dead letter's value says, as far as it can be read: beside its bytes, never instead of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import msgspec
from fastavro import schemaless_reader

from streams.avro_input import HEADER_BYTES, MAGIC, WriterSchema

TEXT_SHOWN = 1 << 16


@dataclass(frozen=True, slots=True)
class Decoded:
    """`form` says what the value is read as; `content` is what it says then, None where there are but bytes."""

    form: str
    content: Any = None

    @property
    def text(self) -> str | None:
        """The content set out on lines; None where there is none."""
        if self.content is None or isinstance(self.content, str):
            return self.content
        return msgspec.json.format(msgspec.json.encode(self.content, enc_hook=repr), indent=2).decode()


def decode_value(value: bytes | None, schemas: Mapping[int, WriterSchema]) -> Decoded:
    """JSON, Avro of a known schema, or text; never raises, whatever the bytes are."""
    if value is None:
        return Decoded("no value (a tombstone)")
    if value[:1] == MAGIC and len(value) >= HEADER_BYTES:
        return _avro(value, schemas)
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        return Decoded(f"no UTF-8 from byte {error.start} on")
    try:
        if len(value) <= TEXT_SHOWN:
            return Decoded("JSON", msgspec.json.format(value, indent=2).decode())
    except (msgspec.DecodeError, RecursionError):
        pass
    return Decoded("text", text[:TEXT_SHOWN])


def _avro(value: bytes, schemas: Mapping[int, WriterSchema]) -> Decoded:
    schema_id = int.from_bytes(value[len(MAGIC) : HEADER_BYTES], "big")
    if schema_id not in schemas:
        return Decoded(f"Avro of schema {schema_id}, which is not known (setting intake.schema_dir)")
    try:
        body: Any = BytesIO(value[HEADER_BYTES:])
        return Decoded(f"Avro of schema {schema_id}", schemaless_reader(body, dict(schemas[schema_id].parsed), None))
    except Exception as error:  # on bytes of another schema fastavro may stumble over anything
        return Decoded(f"Avro of schema {schema_id}, but the bytes do not fit it ({type(error).__name__})")
