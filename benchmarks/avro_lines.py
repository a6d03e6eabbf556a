"""Order lines of JSON as Avro in Confluent's wire format, under our own event schema."""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from runtime.settings import IntakeSettings
from schemas.avro_fields import columns_of
from schemas.codecs import avro_schema
from schemas.packed import Packed
from schemas.sources import EVENT_SCHEMAS, Source
from streams.avro_columns import record_column
from streams.avro_input import HEADER_BYTES, MAGIC
from streams.intake import Intake, IntakeRules

SCHEMA_ID = 7
FAR_FUTURE_MS = 1 << 43
_join = pc.binary_join_element_wise  # pyright: ignore[reportAttributeAccessIssue]: made at run time


def as_avro(lines: pa.Array) -> pa.Array:
    """The same events, each with the header that names the schema."""
    intake = Intake(Source.ORDERS, IntakeRules.from_settings(IntakeSettings()))
    values = lines.to_pylist()
    rows = intake.decode(Packed.of(values), [FAR_FUTURE_MS] * len(values), np.arange(len(values)).tolist()).table
    header = MAGIC + SCHEMA_ID.to_bytes(HEADER_BYTES - len(MAGIC), "big")
    records = record_column(columns_of(avro_schema(EVENT_SCHEMAS[Source.ORDERS])), rows, {})
    return cast(pa.Array, _join(pa.scalar(header, pa.binary()), records, b""))


def write_schema_dir(folder: Path) -> Path:
    """A schema directory as the setting `intake.schema_dir` wants it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{SCHEMA_ID}.avsc").write_text(json.dumps(avro_schema(EVENT_SCHEMAS[Source.ORDERS])))
    return folder
