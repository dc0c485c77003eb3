"""One settled row per flow and window: windows that are over wait here until their silences are explained.

`book` moves a flow's ledger forward: the time from `ledger_ns` to `to` goes to one slot, split at window edges over the
held rows and the open window. A held row whose time is booked completely is judged and written. Rows are written in
order and never revised. Booking is in whole microseconds of capture time (floor of either edge), so that shares of a
window sum to exactly one and nothing is lost or counted twice.
"""

from schemas.columns import inlined, plain
from streams.inference.recovery import timeout_ns
from streams.inference.rtt import near_leg
from streams.inference.sequence import ACKED
from streams.inference.serial import i64, u32
from streams.inference.slots import IDLE, SLOTS
from streams.inference.statistic import Statistic
from streams.inference.table import N_WINDOWS, NO_WINDOW_ROWS, give_held
from streams.inference.verdict import judge, secondary_of, visibility_of

# A window is held at most this long (inference.md 3.1), whatever the retransmission timer says.
_HOLD_NS = 4_000_000_000

STATISTIC = Statistic(
    name="settling",
    front=("window_ns", "held_head", "done"),
    hot=("ledger_ns", "done", "booked_us", "w_booked_us", "gaps", "w_gaps", "window_ns", "held_head"),
    flow={
        "ledger_ns": "i8",  # everything before is booked; 0: the flow's time has not begun
        "booked_us": f"({SLOTS},)i8",
        "gaps": "u4",
        "setup_cause": "u1",
        "window_ns": "i8",  # start of the open window, 0: none open
        "held_head": "i4",  # first held row + 1
        "held_tail": "i4",
        "done": "u1",  # the flow's time is over
        "w_booked_us": f"({SLOTS},)u4",
        "w_gaps": "u4",
    },
    windows=(
        "covered_ns", "delivery_rate_bps", "backlogged", "cwnd_provenance", "verdict", "cause", "confidence",
        "secondary_causes", "time_idle", "time_sender", "time_receiver", "time_network", "time_setup", "time_unknown",
    ),
    flows=(
        "covered_ns", "delivery_rate_bps", "verdict", "cause", "confidence", "time_idle", "time_sender",
        "time_receiver", "time_network", "time_setup", "time_unknown", "time_active_sender", "time_active_receiver",
        "time_active_network", "time_active_setup", "time_active_unknown",
    ),
)  # fmt: skip


@inlined
def hold_ns(f, window_ns):
    """How long after its end a window of this flow may be held."""
    return max(2 * window_ns, min(2 * timeout_ns(f), _HOLD_NS))


@plain
def write_held(table, f):
    """Judge and write the flow's first held row."""
    k = i64(f["held_head"]) - 1
    meta = table.held_meta[k]
    following = i64(meta["next"])
    f["held_head"] = following
    if following == 0:
        f["held_tail"] = 0
    if table.scalars[NO_WINDOW_ROWS]:
        give_held(table, k)
        return
    row = table.held_row[k]
    booked = meta["booked_us"]
    total = judge(row, booked, i64(f["setup_cause"]), meta["visibility"], i64(meta["gaps"]))
    row["covered_ns"] = total * 1000
    row["secondary_causes"] = secondary_of(booked, i64(row["cause"]))
    acked = i64(row["delivery_rate_bps"])  # held as bytes until the covered time is known
    row["delivery_rate_bps"] = acked * 8_000_000 // total if total > 0 else 0
    backlog = row["time_network"] + row["time_receiver"]
    row["backlogged"] = 1 if backlog > 0.5 else 0
    row["cwnd_provenance"] = 0 if row["time_network"] > 0.5 else 1
    n = table.scalars[N_WINDOWS]
    table.out_window[n] = row
    table.scalars[N_WINDOWS] = n + 1
    give_held(table, k)


@inlined
def book(table, f, to, slot):
    """Book the time from the flow's ledger to `to` (int64) under one slot (int64); settles held rows that this
    completes. The table is only handed on where a row is held: its many arrays are dear to pass to a function."""
    if f["held_head"]:
        book_held(table, f, to, slot)
    book_open(f, to, slot)


@plain
def book_held(table, f, to, slot):
    """The part of :func:`book` that concerns held rows; comes before :func:`book_open`."""
    start = i64(f["ledger_ns"])
    if start == 0 or f["done"] or to <= start:
        return
    while f["held_head"]:
        meta = table.held_meta[i64(f["held_head"]) - 1]
        end = i64(meta["end_ns"])
        begin = max(start, i64(meta["start_ns"]))
        part = min(to, end)
        if part > begin:
            meta["booked_us"][slot] = u32(i64(meta["booked_us"][slot]) + part // 1000 - begin // 1000)
            meta["gaps"] = i64(meta["gaps"]) + 1
        if to < end:
            break
        write_held(table, f)


@plain
def book_open(f, to, slot):
    """The part of :func:`book` that concerns the flow and its open window; moves the ledger."""
    start = i64(f["ledger_ns"])
    if start == 0 or f["done"] or to <= start:
        return
    until = to // 1000
    f["booked_us"][slot] += until - start // 1000
    f["gaps"] = i64(f["gaps"]) + 1
    opened = i64(f["window_ns"])
    if opened:
        begin = max(start, opened)
        if to > begin:
            f["w_booked_us"][slot] = u32(i64(f["w_booked_us"][slot]) + until - begin // 1000)
            f["w_gaps"] = i64(f["w_gaps"]) + 1
    f["ledger_ns"] = to


@plain
def hold(table, f, k, end_ns):
    """Append the row in place k of the pool to the flow's held rows, with what is booked so far."""
    meta = table.held_meta[k]
    meta["next"] = 0
    meta["start_ns"] = i64(f["window_ns"])
    meta["end_ns"] = end_ns
    meta["gaps"] = i64(f["w_gaps"])
    meta["visibility"] = visibility_of(
        i64(f["unseen_bytes"]), i64(f["payload_bytes"]), f["track"] & ACKED != 0, near_leg(f), i64(f["rtt_min_ns"])
    )
    for s in range(SLOTS):
        meta["booked_us"][s] = f["w_booked_us"][s]
    if f["held_tail"]:
        table.held_meta[i64(f["held_tail"]) - 1]["next"] = k + 1
    else:
        f["held_head"] = k + 1
    f["held_tail"] = k + 1
    if i64(f["ledger_ns"]) >= end_ns or f["done"]:
        while f["held_head"]:
            if not f["done"] and i64(table.held_meta[i64(f["held_head"]) - 1]["end_ns"]) > i64(f["ledger_ns"]):
                break
            write_held(table, f)


@plain
def on_close(f, row):
    """The whole flow's shares and verdict."""
    booked = f["booked_us"]
    visibility = visibility_of(
        i64(f["unseen_bytes"]), i64(f["payload_bytes"]), f["track"] & ACKED != 0, near_leg(f), i64(f["rtt_min_ns"])
    )
    total = judge(row, booked, i64(f["setup_cause"]), visibility, i64(f["gaps"]))
    row["covered_ns"] = total * 1000
    active = total - i64(booked[IDLE])
    if active > 0:
        for_active = total / active
        row["time_active_sender"] = row["time_sender"] * for_active
        row["time_active_receiver"] = row["time_receiver"] * for_active
        row["time_active_network"] = row["time_network"] * for_active
        row["time_active_setup"] = row["time_setup"] * for_active
        row["time_active_unknown"] = row["time_unknown"] * for_active
        row["delivery_rate_bps"] = f["acked_bytes"] * 8_000_000 // active
