"""The engine's state as bytes: what a checkpoint holds and a restart reads.

Layout: MAGIC, CRC-32 of all that follows, header length (both u4, little endian), header (JSON: layout hash, record
layouts, sources, marks), then the records of live connections, their two flows each, their held rows, and the shards.
Pointers are written as positions in these arrays and the index is left out, so that a restored engine is compact. A
state written by another set of statistics is converted by field name: what is missing starts at zero.
"""

import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from schemas.columns import SHARDS
from streams.inference import table as tables
from streams.inference.table import HELD_META

if TYPE_CHECKING:
    from streams.inference.engine import Engine

MAGIC = b"TBSTATE2"
_KEPT = ("CONNECTIONS", "HALF_OPEN", "EVICTED", "HALF_OPEN_EVICTED", "EXPIRED", "SEGMENTS", "CLOCK_STEPS", "CREATED",
         "HELD_OVERFLOW")  # fmt: skip
_LARGEST_HEADER = 1 << 24


def _layout(dtype: np.dtype[np.void]) -> dict[str, Any]:
    names = dtype.names or ()
    fields: Mapping[str, Any] = dtype.fields or {}
    return {
        "names": list(names),
        "formats": [[fields[n][0].base.str, list(fields[n][0].shape)] for n in names],
        "offsets": [int(fields[n][1]) for n in names],
        "itemsize": dtype.itemsize,
    }


def _dtype(layout: dict[str, Any]) -> np.dtype[np.void]:
    formats = [np.dtype((base, tuple(shape))) if shape else np.dtype(base) for base, shape in layout["formats"]]
    if any(f.hasobject for f in formats):
        raise ValueError("the state names an impossible record layout")
    whole: Any = {**layout, "formats": formats}
    result: np.dtype[np.void] = np.dtype(whole)
    return result


def _converted(records: npt.NDArray[Any], dtype: np.dtype[np.void]) -> npt.NDArray[Any]:
    """Records in today's layout, by field name."""
    if records.dtype == dtype:
        return records
    result = np.zeros(len(records), dtype)
    for name in dtype.names or ():
        if records.dtype.names and name in records.dtype.names and records[name].shape == result[name].shape:
            result[name] = records[name]
    return result


