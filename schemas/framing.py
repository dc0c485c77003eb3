"""Avro single-object encoding: how a message says which schema it was written with.

A message is the marker C3 01, the CRC-64-AVRO fingerprint of the writer's schema in parsing canonical form as 8
little-endian bytes, and the Avro body (Avro 1.11 specification, "Single-object encoding"). Readers hold every schema
that was ever written (``schemas/avro``) and resolve it to today's.
"""

import io
import json
from functools import cache
from importlib import resources
from typing import Any

import fastavro
from fastavro.schema import to_parsing_canonical_form

MARKER = b"\xc3\x01"
_HEADER_BYTES = 10
_EMPTY = 0xC15D213AA4D7A795

Schema = dict[str, Any]


class MessageError(ValueError):
    """A message that cannot be read, and why."""


@cache
def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_EMPTY if value & 1 else 0)
        table.append(value)
    return tuple(table)


def crc64(data: bytes) -> int:
    """CRC-64-AVRO (Avro 1.11 specification, "Schema Fingerprints")."""
    table = _table()
    value = _EMPTY
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value


def fingerprint(schema: Schema) -> bytes:
    """The 8 bytes that name a schema in a message."""
    return crc64(to_parsing_canonical_form(schema).encode()).to_bytes(8, "little")


def bundled(record: str) -> list[Schema]:
    """All versions of a record's schema that lie in ``schemas/avro``: NAME.avsc, and NAME.N.avsc of former ones."""
    found = []
    for entry in sorted(resources.files("schemas.avro").iterdir(), key=lambda entry: entry.name):
        parts = entry.name.split(".")
        if parts[0] == record and parts[-1] == "avsc":
            found.append(json.loads(entry.read_text(encoding="utf-8")))
    return found


class Codec:
    """Writes one schema and reads all its versions."""

    def __init__(self, writer: Schema, known: list[Schema]) -> None:
        """writer: today's schema; known: the schemas of messages that may still be read."""
        self._schema: Any = fastavro.parse_schema(writer)
        self.name = str(writer["name"])
        self._prefix = MARKER + fingerprint(writer)
        self._readers: dict[bytes, Any] = {fingerprint(schema): fastavro.parse_schema(schema) for schema in known}
        self._readers[self._prefix[2:]] = self._schema

    def pack(self, record: dict[str, Any]) -> bytes:
        """The message of a record."""
        out = io.BytesIO()
        out.write(self._prefix)
        fastavro.schemaless_writer(out, self._schema, record)
        return out.getvalue()

    def unpack(self, message: bytes) -> dict[str, Any]:
        """The record of a message, of whatever known version.

        Raises :class:`MessageError` for anything that is not exactly one such message.
        """
        if message[:2] != MARKER or len(message) < _HEADER_BYTES:
            raise MessageError(f"no single-object {self.name}: the message does not begin with C3 01 and a fingerprint")
        written = self._readers.get(message[2:_HEADER_BYTES])
        if written is None:
            raise MessageError(
                f"unknown schema fingerprint {message[2:_HEADER_BYTES].hex()}: no version of {self.name}"
            )
        body = io.BytesIO(message)
        body.seek(_HEADER_BYTES)
        reader = None if written is self._schema else self._schema
        try:
            record = fastavro.schemaless_reader(body, written, reader)
        except Exception as error:  # hostile bytes raise many kinds (EOFError, IndexError, UnicodeDecodeError, ...)
            raise MessageError(f"broken {self.name}: {type(error).__name__}: {error}") from error
        if body.tell() != len(message):
            raise MessageError(f"broken {self.name}: {len(message) - body.tell()} bytes behind its end")
        if not isinstance(record, dict):
            raise MessageError(f"broken {self.name}: no record")
        return record
