"""Rows for the sinks' tests: random, all unknown, extremes, hostile names."""

import numpy as np

from schemas.columns import TENANT_SHIFT
from schemas.rows import NULL_BOOL, NULL_ENUM, NULL_INT, TABLES, Rows, Source, record_dtype

BASE_NS = 1_700_000_000_000_000_000
HOSTILE = [
    Source("probe-1", "eth0", "plain.pcap"),
    Source('=cmd|"/C calc"!A1', "-eth,0", "\x1b[31mred\x1b[0m\n\r\x07"),
    Source("\udcff\udc80bytes", "tap\u202eevil\u2028", None),
    Source("", '"', "{}[],:\\\x00\x7f\x9b" + "x" * 300),
]


def random_rows(n, seed=0, sources=None, tables=tuple(TABLES), span_ns=600_000_000_000):
    """`n` rows a table that a store takes: enums in range, times near BASE_NS, a fifth of what may be null null."""
    rng = np.random.default_rng(seed)
    sources = HOSTILE if sources is None else sources
    rows = Rows(list(sources), "rules-1+test")
    for table in tables:
        records = np.zeros(n, record_dtype(table))
        records["source"] = rng.integers(0, len(sources), n)
        for column in TABLES[table]:
            if column.kind == "address":
                v4 = rng.random(n) < 0.7
                lo = rng.integers(0, 2**63, n, np.uint64) >> rng.integers(0, 64, n).astype(np.uint64)
                few = np.uint64(0x0A000000) + rng.integers(0, 50, n).astype(np.uint64)
                records[f"{column.name}_hi"] = np.where(v4, 0, rng.integers(0, 2**63, n, np.uint64))
                records[f"{column.name}_lo"] = np.where(v4, np.uint64(0xFFFF << 32) | few, lo)
            elif column.kind != "text":
                records[column.name] = _values(rng, column, n, span_ns)
        rows.records[table] = records
    return rows


def _values(rng, column, n, span_ns):
    null = (rng.random(n) < 0.2) & column.nullable
    if column.kind == "int":
        if column.name == "window_start_ns":
            return BASE_NS + rng.integers(0, max(span_ns // 10**9, 1), n) * 10**9
        if column.name in ("start_ns", "end_ns"):
            return np.where(null, NULL_INT, BASE_NS + rng.integers(0, span_ns, n))
        return np.where(null, NULL_INT, rng.integers(0, 2**62, n) >> rng.integers(0, 62, n))
    if column.kind == "uint":
        return rng.integers(0, 2**64, n, np.uint64)
    if column.kind in ("share", "float"):
        return np.where(null, np.nan, np.round(rng.random(n), rng.integers(0, 9)))
    if column.kind == "bool":
        return np.where(null, NULL_BOOL, rng.integers(0, 2, n))
    if column.kind == "enum":
        return np.where(null, NULL_ENUM, rng.integers(0, len(column.values), n))
    if column.kind == "set":
        return rng.integers(0, 2**63, n, np.uint64) & np.uint64(2 ** len(column.values) - 1)
    if column.kind == "port":
        return rng.integers(0, 2**16, n)
    kind = rng.integers(0, 6, n)
    return np.where(kind == 0, 0, (kind << TENANT_SHIFT) | rng.integers(0, 2**24, n))


def unknown_rows(table, n=1):
    """Rows with every number at its unknown or smallest value."""
    records = np.zeros(n, record_dtype(table))
    for column in TABLES[table]:
        if column.kind == "int":
            records[column.name] = NULL_INT
        elif column.kind in ("share", "float"):
            records[column.name] = np.nan
        elif column.kind == "bool":
            records[column.name] = NULL_BOOL
        elif column.kind == "enum":
            records[column.name] = NULL_ENUM
    return Rows([Source("p", "t")], "r", {table: records})


def extreme_rows(table):
    """One row each with every byte 0xff, 0x7f and 0x80: out of range in every column."""
    size = record_dtype(table).itemsize
    data = b"".join(bytes([value]) * size for value in (0xFF, 0x7F, 0x80))
    return Rows([Source("p", "t")], "r", {table: np.frombuffer(data, record_dtype(table)).copy()})
