"""The loop around the statistics: find the connection, bring it up to the segment's time, run the hooks, write rows.

Not imported as it stands: the composer writes a file of this one's imports, the hooks that it generates from the
statistics (``hook_segment``, ``hook_window``, ``hook_flow``, ``hook_reset``, ``hook_end``), and what follows the line
of dashes here, so that one compiled and cached kernel results.
"""

import numpy as np

from schemas.columns import ACK, SYN, kernel, mix64, plain
from schemas.rows import ENDS
from streams.inference import table as tables
from streams.inference.ledger import finish, settle_open
from streams.inference.lifecycle import (
    CLOSED,
    ESTABLISHED,
    FIN_SENT,
    FREE,
    MIDSTREAM,
    SYN_RECEIVED,
    SYN_SENT,
    opens_anew,
)
from streams.inference.lookup import backwards, find, home_of, identity, index_add, index_drop, look_ahead
from streams.inference.pools import delist, enlist
from streams.inference.sequence import DATA_SEEN
from streams.inference.serial import i64
from streams.inference.settling import book, hold, hold_ns
from streams.inference.slots import OPEN_GAP
from streams.inference.table import has_room, put_key, take_held

# ----------------------------------------------------------------------------------------------------------------------

DONE, FULL, NO_SLOT = range(3)  # why a kernel returned: all done; outputs must be drained; the table must grow
_FIN, _RESET, _REUSED, _EXPIRED, _EVICTED, _ENDED = (
    ENDS.index(name) for name in ("fin", "reset", "port_reused", "expired", "evicted", "observation_ended")
)
# A closed connection stays for its last acknowledgements and repeats; then its place is free.
LINGER_NS = 10_000_000_000
# A half-open one may wait for the longest gap between two SYNs (63 s after the sixth: RFC 9293's doubling).
HALF_OPEN_NS = 75_000_000_000
# Data outstanding in utter silence is written window by window up to the largest retransmission timer (RFC 6298: at
# least 60 s; Linux: 120 s) and a little; after that the sender is gone, and only the flow's row counts the time.
SILENT_NS = 130_000_000_000


@plain
def close_window(table, slot, d, end_ns):
    """The flow's open window is over at end_ns: keep its row until it is settled, if anything happened in it."""
    c = table.conn[slot]
    f = table.flow[2 * slot + d]
    g = table.flow[2 * slot + 1 - d]
    outstanding = i64(f["flight_bytes"]) > 0 and end_ns - i64(c["last_ns"]) < SILENT_NS
    opening = i64(c["state"]) in (SYN_SENT, SYN_RECEIVED) and i64(c["opener"]) == d + 1
    # A request is outstanding while the peer, having sent something, waits: a peer that goes on sending asks nothing.
    asked = 0 < i64(f["request_ns"]) < i64(f["window_ns"]) and i64(f["quiet_ns"]) > 0 and not f["done"]
    asked = asked and i64(c["opener"]) == 2 - d
    shut = i64(f["zero_ns"]) > 0 and f["track"] & DATA_SEEN and not f["done"]
    # A SYN or FIN alone in flight is one number and no data.
    most = i64(f["w_flight_max"])
    data_out = most > 1 or (most == 1 and f["track"] & DATA_SEEN and not f["marks"] & FIN_SENT)
    active = f["w_payload_bytes"] > 0 or data_out or opening or asked or shut
    if active:
        k = take_held(table)
        if k < 0:  # the pool is full: settle what this flow holds with what is known
            book(table, f, i64(f["window_ns"]), i64(OPEN_GAP))
            k = take_held(table)
        if k < 0:
            k = i64(table.held_row.shape[0] - 1)  # the last place is kept for this: settled at once
            fill_held(table, c, f, g, d, k, end_ns)
            hold(table, f, k, end_ns)
            book(table, f, end_ns, i64(OPEN_GAP))
        else:
            fill_held(table, c, f, g, d, k, end_ns)
            hold(table, f, k, end_ns)
    hook_reset(f)
    if i64(f["accrued_ns"]):
        f["accrued_ns"] = max(i64(f["accrued_ns"]), end_ns)  # what no row was made of must not count in the next
    waiting = 0 < i64(f["request_ns"]) and i64(f["quiet_ns"]) > 0 and i64(c["opener"]) == 2 - d
    if (outstanding or opening or waiting or shut) and not f["done"]:
        f["window_ns"] = end_ns
        f["w_flight_max"] = f["flight_bytes"]
    else:
        f["window_ns"] = 0


