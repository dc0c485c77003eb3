"""Rows as JSON lines or CSV, and the order that both are written in."""

from collections.abc import Iterator

import numpy as np

from schemas.rows import TABLES, Rows
from sinks.text.kernel import write_rows
from sinks.text.plan import Format, make_plan

CHUNK_BYTES = 1 << 20  # one write of this size costs little more than the copy; a pipe's reader is kept busy

# Sort keys by falling weight; the first two tell rows of a table apart but for directions and coinciding events.
_DIRECTION = ("src_hi", "src_lo", "src_port")
_ORDER = {
    "flows": ("start_ns", "conn_id", *_DIRECTION),
    "windows": ("window_start_ns", "conn_id", *_DIRECTION),
    "events": ("start_ns", "conn_id", *_DIRECTION, "kind", "duration_ns", "cause", "verdict", "packets", "bytes"),
    "probes": ("start_ns", "end_ns", "packets", "segments", "wire_bytes"),
}


def order(rows: Rows, table: str) -> Rows:
    """The same rows with one table's records in output order: by time, then connection, then direction."""
    records = rows.table(table)
    first, *others = _ORDER[table]
    time = np.ascontiguousarray(records[first])
    index = np.argsort(time, kind="stable")
    # Only rows of one time need the other keys: few flows, most windows.
    equal = np.diff(time[index]) == 0
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    if len(tied):
        rest = index[tied]
        keys = [records[name][rest] for name in reversed(others)]
        index[tied] = rest[np.lexsort([*keys, time[rest]])]
    return Rows(rows.sources, rows.ruleset, {**rows.records, table: records[index]})


def json_lines(rows: Rows, table: str) -> Iterator[bytes]:
    """The rows of a table as chunks of JSON lines, keys in the table's order, unknown as null."""
    return _chunks(rows, table, "json")


def csv_lines(rows: Rows, table: str, *, header: bool = True) -> Iterator[bytes]:
    """The rows of a table as chunks of CSV (RFC 4180) behind a header line, unknown as an empty cell."""
    if header:
        yield ",".join(column.name for column in TABLES[table]).encode() + b"\r\n"
    yield from _chunks(rows, table, "csv")


def _chunks(rows: Rows, table: str, style: Format) -> Iterator[bytes]:
    records = np.ascontiguousarray(rows.table(table))
    if not len(records):
        return
    plan = make_plan(rows, table, style)
    raw = records.view(np.uint8).reshape(len(records), records.dtype.itemsize)
    out = np.empty(max(plan.bound, min(CHUNK_BYTES, plan.bound * len(records))), np.uint8)
    row = 0
    while row < len(records):
        row, size = write_rows(raw, row, plan.columns, plan.blob, plan.pieces, plan.bound, out)
        yield out[:size].tobytes()
