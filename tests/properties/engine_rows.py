"""Run the engine and read its rows, for tests that compare them."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.columns import Segments, rows_of
from schemas.rows import FLOWS, NULL_BOOL, NULL_ENUM, NULL_INT, WINDOWS, Column, Rows
from streams.inference.engine import Engine
from tests.oracle.oracle import Key
from tests.oracle.segment import End

TAPS = ["tap0", "tap1"]
TABLES = ("flows", "windows", "events")
_COLUMNS = {"flows": {c.name: c for c in FLOWS}, "windows": {c.name: c for c in WINDOWS}}


def run(segments: Segments) -> Rows:
    """All rows of one probe's segments, fed at once."""
    engine = Engine()
    engine.feed("probe", TAPS, segments)
    engine.end("probe")
    return engine.drain()


def run_in_pieces(segments: Segments, cuts: Iterable[int], *, restart: bool = False, advance: bool = False) -> Rows:
    """The same, cut into batches at `cuts`; restart: saved and restored at each cut; advance: with watermarks."""
    engine = Engine()
    parts: list[Rows] = []
    n = len(segments.time_ns)
    edges = sorted({0, n, *(cut for cut in cuts if 0 < cut < n)})
    for start, stop in itertools.pairwise(edges):
        engine.feed("probe", TAPS, rows_of(segments, start, stop))
        if advance and stop < n:
            engine.advance("probe", int(segments.time_ns[stop:].min()))
        if restart:
            parts.append(engine.drain())
            engine = Engine.restore(engine.save())
    engine.end("probe")
    parts.append(engine.drain())
    return joined(parts)


def joined(parts: list[Rows]) -> Rows:
    """Rows drained at several times as one; their sources must be alike."""
    for part in parts:
        assert part.sources == parts[-1].sources[: len(part.sources)]
    records = {name: np.concatenate([part.table(name) for part in parts]) for name in TABLES}
    return Rows(parts[-1].sources, parts[-1].ruleset, records)


def as_sets(rows: Rows) -> dict[str, list[bytes]]:
    """Every table's records as sorted bytes: rows compare as sets."""
    return {name: sorted(record.tobytes() for record in rows.table(name)) for name in TABLES}


def differences(one: Rows, two: Rows) -> list[str]:
    """What differs between two sets of rows, in words; empty if nothing does."""
    found: list[str] = []
    left, right = as_sets(one), as_sets(two)
    for name in TABLES:
        if left[name] == right[name]:
            continue
        found.append(f"{name}: {len(left[name])} and {len(right[name])} rows")
        dtype = one.table(name).dtype
        for a, b in zip(left[name], right[name], strict=False):
            if a != b:
                x, y = np.frombuffer(a, dtype)[0], np.frombuffer(b, dtype)[0]
                fields = dtype.names or ()
                found += [f"{name}.{field}: {x[field]} and {y[field]}" for field in fields if x[field] != y[field]]
                break
    return found


def value(record: np.void, column: Column) -> Any:
    """A column of a record in words: None for null, names for enums."""
    raw = record[column.name].item()
    if column.kind in ("int", "uint"):
        return None if raw == NULL_INT else raw
    if column.kind == "enum":
        return None if raw == NULL_ENUM else column.values[raw]
    if column.kind == "bool":
        return None if raw == NULL_BOOL else bool(raw)
    return raw


def key_of(rows: Rows, record: np.void, start_ns: int) -> Key:
    tap = TAPS.index(rows.sources[int(record["source"])].tap)
    ends = [
        End(int(record[f"{end}_hi"]), int(record[f"{end}_lo"]), int(record[f"{end}_port"])) for end in ("src", "dst")
    ]
    return tap, int(record["tenant"]), ends[0], ends[1], start_ns


def flows_by_key(rows: Rows) -> dict[Key, np.void]:
    """The flow rows by the oracle's key; raises AssertionError if two have the same."""
    out: dict[Key, np.void] = {}
    for record in rows.table("flows"):
        key = key_of(rows, record, int(record["start_ns"]))
        assert key not in out, f"two flow rows for {key}"
        out[key] = record
    return out


def windows_by_key(rows: Rows) -> dict[tuple[Key, int], np.void]:
    """The window rows by flow and window start; the flow's incarnation is found by its conn_id."""
    starts = {int(record["conn_id"]): int(record["start_ns"]) for record in rows.table("flows")}
    out: dict[tuple[Key, int], np.void] = {}
    for record in rows.table("windows"):
        key = key_of(rows, record, starts[int(record["conn_id"])]), int(record["window_start_ns"])
        assert key not in out, f"two window rows for {key}"
        out[key] = record
    return out


def column_of(table: str, name: str) -> Column:
    return _COLUMNS[table][name]


def shares(records: npt.NDArray[Any], prefix: str = "time_") -> npt.NDArray[np.float64]:
    """Sum of the shares of each record."""
    names = [name for name in records.dtype.names or () if name.startswith(prefix)]
    if prefix == "time_":
        names = [name for name in names if not name.startswith("time_active_")]
    return np.sum([records[name] for name in names], axis=0)