@plain
def fill_held(table, c, f, g, d, k, end_ns):
    """Write what is known of the window into its held row."""
    if table.scalars[tables.NO_WINDOW_ROWS]:
        return
    table.held_row[k] = table.blank_window[0]
    row = table.held_row[k]
    put_key(row, c, d)
    row["window_start_ns"] = f["window_ns"]
    row["window_ns"] = table.scalars[tables.WINDOW_NS]
    row["version"] = 1
    row["delivery_rate_bps"] = f["w_acked_bytes"]
    if i64(f["cwnd_bytes"]):
        row["cwnd_bytes"] = i64(f["cwnd_bytes"])
    hook_window(f, g, c, row, end_ns)


@plain
def catch_up(table, slot, d, t):
    """Close the windows and fire the timers of one flow that are due before t. False: the outputs are full."""
    f = table.flow[2 * slot + d]
    width = i64(table.scalars[tables.WINDOW_NS])
    while True:
        if not has_room(table):
            return False
        deadline = i64(0x7FFFFFFFFFFFFFFF)
        if i64(f["held_head"]):
            deadline = i64(table.held_meta[i64(f["held_head"]) - 1]["end_ns"]) + hold_ns(f, width)
        over = i64(0x7FFFFFFFFFFFFFFF)
        if i64(f["window_ns"]):
            over = i64(f["window_ns"]) + width
        c = table.conn[slot]
        if over <= t and over <= deadline:
            close_window(table, slot, d, over)
        elif deadline < t:
            # Nothing has explained the silence in time: idle if nothing was in flight, else it stays open.
            settle_open(table, c, f, d, i64(table.held_meta[i64(f["held_head"]) - 1]["end_ns"]))
        else:
            return True


@plain
def close_connection(table, slot, how, t):
    """The connection's observation is over at t: write its last rows, free its slot. False: the outputs are full."""
    c = table.conn[slot]
    width = i64(table.scalars[tables.WINDOW_NS])
    for d in range(2):
        if not catch_up(table, slot, d, t):
            return False
    if not has_room(table):
        return False
    if how in (_EXPIRED, _ENDED, _REUSED, _EVICTED) and i64(c["state"]) == CLOSED:
        how = _RESET if i64(c["reset_by"]) else _FIN
    carried = False
    for d in range(2):
        f = table.flow[2 * slot + d]
        finish(table, c, f, d, t, how == _RESET)
        if i64(f["window_ns"]):
            close_window(table, slot, d, i64(f["window_ns"]) + width)
        carried = carried or f["track"] & DATA_SEEN != 0
        hook_end(table, c, f, table.flow[2 * slot + 1 - d], d)
    for d in range(2):
        f = table.flow[2 * slot + d]
        first = i64(c["opener"]) - 1 if i64(c["opener"]) else i64(c["first_end"])
        if f["track"] & DATA_SEEN or (not carried and d == first):
            write_flow(table, slot, d, how)
    delist(table, slot)
    index_drop(table, i64(c["home"]), slot)
    c["state"] = FREE
    c["next"] = table.scalars[tables.FREE_SLOT]
    table.scalars[tables.FREE_SLOT] = slot
    table.scalars[tables.CONNECTIONS] -= 1
    return True


@plain
def write_flow(table, slot, d, how):
    """Write the final row of one flow."""
    c = table.conn[slot]
    f = table.flow[2 * slot + d]
    g = table.flow[2 * slot + 1 - d]
    n = table.scalars[tables.N_FLOWS]
    table.out_flow[n] = table.blank_flow[0]
    row = table.out_flow[n]
    put_key(row, c, d)
    row["start_ns"] = c["start_ns"]
    row["end_ns"] = c["last_ns"]
    row["ended_by"] = how
    row["clock_steps_back"] = i64(c["clock_steps"])
    hook_flow(c, f, g, d, row)
    table.scalars[tables.N_FLOWS] = n + 1


