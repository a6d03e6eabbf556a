"""The static rules of the intake: what a verdict depends on besides the record."""

import json
import re
import unicodedata
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from fastavro import parse_schema, schemaless_reader

from runtime.refusals import SettingsRefused
from runtime.settings import IntakeSettings, milliseconds
from schemas.codecs import parsed_schema
from schemas.errors import ErrorClass
from schemas.sources import EVENT_SCHEMAS, Source
from streams.faults import Fault


class SchemaRegistry:
    """The Avro writer schemas that are known, by id. Static: a verdict must not depend on when it is asked for."""

    def __init__(self, schemas: dict[int, Any] | None = None) -> None:
        self.content = {str(number): schema for number, schema in sorted((schemas or {}).items())}
        self._parsed = {number: parse_schema(schema) for number, schema in (schemas or {}).items()}

    @classmethod
    def load(cls, directory: Path | None) -> Self:
        """Every `<id>.avsc` of a directory.

        Raises:
            SettingsRefused: the directory or a schema in it cannot be read.
        """
        if directory is None:
            return cls()
        try:
            files = {int(file.stem): json.loads(file.read_text("utf-8")) for file in directory.glob("*.avsc")}
            return cls(files)
        except Exception as error:
            raise SettingsRefused(f"intake.schema_dir {directory}: expected <id>.avsc files: {error}") from error

    def decode(self, source: Source, value: bytes) -> dict[str, Any]:
        """A record in the Confluent wire format: a zero byte, the schema's id in four bytes, the datum.

        Raises:
            Fault: the id is not known, or the datum does not resolve to the source's event schema.
        """
        number = int.from_bytes(value[1:5], "big") if len(value) >= 5 else -1
        writer = self._parsed.get(number)
        if writer is None:
            raise Fault(ErrorClass.UNKNOWN_SCHEMA, "$", f"no Avro schema with id {number} is known here", "decode")
        datum = BytesIO(value[5:])
        try:
            event = schemaless_reader(datum, writer, parsed_schema(EVENT_SCHEMAS[source]))
        except Exception as error:
            message = f"does not resolve to {EVENT_SCHEMAS[source]}: {error!r}"
            raise Fault(ErrorClass.INCOMPATIBLE_SCHEMA, "$", message, "decode") from None
        if datum.read(1) or not isinstance(event, dict):
            raise Fault(ErrorClass.INCOMPATIBLE_SCHEMA, "$", "bytes are left over after the datum", "decode")
        return event


@dataclass(frozen=True)
class IntakeRules:
    """What a record must be like. `content` is all of it that a verdict depends on."""

    sku_pattern: str
    unit_codes: frozenset[str]
    max_future_skew_ms: int
    registry: SchemaRegistry = field(default_factory=SchemaRegistry)

    @classmethod
    def from_settings(cls, settings: IntakeSettings) -> Self:
        """
        Raises:
            SettingsRefused: see `SchemaRegistry.load`.
        """
        registry = SchemaRegistry.load(settings.schema_dir)
        codes = frozenset(settings.unit_codes)
        return cls(settings.sku_pattern, codes, milliseconds(settings.max_future_skew), registry)

    @property
    def sku_regex(self) -> re.Pattern[str]:
        """The compiled pattern (the `re` module remembers it)."""
        return re.compile(self.sku_pattern)

    def content(self) -> dict[str, Any]:
        """JSON values for the settings hash. Canonical SKUs depend on the interpreter's Unicode tables, too."""
        return {
            "sku_pattern": self.sku_pattern,
            "unit_codes": sorted(self.unit_codes),
            "max_future_skew_ms": self.max_future_skew_ms,
            "schemas": self.registry.content,
            "unicode": unicodedata.unidata_version,
        }
