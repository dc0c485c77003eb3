"""WindowBatch: result rows on their way from a worker to a sink, as one Avro message of packed columns.

The Avro schema is made from ``schemas/rows.py``: a record a table, a ``bytes`` field a column, each column's values
little-endian one after the other in the type of :func:`schemas.rows.record_dtype` (unknown: as said there). A copy of
each schema that was ever written lies in ``schemas/avro`` so that later readers can read old messages: a column that a
message does not have reads as unknown.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from schemas.framing import Codec, MessageError, Schema, bundled
from schemas.rows import NULL_BOOL, NULL_ENUM, NULL_INT, TABLES, Rows, Source, record_dtype

LAYOUT = 1
MAX_ROWS = 1 << 22  # of one table in one message: bounds what a reader allocates

_UNITS = {"ns": "ns", "bytes": "bytes", "bps": "bits a second"}
_KINDS = {"<i4": "i32", "<i8": "i64", "<u8": "u64", "<f8": "f64", "|i1": "i8", "|u1": "u8", "<u2": "u16", "<u4": "u32"}


@dataclass(frozen=True)
class Origin:
    """The segment batch whose arrival settled the rows: with it a row can be told from its repetition."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class WindowBatch:
    """Rows with their origin; end_of_observation: the segment batch was its probe's last in that partition."""

    origin: Origin
    probe: str
    end_of_observation: bool
    rows: Rows


def _doc(name: str, kind: str, text: str) -> str:
    unit = _UNITS.get(name.rpartition("_")[2])
    return f"{_KINDS[kind]} a row{f', {unit}' if unit else ''}: {text}"


def schema() -> Schema:
    """Today's Avro schema, made from the row definitions."""
    fields: list[Any] = [
        {"name": "layout", "type": "int", "doc": f"number of the message's layout: {LAYOUT}"},
        {"name": "source_topic", "type": "string", "doc": "topic of the segment batch whose arrival settled the rows"},
        {"name": "source_partition", "type": "int", "doc": "its partition"},
        {"name": "source_offset", "type": "long", "doc": "its offset there: a repetition has the same"},
        {"name": "probe", "type": "string", "doc": "the probe that sent it"},
        {"name": "end_of_observation", "type": "boolean", "doc": "it was the probe's last in that partition"},
        {"name": "ruleset", "type": "string", "doc": "version of rules, calibration and priors"},
        {
            "name": "sources",
            "doc": "what the rows' `source` column indexes",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Source",
                    "fields": [
                        {"name": "probe", "type": "string", "doc": "the probe that captured the segments"},
                        {"name": "tap", "type": "string", "doc": "the probe's tap"},
                        {
                            "name": "capture",
                            "type": ["null", "string"],
                            "default": None,
                            "doc": "the capture's file name",
                        },
                    ],
                },
            },
        },
    ]
    for table, columns in TABLES.items():
        texts = {"source": "index into sources"}
        for column in columns:
            texts |= {column.name: column.doc, f"{column.name}_hi": column.doc, f"{column.name}_lo": column.doc}
            if column.values:
                texts[column.name] = f"{column.doc} ({' '.join(column.values)}, from 0)"
        inner: list[Any] = [{"name": "rows", "type": "int", "default": 0, "doc": "number of rows"}]
        for name, (dtype, _) in _fields(table):
            doc = _doc(name, dtype.str, texts[name])
            inner.append({"name": name, "type": "bytes", "default": "", "doc": doc})
        record = {"type": "record", "name": table.capitalize(), "fields": inner}
        fields.append({"name": table, "type": ["null", record], "default": None, "doc": f"rows of the table {table}"})
    return {
        "type": "record",
        "name": "WindowBatch",
        "namespace": "tcpblame",
        "doc": "Result rows that one segment batch settled; bytes fields hold a packed little-endian value a row.",
        "fields": fields,
    }


@cache
def _fields(table: str) -> list[tuple[str, tuple[np.dtype[Any], int]]]:
    found = record_dtype(table).fields
    return [(name, (entry[0], entry[1])) for name, entry in (found or {}).items()]


@cache
def _unknown(table: str) -> np.void:
    """A record of unknowns: what the columns of a message that does not have them read as."""
    record = np.zeros(1, record_dtype(table))
    for name, (dtype, _) in _fields(table):
        unknown: Any = {"f": np.nan, "i": NULL_INT if dtype.itemsize == 8 else NULL_BOOL}.get(dtype.kind, 0)
        record[name] = NULL_ENUM if dtype.str == "|u1" else unknown
    found: np.void = record[0]
    return found


@cache
def codec() -> Codec:
    """The Avro codec of the record."""
    return Codec(schema(), bundled("window_batch"))


def encode(batch: WindowBatch) -> bytes:
    """The message of a batch; tables without rows are null."""
    record: dict[str, Any] = {
        "layout": LAYOUT,
        "source_topic": batch.origin.topic,
        "source_partition": batch.origin.partition,
        "source_offset": batch.origin.offset,
        "probe": batch.probe,
        "end_of_observation": batch.end_of_observation,
        "ruleset": batch.rows.ruleset,
        "sources": [{"probe": s.probe, "tap": s.tap, "capture": s.capture} for s in batch.rows.sources],
    }
    for table in TABLES:
        records = batch.rows.table(table)
        packed: dict[str, Any] | None = None
        if len(records):
            packed = {"rows": len(records)}
            for name, _ in _fields(table):
                packed[name] = records[name].tobytes()
        record[table] = packed
    return codec().pack(record)


def decode(message: bytes) -> WindowBatch:
    """The batch of a message. Raises :class:`schemas.framing.MessageError` for whatever is none."""
    record = codec().unpack(message)
    if record["layout"] != LAYOUT:
        raise MessageError(f"layout {record['layout']} of WindowBatch is not known to this version")
    if record["source_partition"] < 0 or record["source_offset"] < 0:
        raise MessageError("the rows' origin is no offset of a partition")
    sources = [Source(entry["probe"], entry["tap"], entry["capture"]) for entry in record["sources"]]
    rows = Rows(sources, record["ruleset"])
    for table in TABLES:
        packed = record[table]
        if packed is not None:
            rows.records[table] = _records(table, packed, len(sources))
    origin = Origin(record["source_topic"], record["source_partition"], record["source_offset"])
    return WindowBatch(origin, record["probe"], record["end_of_observation"], rows)


def _records(table: str, packed: dict[str, Any], sources: int) -> np.ndarray[Any, np.dtype[Any]]:
    n = packed["rows"]
    if not 0 <= n <= MAX_ROWS or len(packed["source"]) != 4 * n:
        raise MessageError(f"{n} rows of {table}")
    records = np.empty(n, record_dtype(table))
    records[:] = _unknown(table)
    for name, (dtype, _) in _fields(table):
        data = packed[name]
        if data:
            if len(data) != n * dtype.itemsize:
                raise MessageError(f"column {name} of {table} has {len(data)} bytes for {n} rows")
            records[name] = np.frombuffer(data, dtype)
    if n and not 0 <= int(records["source"].min()) <= int(records["source"].max()) < sources:
        raise MessageError(f"a row of {table} has a source without a name")
    return records


def main() -> None:
    """Write today's schema to ``schemas/avro/window_batch.avsc``."""
    path = Path(__file__).parent / "avro" / "window_batch.avsc"
    path.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