@plain
def make_room(table, shard, half):
    """Evict the least recently active connection of a full pool. False: the outputs are full."""
    s = table.shard[shard]
    if half:
        if i64(s["half_n"]) < table.scalars[tables.HALF_OPEN_PER_SHARD]:
            return True
        slot = i64(s["half_head"]) - 1
        c = table.conn[slot]
        width = i64(table.scalars[tables.WINDOW_NS])
        start = i64(c["last_ns"]) // width * width
        if i64(s["overflow_n"]) and i64(s["overflow_ns"]) != start:
            if not has_room(table):
                return False
            tell_overflow(table, shard, width)
        s["overflow_ns"] = start
        s["overflow_n"] = i64(s["overflow_n"]) + 1
        s["overflow_source"] = c["source"]
        for d in range(2):  # rows of windows that it holds are given up with it: the event counts for them
            f = table.flow[2 * slot + d]
            while i64(f["held_head"]):
                k = i64(f["held_head"]) - 1
                f["held_head"] = i64(table.held_meta[k]["next"])
                tables.give_held(table, k)
        delist(table, slot)
        index_drop(table, i64(c["home"]), slot)
        c["state"] = FREE
        c["next"] = table.scalars[tables.FREE_SLOT]
        table.scalars[tables.FREE_SLOT] = slot
        table.scalars[tables.CONNECTIONS] -= 1
        table.scalars[tables.HALF_OPEN_EVICTED] += 1
        return True
    if i64(s["n"]) < table.scalars[tables.CONNECTIONS_PER_SHARD]:
        return True
    oldest = i64(s["head"]) - 1
    walk = oldest
    while walk >= 0:
        c = table.conn[walk]
        o = table.conn[oldest]
        if i64(c["last_ns"]) < i64(o["last_ns"]) or (
            i64(c["last_ns"]) == i64(o["last_ns"]) and c["conn_id"] < o["conn_id"]
        ):
            oldest = walk
        walk = i64(c["next"]) - 1
    if not close_connection(table, oldest, i64(_EVICTED), i64(table.conn[oldest]["last_ns"])):
        return False
    table.scalars[tables.EVICTED] += 1
    return True


@plain
def tell_overflow(table, shard, width):
    """One event for all half-open connections that a shard gave up within a window."""
    s = table.shard[shard]
    n = table.scalars[tables.N_EVENTS]
    table.out_event[n] = table.blank_event[0]
    row = table.out_event[n]
    row["source"] = s["overflow_source"]
    row["conn_id"] = shard
    row["kind"] = 5
    row["verdict"] = 3
    row["cause"] = 6
    row["start_ns"] = s["overflow_ns"]
    row["duration_ns"] = width
    row["packets"] = s["overflow_n"]
    table.scalars[tables.N_EVENTS] = n + 1
    s["overflow_n"] = 0


@plain
def create(table, home, source, tenant, a_hi, a_lo, a_port, b_hi, b_lo, b_port, d, t, flags, shard):
    """A new connection in a free slot; the caller has made sure that there is one."""
    slot = i64(table.scalars[tables.FREE_SLOT])
    if slot >= 0:
        table.scalars[tables.FREE_SLOT] = i64(table.conn[slot]["next"])
    else:
        slot = i64(table.scalars[tables.FRESH_SLOT])
        table.scalars[tables.FRESH_SLOT] = slot + 1
    table.conn[slot] = table.conn[table.conn.shape[0] - 1]  # the last record of either array is never used: all zero
    table.flow[2 * slot] = table.flow[table.flow.shape[0] - 1]
    table.flow[2 * slot + 1] = table.flow[table.flow.shape[0] - 1]
    c = table.conn[slot]
    c["a_hi"], c["a_lo"], c["a_port"] = a_hi, a_lo, a_port
    c["b_hi"], c["b_lo"], c["b_port"] = b_hi, b_lo, b_port
    c["tenant"] = tenant
    c["source"] = source
    c["shard"] = shard
    c["home"] = home
    c["start_ns"] = t
    c["last_ns"] = t
    c["first_end"] = d
    x = mix64(table.source_hash[source] ^ np.uint64(t))
    x = mix64(x ^ a_hi)
    x = mix64(x ^ a_lo)
    x = mix64(x ^ b_hi)
    x = mix64(x ^ b_lo)
    ports = (np.uint64(a_port) << np.uint64(48)) ^ (np.uint64(b_port) << np.uint64(32))
    c["conn_id"] = mix64(x ^ ports ^ np.uint64(tenant))
    table.flow[2 * slot]["ledger_ns"] = t
    table.flow[2 * slot + 1]["ledger_ns"] = t
    half = i64(0)
    if flags & SYN:
        c["state"] = SYN_RECEIVED if flags & ACK else SYN_SENT
        half = i64(1)
    else:
        c["state"] = ESTABLISHED
        c["facts"] = MIDSTREAM
    index_add(table, home, slot)
    enlist(table, slot, half)
    table.scalars[tables.CONNECTIONS] += 1
    table.scalars[tables.CREATED] += 1
    return slot


