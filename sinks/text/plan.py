"""Column plans: how each column of a table is written in JSON or CSV, as arrays for the compiled writer."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from schemas.rows import TABLES, Column, Rows, record_dtype
from sinks.text import kernel as k
from sinks.text.cells import csv_text, json_text

Format = Literal["json", "csv"]

_KIND = {
    "int": k.K_INT, "uint": k.K_HEX, "float": k.K_FLOAT, "share": k.K_FLOAT, "bool": k.K_FLAG, "enum": k.K_ENUM,
    "set": k.K_SET, "address": k.K_ADDRESS, "port": k.K_PORT, "tenant": k.K_TENANT, "text": k.K_SOURCE,
}  # fmt: skip
# Most bytes of a value, names apart: a negative int64, 16 digits and quotes, an IPv6 address and quotes, ...
_WIDTH = {
    k.K_INT: 20, k.K_HEX: 18, k.K_FLOAT: 32, k.K_FLAG: 0, k.K_ENUM: 0, k.K_SET: 0, k.K_ADDRESS: 41, k.K_PORT: 5,
    k.K_TENANT: 40, k.K_SOURCE: 0,
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What :func:`sinks.text.kernel.write_rows` needs beside the records."""

    columns: npt.NDArray[np.int64]
    blob: npt.NDArray[np.uint8]
    pieces: npt.NDArray[np.int64]
    bound: int  # bytes that no row exceeds


class _Pieces:
    """The blob and its pieces while they are being collected."""

    def __init__(self) -> None:
        self.blob = bytearray()
        self.spans: list[tuple[int, int]] = []

    def add(self, *texts: bytes) -> int:
        """Append pieces; the number of the first."""
        first = len(self.spans)
        for text in texts:
            self.spans.append((len(self.blob), len(text)))
            self.blob += text
        return first

    def longest(self, first: int, count: int) -> int:
        return max((size for _, size in self.spans[first : first + count]), default=0)


def _texts(column: Column, rows: Rows, style: Format) -> list[bytes | None]:
    """A text column's value for each source."""
    quoted = json_text if style == "json" else csv_text
    if column.name == "ruleset":
        return [quoted(rows.ruleset)] * max(len(rows.sources), 1)
    found = [getattr(source, column.name) for source in rows.sources]
    return [None if text is None else quoted(text) for text in found]


def make_plan(rows: Rows, table: str, style: Format) -> Plan:
    """The plan of a table in one of the formats, with the names of the rows' sources. Raises KeyError for no table."""
    return _plan(table, style, tuple(tuple(_texts(c, rows, style)) for c in TABLES[table] if c.kind == "text"))


@cache
def _constants(style: Format) -> tuple[bytes, ...]:
    """The pieces that the kernel names P_*."""
    tenants = (b"vlan:", b"qinq:", b"vxlan:", b"geneve:", b"gre:", b"kind")
    if style == "json":
        return (b"null", b'"', b"[", b",", b"]", b"}\n", *tenants)
    return (b"", b"", b"", b" ", b"", b"\r\n", *tenants)


def _plan(table: str, style: Format, texts: tuple[tuple[bytes | None, ...], ...]) -> Plan:
    dtype = record_dtype(table)
    offsets: dict[str, Any] = {name: dtype.fields[name][1] for name in dtype.names or ()}  # type: ignore[index]
    quote = '"' if style == "json" else ""
    pieces = _Pieces()
    pieces.add(*_constants(style))
    null = pieces.spans[k.P_NULL]
    bound = pieces.spans[k.P_END][1]
    rows = np.zeros((len(TABLES[table]), k.FIELDS), np.int64)
    text_columns = iter(texts)
    for number, column in enumerate(TABLES[table]):
        kind = _KIND[column.kind]
        start = ("{" if number == 0 else ",") + f'"{column.name}":' if style == "json" else "," if number else ""
        before = pieces.add(start.encode())
        offset = offsets["source"] if column.kind == "text" else offsets.get(column.name, 0)
        other = 0
        if column.kind == "address":
            offset, other = offsets[f"{column.name}_hi"], offsets[f"{column.name}_lo"]
        first = count = names = 0
        if column.kind == "text":
            values = next(text_columns)
            first, count = len(pieces.spans), len(values)
            for value in values:
                if value is None:
                    pieces.spans.append(null)
                else:
                    pieces.add(value)
        elif column.kind == "bool":
            first, count = pieces.add(b"false", b"true"), 2
        elif column.kind in ("enum", "set"):
            first, count = pieces.add(*(f"{quote}{name}{quote}".encode() for name in column.values)), len(column.values)
        if column.kind == "set":
            names = sum(size + 1 for _, size in pieces.spans[first : first + count]) + 2
        elif count:
            names = pieces.longest(first, count)
        rows[number] = (kind, offset, other, *pieces.spans[before], first, count)
        bound += len(start) + max(_WIDTH[kind], names, null[1])
    blob = np.frombuffer(bytes(pieces.blob) + bytes(k.SLACK), np.uint8)
    return Plan(rows, blob, np.array(pieces.spans, np.int64).reshape(-1, 2), bound + k.SLACK)
