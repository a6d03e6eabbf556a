"""Applying a recipe to a refused record: its repaired bytes come out, or why there are none. Pure.

The original stays as it is; what is made is another value. Records in Avro (Confluent's wire format) are read by the
schema that they were written with, where it is known, and leave as JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from fastavro import schemaless_reader

from console.desk.json_pointer import NotThere
from console.desk.json_values import read_exact, write_exact
from console.desk.recipe_steps import AnyStep, Encoding, StepFailed
from console.desk.recipes import Recipe
from schemas.instants import rfc3339
from schemas.topics import MAX_RECORD_BYTES
from streams.avro_input import HEADER_BYTES, MAGIC, WriterSchema

_TIME = "event_time"

Schemas = Mapping[int, WriterSchema]


@dataclass(frozen=True, slots=True)
class Unrepairable:
    """Why a recipe does not repair a record: `step` counts from 1, 0 is the reading of the record.

    `reason` is the same for all records of a kind, `found` is what this one has there.
    """

    step: int
    reason: str
    found: str = ""

    @property
    def kind(self) -> str:
        """Step and reason: what the records of a kind have in common."""
        return f"step {self.step}: {self.reason}" if self.step else self.reason

    def __str__(self) -> str:
        return f"{self.kind} (found {self.found})" if self.found else self.kind


def repair(recipe: Recipe, value: bytes | None, schemas: Schemas) -> bytes | Unrepairable:
    """The value as the recipe makes it. Never raises; the same for the same value and recipe."""
    if value is None:
        return Unrepairable(0, "the record has no value")
    under_way = _Repair(schemas)
    try:
        return under_way.run(recipe, value)
    except StepFailed as error:
        return Unrepairable(under_way.step, error.reason, error.found)
    except NotThere as error:
        return Unrepairable(under_way.step, str(error))
    except Exception as error:  # of a step that met what nobody thought of: one record, not the whole repair
        return Unrepairable(under_way.step, f"{type(error).__name__}: {error}")


class _Repair:
    """One record under repair; `step` is the one that it is at."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self.step = 0

    def run(self, recipe: Recipe, value: bytes) -> bytes:
        encodings = [step for step in recipe.steps if isinstance(step, Encoding)]  # they come first
        for self.step, encoding in enumerate(encodings, 1):
            value = encoding.transcode(value)
        others = recipe.steps[len(encodings) :]
        if others:
            value = self._restructured(others, value, len(encodings))
        self.step = 0
        if len(value) > MAX_RECORD_BYTES:
            raise StepFailed(f"the repaired record is larger than {MAX_RECORD_BYTES:,} bytes", f"{len(value):,}")
        return value

    def _restructured(self, steps: Sequence[AnyStep], value: bytes, before: int) -> bytes:
        self.step = 0
        document = read_document(value, self._schemas)
        for self.step, step in enumerate(steps, before + 1):
            document = step.apply(document)
        return write_exact(document)


def read_document(value: bytes, schemas: Schemas) -> Any:
    """The JSON document that a value is, its numbers exact.

    Raises:
        StepFailed: it is neither JSON nor Avro of a known schema.
    """
    if value.startswith(MAGIC):
        return _read_avro(value, schemas)
    try:
        return read_exact(value)
    except ValueError as error:
        raise StepFailed("the record is no JSON", str(error)) from None


def _read_avro(value: bytes, schemas: Schemas) -> Any:
    schema_id = int.from_bytes(value[len(MAGIC) : HEADER_BYTES], "big")
    writer = schemas.get(schema_id) if len(value) >= HEADER_BYTES else None
    if writer is None:
        raise StepFailed("the schema that the Avro record was written with is not known", f"id {schema_id}")
    body = BytesIO(value[HEADER_BYTES:])
    try:
        document: Any = schemaless_reader(body, writer.parsed)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # on bytes of another schema fastavro may stumble over anything
        raise StepFailed(f"the record is no Avro of schema {schema_id}", type(error).__name__) from None
    if body.tell() != len(value) - HEADER_BYTES:
        raise StepFailed(f"the record is no Avro of schema {schema_id}: bytes are left over")
    if isinstance(document.get(_TIME), int) and writer.ticks_per_ms is not None:
        document[_TIME] = rfc3339(document[_TIME] // writer.ticks_per_ms)
    return _as_json(document)


def _as_json(value: Any) -> Any:
    """Avro's values as JSON has them: bytes as Avro's own JSON encoding writes them, a code point each."""
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(part) for part in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value