@plain
def enter(table, seg, i, source, d, home, a_hi, a_lo, a_port, b_hi, b_lo, b_port, t, flags):
    """Create the connection of a segment; returns (slot, status)."""
    shard = i64(seg.shard[i])
    if not make_room(table, shard, flags & SYN):
        return i64(-1), FULL
    if table.scalars[tables.FREE_SLOT] < 0 and table.scalars[tables.FRESH_SLOT] >= table.conn.shape[0] - 1:
        return i64(-1), NO_SLOT
    slot = create(table, home, source, i64(seg.tenant[i]), a_hi, a_lo, a_port, b_hi, b_lo, b_port, d, t, flags, shard)
    return slot, DONE


@plain
def promote(table, slot):
    """A half-open connection is established (or closed): it moves to the other pool. False: the outputs are full."""
    if not make_room(table, i64(table.conn[slot]["shard"]), i64(0)):
        return False
    delist(table, slot)
    enlist(table, slot, i64(0))
    return True


@kernel
def process(seg, begin, end, source_of_tap, table):
    """Apply segments begin..end; returns (index of the first one not applied, why)."""
    known = i64(begin)
    base = i64(begin)
    ahead = table.scalars[tables.CONNECTIONS] > tables.AHEAD_FROM
    for i in range(begin, end):
        if not has_room(table):
            return i, FULL
        time = i64(seg.time_ns[i])
        flags = i64(seg.flags[i])
        tenant = i64(seg.tenant[i])
        source = i64(source_of_tap[seg.tap[i]])
        src_hi, src_lo, src_port = seg.src_hi[i], seg.src_lo[i], i64(seg.src_port[i])
        dst_hi, dst_lo, dst_port = seg.dst_hi[i], seg.dst_lo[i], i64(seg.dst_port[i])
        d = 0
        if backwards(src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port):
            d = 1
            src_hi, dst_hi = dst_hi, src_hi
            src_lo, dst_lo = dst_lo, src_lo
            src_port, dst_port = dst_port, src_port
        if ahead:
            if i >= known:
                known = min(i + tables.AHEAD, end)
                base = i
                look_ahead(seg, i, known, source_of_tap, table)
            home = table.ahead[i - base]
        else:
            home = home_of(seg, i, source_of_tap, table)
        slot = find(table, home, source, tenant, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port)
        seq = i64(seg.seq[i])
        if slot >= 0:
            c = table.conn[slot]
            last = i64(c["last_ns"])
            idle = table.scalars[tables.IDLE_NS]
            if i64(c["state"]) == CLOSED:
                idle = min(idle, LINGER_NS)
            elif i64(c["state"]) < ESTABLISHED:
                idle = min(idle, HALF_OPEN_NS)
            how = 0
            if time - last > idle:
                how = _EXPIRED
            elif flags & SYN and opens_anew(c, table.flow[2 * slot + d], flags, seq):
                how = _REUSED
            if how:
                if not close_connection(table, slot, how, min(max(time, last), last + idle)):
                    return i, FULL
                if how == _EXPIRED:
                    table.scalars[tables.EXPIRED] += 1
                slot = i64(-1)
        if slot < 0:
            slot, status = enter(
                table, seg, i, source, d, home, src_hi, src_lo, src_port, dst_hi, dst_lo, dst_port, time, flags
            )
            if status != DONE:
                return i, status
        c = table.conn[slot]
        t = max(time, i64(c["last_ns"]))
        f = table.flow[2 * slot + d]
        g = table.flow[2 * slot + 1 - d]
        width = i64(table.scalars[tables.WINDOW_NS])
        if i64(f["window_ns"]) == 0 or t >= i64(f["window_ns"]) + width or i64(f["held_head"]):
            if not catch_up(table, slot, d, t):
                return i, FULL
            if i64(f["window_ns"]) == 0 and not f["done"]:
                f["window_ns"] = t // width * width
                f["accrued_ns"] = max(i64(f["accrued_ns"]), i64(f["window_ns"])) if i64(f["accrued_ns"]) else t
        if i64(g["window_ns"]) == 0 or t >= i64(g["window_ns"]) + width or i64(g["held_head"]):
            if not catch_up(table, slot, 1 - d, t):
                return i, FULL
            if i64(g["window_ns"]) == 0 and not g["done"]:
                g["window_ns"] = t // width * width
                g["accrued_ns"] = max(i64(g["accrued_ns"]), i64(g["window_ns"])) if i64(g["accrued_ns"]) else t
        if time < i64(c["last_ns"]):
            c["clock_steps"] = i64(c["clock_steps"]) + 1
            table.scalars[tables.CLOCK_STEPS] += 1
        c["last_ns"] = t
        table.scalars[tables.SEGMENTS] += 1
        hook_segment(
            table, seg, i, c, f, g, d, t, flags, seq, i64(seg.ack[i]), i64(seg.payload_bytes[i]),
            i64(seg.window[i]), i64(seg.options[i]),
        )  # fmt: skip
        if c["half"]:
            if i64(c["state"]) >= ESTABLISHED:
                if not promote(table, slot):
                    return i + 1, FULL  # applied; it is promoted with its next segment
            else:
                delist(table, slot)
                enlist(table, slot, i64(1))
    return end, DONE