def dump(engine: "Engine") -> bytes:
    """Everything that the engine knows, rows not yet drained excepted."""
    table = engine._table
    used = int(table.scalars[tables.FRESH_SLOT])
    live = np.flatnonzero(table.conn["state"][:used])
    held = np.flatnonzero(table.held_meta["used"])
    slot_map = np.zeros(used + 1, np.int32)
    slot_map[live + 1] = np.arange(1, len(live) + 1)
    held_map = np.zeros(len(table.held_meta) + 1, np.int32)
    held_map[held + 1] = np.arange(1, len(held) + 1)
    conn = table.conn[live]
    conn["prev"], conn["next"] = slot_map[conn["prev"]], slot_map[conn["next"]]
    flow = table.flow[np.stack([2 * live, 2 * live + 1], axis=1).reshape(-1)]
    meta = table.held_meta[held]
    if "held_head" in (flow.dtype.names or ()):
        flow["held_head"], flow["held_tail"] = held_map[flow["held_head"]], held_map[flow["held_tail"]]
        meta["next"] = held_map[meta["next"]]
    shard = table.shard.copy()
    for name in ("head", "tail", "half_head", "half_tail"):
        shard[name] = slot_map[shard[name]]
    header = {
        "layout": engine.composition.layout,
        "window_ns": engine.settings.window_ns,
        "conn": _layout(conn.dtype),
        "flow": _layout(flow.dtype),
        "row": _layout(table.held_row.dtype),
        "meta": _layout(HELD_META),
        "shard": _layout(shard.dtype),
        "n": len(conn),
        "held": len(held),
        "sources": [[s.probe, s.tap, s.capture] for s in engine._sources],
        "watermarks": engine._watermark,
        "swept": engine._swept,
        "totals": {name: int(table.scalars[getattr(tables, name)]) for name in _KEPT},
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    parts = (conn, flow, table.held_row[held], meta, shard)
    pieces = [len(text).to_bytes(4, "little"), text, *(part.tobytes() for part in parts)]
    checksum = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
    return b"".join([MAGIC, checksum.to_bytes(4, "little"), *pieces])


def load(engine: "Engine", data: bytes) -> None:
    """Fill a new engine with what :func:`dump` wrote. Raises ValueError."""
    start = len(MAGIC) + 8
    if len(data) < start or data[: len(MAGIC)] != MAGIC:
        raise ValueError("not a saved engine state")
    # Kernels follow the records' pointers unchecked: no damaged byte may reach them.
    if zlib.crc32(memoryview(data)[start - 4 :]) != int.from_bytes(data[start - 8 : start - 4], "little"):
        raise ValueError("the saved engine state is damaged or cut short")
    size = int.from_bytes(data[start - 4 : start], "little")
    if size > _LARGEST_HEADER or start + size > len(data):
        raise ValueError("the saved engine state is cut short")
    try:
        header = json.loads(data[start : start + size])
        counts = (header["n"], 2 * header["n"], header["held"], header["held"], SHARDS)
        at, arrays = start + size, []
        for name, count in zip(("conn", "flow", "row", "meta", "shard"), counts, strict=True):
            dtype = _dtype(header[name])
            if at + count * dtype.itemsize > len(data):
                raise ValueError("the saved engine state is cut short")
            arrays.append(np.frombuffer(data, dtype, count, at))
            at += count * dtype.itemsize
        if header["window_ns"] != engine.settings.window_ns:
            raise ValueError("the saved engine state has windows of another length")
        _fill(engine, header, arrays)
    except (KeyError, TypeError, AttributeError, OverflowError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"the saved engine state is damaged ({error})") from error


def _fill(engine: "Engine", header: dict[str, Any], arrays: list[npt.NDArray[Any]]) -> None:
    from streams.inference.engine import link_free, reindex  # noqa: PLC0415  (the engine imports this file)

    conn, flow, row, meta, shard = arrays
    n, held = header["n"], header["held"]
    for probe, tap, capture in header["sources"]:
        engine._source(probe, tap, capture)
    if [[s.probe, s.tap, s.capture] for s in engine._sources] != header["sources"]:
        raise ValueError("the saved engine state names a source twice")
    old = engine._table
    slots = max(len(old.conn) - 1, 1 << (n + n // 4).bit_length())
    places = max(len(old.held_row), 1 << (4 * held).bit_length())
    new = old._replace(
        conn=np.zeros(slots + 1, old.conn.dtype),
        flow=np.zeros(2 * slots + 1, old.flow.dtype),
        held_row=np.zeros(places, old.held_row.dtype),
        held_meta=np.zeros(places, HELD_META),
    )
    new.conn[:n] = _converted(conn, old.conn.dtype)
    new.flow[: 2 * n] = _converted(flow, old.flow.dtype)
    new.held_row[:held] = _converted(row, old.held_row.dtype)
    new.held_meta[:held] = _converted(meta, HELD_META)
    new.shard[:] = _converted(shard, old.shard.dtype)
    new.scalars[tables.FRESH_SLOT] = n
    new.scalars[tables.FREE_HELD] = tables.NOTHING
    link_free(new, held, places - 1)
    new.scalars[tables.HELD_IN_USE] = held
    for name, value in header["totals"].items():
        if name in _KEPT:
            new.scalars[getattr(tables, name)] = value
    # `home` was keyed by the seed of the process that wrote it.
    with np.errstate(over="ignore"):
        engine.composition.rehome(new, n)
    engine._table = new._replace(lookup=reindex(new.conn, n, slots))
    engine._watermark = {str(k): int(v) for k, v in header["watermarks"].items()}
    engine._swept = {str(k): int(v) for k, v in header["swept"].items()}
