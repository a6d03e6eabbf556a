"""Records to bytes and back, and the Avro schemas by name."""

import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import msgspec
from fastavro.schema import parse_schema, to_parsing_canonical_form

from schemas.records import AuditEntry, CommitMetadata, ControlRecord, Frontier, Manifest

Record = TypeVar("Record", Manifest, Frontier, ControlRecord, CommitMetadata, AuditEntry)

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Manifest, Frontier, ControlRecord, CommitMetadata, AuditEntry)
}


def encode(record: Manifest | Frontier | ControlRecord | CommitMetadata | AuditEntry) -> bytes:
    """A record as compact JSON in the order of its fields."""
    return _ENCODER.encode(record)


def decode(data: bytes, kind: type[Record]) -> Record:
    """The inverse of `encode`.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: the bytes are not such a record.
    """
    return _DECODERS[kind].decode(data)


@cache
def avro_schema(name: str) -> dict[str, Any]:
    """The schema `name` (such as `order_batch`) as it stands in its `.avsc`.

    Raises:
        FileNotFoundError: there is no such schema.
    """
    text = resources.files("schemas").joinpath("avro", f"{name}.avsc").read_text("utf-8")
    return json.loads(text)


@cache
def parsed_schema(name: str) -> dict[str, Any]:
    """The schema `name`, parsed by fastavro."""
    return parse_schema(json.loads(json.dumps(avro_schema(name))))  # type: ignore[return-value]


@cache
def schema_fingerprint(name: str) -> str:
    """SHA-256 of the schema's parsing canonical form, 64 hexadecimal digits (Avro 1.12, Schema Fingerprints)."""
    return hashlib.sha256(to_parsing_canonical_form(avro_schema(name)).encode()).hexdigest()
