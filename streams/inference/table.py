"""The arrays that an engine's kernels work on, and how rows leave them."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.columns import inlined, plain
from schemas.rows import NULL_BOOL, NULL_ENUM, NULL_INT, TABLES, record_dtype
from streams.inference.serial import i64

# Room that must be left in every output before a step begins: more rows than one step can write.
MARGIN = 1024
NOTHING = -1
# Segments looked up ahead of the loop, so that their cache misses overlap; more than a core can have under way.
AHEAD = 64
# Fewer connections than this lie in the processor's caches anyway, and looking ahead would only cost.
AHEAD_FROM = 2048

# table.scalars
(
    N_FLOWS,  # rows in out_flow
    N_WINDOWS,
    N_EVENTS,
    FREE_HELD,  # head of the free list of held rows
    HELD_IN_USE,
    HELD_OVERFLOW,  # rows settled early because the pool was empty
    WINDOW_NS,
    IDLE_NS,
    CONNECTIONS_PER_SHARD,
    HALF_OPEN_PER_SHARD,
    CONNECTIONS,  # live
    HALF_OPEN,
    EVICTED,
    HALF_OPEN_EVICTED,
    EXPIRED,
    SEGMENTS,
    CLOCK_STEPS,
    FREE_SLOT,  # head of the free list of connection slots
    FRESH_SLOT,  # first slot never used
    STRAYS,
    CREATED,
    SEED,
    HELD_FULL,  # the pool of held rows may not grow any more
    FRONT_BYTES,  # end of the part of a flow record that every segment touches in both flows
    HOT_BYTES,  # and of the part that it touches in the flow that sends data
    NO_WINDOW_ROWS,  # nobody asked for window rows: time is booked as ever, rows are not made
) = range(26)
N_SCALARS = 32

HELD_META = np.dtype(
    [
        ("next", "<i4"),
        ("gaps", "<i4"),
        ("used", "u1"),
        ("start_ns", "<i8"),
        ("end_ns", "<i8"),
        ("visibility", "<f8"),
        ("booked_us", "<u4", (16,)),
    ]
)


class Table(NamedTuple):
    """Everything that a kernel may read and write; made by the engine, see there for sizes."""

    conn: npt.NDArray[Any]
    flow: npt.NDArray[Any]
    lookup: npt.NDArray[np.int64]
    shard: npt.NDArray[Any]
    held_row: npt.NDArray[Any]
    held_meta: npt.NDArray[Any]
    out_flow: npt.NDArray[Any]
    out_window: npt.NDArray[Any]
    out_event: npt.NDArray[Any]
    blank_flow: npt.NDArray[Any]
    blank_window: npt.NDArray[Any]
    blank_event: npt.NDArray[Any]
    scalars: npt.NDArray[np.int64]
    source_hash: npt.NDArray[np.uint64]
    ahead: npt.NDArray[np.int64]  # identities of the next AHEAD segments


def blank(table: str) -> npt.NDArray[Any]:
    """One record of a table with every column null (or zero where it cannot be null)."""
    record = np.zeros(1, record_dtype(table))
    nulls = {"int": NULL_INT, "bool": NULL_BOOL, "enum": NULL_ENUM, "float": np.nan, "share": np.nan}
    for column in TABLES[table]:
        if column.nullable and column.kind in nulls:
            record[column.name] = nulls[column.kind]
    return record


@inlined
def has_room(table):
    """Whether a step may begin."""
    return (
        table.scalars[N_FLOWS] + MARGIN <= table.out_flow.shape[0]
        and table.scalars[N_WINDOWS] + MARGIN <= table.out_window.shape[0]
        and table.scalars[N_EVENTS] + MARGIN <= table.out_event.shape[0]
        and (table.scalars[HELD_IN_USE] + MARGIN <= table.held_row.shape[0] or table.scalars[HELD_FULL])
    )


@plain
def put_key(row, c, d):
    """Write the flow's key: source, conn_id, tenant and both ends, src being end d (0: a)."""
    row["source"] = c["source"]
    row["conn_id"] = c["conn_id"]
    row["tenant"] = c["tenant"]
    if d == 0:
        row["src_hi"], row["src_lo"], row["src_port"] = c["a_hi"], c["a_lo"], c["a_port"]
        row["dst_hi"], row["dst_lo"], row["dst_port"] = c["b_hi"], c["b_lo"], c["b_port"]
    else:
        row["src_hi"], row["src_lo"], row["src_port"] = c["b_hi"], c["b_lo"], c["b_port"]
        row["dst_hi"], row["dst_lo"], row["dst_port"] = c["a_hi"], c["a_lo"], c["a_port"]


@plain
def emit_event(table, c, d, kind, start_ns, end_ns, verdict, cause, packets, nbytes):
    """Write an event row of the flow whose src is end d."""
    n = table.scalars[N_EVENTS]
    table.out_event[n] = table.blank_event[0]
    row = table.out_event[n]
    put_key(row, c, d)
    row["kind"] = kind
    row["start_ns"] = start_ns
    row["duration_ns"] = max(end_ns - start_ns, 0)
    row["verdict"] = verdict
    row["cause"] = cause
    row["packets"] = packets
    row["bytes"] = nbytes
    table.scalars[N_EVENTS] = n + 1


@plain
def take_held(table):
    """A free place in the pool of held rows, or NOTHING."""
    k = i64(table.scalars[FREE_HELD])
    if k == NOTHING:
        table.scalars[HELD_OVERFLOW] += 1
        return i64(NOTHING)
    table.scalars[FREE_HELD] = i64(table.held_meta[k]["next"])
    table.held_meta[k]["used"] = 1
    table.scalars[HELD_IN_USE] += 1
    return k


@plain
def give_held(table, k):
    """Return a place to the pool."""
    if k == table.held_meta.shape[0] - 1:
        return  # the spare place is on no list
    table.held_meta[k]["used"] = 0
    table.held_meta[k]["next"] = table.scalars[FREE_HELD]
    table.scalars[FREE_HELD] = k
    table.scalars[HELD_IN_USE] -= 1
