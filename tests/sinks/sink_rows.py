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


def steady_windows(connections, seconds, seed=0):
    """Windows as a fleet writes them: each connection has a row every second, verdicts that last, real magnitudes."""
    rng = np.random.default_rng(seed)
    n = connections * seconds
    rows = random_rows(n, seed, [Source(f"probe-{seed}", "eth0")], ("windows",))
    records = rows.table("windows")
    one = np.arange(n) % connections
    records["window_start_ns"] = BASE_NS + (np.arange(n) // connections) * 10**9
    for name in ("conn_id", "tenant", "src_hi", "src_lo", "dst_hi", "dst_lo", "dst_port", "mss", "verdict", "cause"):
        records[name] = records[name][:connections][one]
    records["src_port"] = 443
    records["window_ns"] = records["covered_ns"] = 10**9
    records["tenant"] = (1 << TENANT_SHIFT) | 100
    records["secondary_causes"] = np.uint64(1) << rng.integers(8, 38, n).astype(np.uint64)
    for column in TABLES["windows"]:
        if column.kind == "int" and not column.name.startswith(("window", "covered")):
            known = records[column.name] != NULL_INT
            records[column.name] = np.where(known, records[column.name] % 10**6, NULL_INT)
        if column.kind == "share" and column.name.startswith("time_"):
            records[column.name] = np.round(rng.integers(0, 5, n) / 8, 3)
    records["version"] = 1
    return rows
