"""The settings that decide verdicts, as the intake wants them."""

import json
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from runtime.refusals import SettingsRefused
from runtime.settings import IntakeSettings, milliseconds
from schemas.sources import FIELDS
from streams.avro_input import WriterSchema

#: Raise it with any change of the intake that gives some record another verdict or other values.
REVISION = 1

_MAX_SCHEMA_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What a verdict rests on besides the record. `avro_schemas`: the writer schemas by id."""

    sku_pattern: str
    unit_codes: frozenset[str]
    max_future_skew_ms: int
    avro_schemas: dict[int, WriterSchema] = field(default_factory=dict[int, WriterSchema])

    @classmethod
    def from_settings(cls, settings: IntakeSettings) -> Self:
        """Reads the schema directory.

        Raises:
            SettingsRefused: the directory or a schema in it is wrong; names the file.
        """
        return cls(
            sku_pattern=settings.sku_pattern,
            unit_codes=frozenset(settings.unit_codes),
            max_future_skew_ms=milliseconds(settings.max_future_skew),
            avro_schemas=load_schema_dir(settings.schema_dir) if settings.schema_dir else {},
        )

    def content(self) -> dict[str, Any]:
        """Everything that verdicts and accepted values rest on, as JSON; the same for the same rules."""
        return {
            "revision": REVISION,
            "sku_pattern": self.sku_pattern,
            "unit_codes": sorted(self.unit_codes),
            "max_future_skew_ms": self.max_future_skew_ms,
            "avro_schemas": {str(number): self.avro_schemas[number].text for number in sorted(self.avro_schemas)},
            "fields": {source.value: [asdict(rule) for rule in fields] for source, fields in FIELDS.items()},
            "unicode": unicodedata.unidata_version,  # NFKC and upper case of a SKU
        }


def load_schema_dir(directory: Path) -> dict[int, WriterSchema]:
    """The writer schemas by id: the files `<id>.avsc`; files with other endings are none of ours.

    Raises:
        SettingsRefused: the directory cannot be read, a name is not an id, or a file is not a schema we can use.
    """
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix == ".avsc")
    except OSError as error:
        raise SettingsRefused(f"schema_dir {directory}: {error.strerror}") from error
    return {_schema_id(path): _load(path) for path in files}


def _schema_id(path: Path) -> int:
    digits = path.stem
    if not (digits.isascii() and digits.isdigit()) or str(int(digits)) != digits or int(digits) > _MAX_SCHEMA_ID:
        raise SettingsRefused(f"schema_dir: {path} must be named after its schema id, such as 17.avsc")
    return int(digits)


def _load(path: Path) -> WriterSchema:
    try:
        return WriterSchema.parse(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise SettingsRefused(f"schema_dir: {path}: {error}") from error