@kernel
def sweep(table, begin, wanted, watermark_ns, closing):
    """Bring connections of the wanted sources (mask by source index) up to a watermark, free what has expired, or, if
    `closing`, close them all as observation_ended. Returns (next slot, why)."""
    for slot in range(begin, table.scalars[tables.FRESH_SLOT]):
        c = table.conn[slot]
        state = i64(c["state"])
        if state == FREE or not wanted[i64(c["source"])]:
            continue
        idle = i64(table.scalars[tables.IDLE_NS])
        if state == CLOSED:
            idle = min(idle, LINGER_NS)
        elif state < ESTABLISHED:
            idle = min(idle, HALF_OPEN_NS)
        if watermark_ns - i64(c["last_ns"]) > idle:
            if not close_connection(table, slot, i64(_EXPIRED), i64(c["last_ns"]) + idle):
                return slot, FULL
            table.scalars[tables.EXPIRED] += 1
            continue
        if closing:
            if not close_connection(table, slot, i64(_ENDED), max(watermark_ns, i64(c["last_ns"]))):
                return slot, FULL
            continue
        for d in range(2):
            if not catch_up(table, slot, d, watermark_ns):
                return slot, FULL
    return i64(table.scalars[tables.FRESH_SLOT]), DONE


@kernel
def rehome(table, n):
    """Compute `home` of the first n connections anew, for this process's seed."""
    for slot in range(n):
        c = table.conn[slot]
        x = identity(
            table, i64(c["source"]), i64(c["tenant"]), c["a_hi"], c["a_lo"], i64(c["a_port"]), c["b_hi"], c["b_lo"],
            i64(c["b_port"]),
        )  # fmt: skip
        c["home"] = i64(x & np.uint64(0x7FFFFFFF))


@kernel
def overflow_events(table, begin):
    """Tell what half-open connections were given up and not yet told of; returns (next shard, why)."""
    width = i64(table.scalars[tables.WINDOW_NS])
    for shard in range(begin, table.shard.shape[0]):
        if i64(table.shard[shard]["overflow_n"]):
            if not has_room(table):
                return i64(shard), FULL
            tell_overflow(table, shard, width)
    return i64(table.shard.shape[0]), DONE
