"""Round trip times at the tap: data to its ACK, timestamp to its echo, per leg; smoothed as RFC 6298 does.

Data samples: a segment's end and time are kept (a ring of RING, filled while there is room, so that samples spread over
the flight); the ACK that names exactly that end gives a sample. Karn's rule in its strict form: nothing sent before the
flow's last repetition is ever sampled, since the ACK may answer the repetition.

Echo samples measure the leg tap - src - tap of a flow's own sender: the first segment towards src that carries a new
TSval is noted, src's first segment that echoes it (RFC 7323) closes the sample. Together with the handshake's half this
gives the sender's leg, which no data sample of the flow sees.

Sender's round trip = receiver's leg (data samples) + smallest known leg of the sender.
"""

from schemas.columns import ACK, OPT_TIMESTAMPS, SYN, inlined, plain
from streams.inference.sequence import NEW, REPAIR, REPEAT
from streams.inference.serial import MASK, diff, i64, u32
from streams.inference.statistic import Statistic

RING = 8
# Histogram for the percentiles: 4 buckets an octave of microseconds from 16 us, halved when one is full.
BUCKETS = 64
_OCTAVE = 4
_LOWEST_US = 16
# A window's median comes from up to SAMPLES samples, thinned by powers of two as they come.
SAMPLES = 8
# Times in the ring are in units of 16 ns, which wrap after 68 s. So the time of the newest entry is kept whole, an
# entry's age is that and the distance of their ticks, and entries 60 s old when one is added are known as too old.
_TICK_SHIFT = 4
_OLDEST_TICKS = 60_000_000_000 >> _TICK_SHIFT
# Two notions of the smallest RTT: for ever, and lately (BBR's 10 s), by two half-window buckets.
_RECENT_NS = 5_000_000_000

STATISTIC = Statistic(
    name="rtt",
    front=("ring_n", "echo_val", "echo_last", "echo_ns"),
    hot=(
        "ring_n", "ring_at", "ring_seq", "ring_tick", "srtt_ns", "rttvar_ns", "rtt_min_ns", "rtt_recent_ns",
        "rtt_before_ns", "rtt_since_ns", "rtt_samples", "rtt_histogram", "w_rtt_min_ns", "w_rtt_samples", "w_rtt_kept",
    ),
    flow={
        "ring_n": "u1",
        "ring_at": "u1",
        "ring_seq": f"({RING},)u4",
        "ring_tick": f"({RING},)u4",
        "ring_old": "u1",  # how many of the oldest entries are too old
        "ring_ns": "i8",  # time of the newest entry
        "repeat_ns": "i8",  # time of the last repetition
        "srtt_ns": "i8",
        "rttvar_ns": "i8",
        "rtt_min_ns": "i8",
        "rtt_recent_ns": "i8",
        "rtt_before_ns": "i8",
        "rtt_since_ns": "i8",
        "rtt_samples": "u4",
        "rtt_histogram": f"({BUCKETS},)u1",
        "echo_val": "u4",
        "echo_last": "u4",
        "echo_ns": "i8",
        "echo_leg_ns": "i8",
        "w_rtt_min_ns": "i8",
        "w_rtt_samples": "u4",
        "w_rtt_kept": f"({SAMPLES},)u4",
    },
    provides=("rtt_ns",),
    windows=("rtt_min_ns", "rtt_p50_ns", "rtt_samples", "srtt_ns", "queue_delay_ns"),
    flows=(
        "rtt_min_ns", "rtt_p50_ns", "rtt_p95_ns", "rtt_samples", "srtt_ns", "near_rtt_min_ns", "far_rtt_min_ns",
    ),
)  # fmt: skip


@inlined
def near_leg(f):
    """Smallest known RTT tap - sender - tap of flow f, 0 if unknown."""
    leg = i64(f["leg_handshake_ns"])
    echo = i64(f["echo_leg_ns"])
    return echo if echo and (leg == 0 or echo < leg) else leg


@inlined
def sender_rtt(f):
    """The sender's smoothed round trip of flow f, 0 if unknown."""
    return i64(f["srtt_ns"]) + near_leg(f) if i64(f["srtt_ns"]) else i64(0)


@inlined
def recent_min(f):
    """Smallest receiver-leg RTT of the last 5 to 10 s, 0 if unknown."""
    now, before = i64(f["rtt_recent_ns"]), i64(f["rtt_before_ns"])
    return before if before and (now == 0 or before < now) else now


@plain
def bucket_of(sample_ns):
    """The histogram bucket of a sample."""
    scaled = max(sample_ns // 1000, 1) // _LOWEST_US
    octave = 0
    while scaled >= 2:
        scaled >>= 1
        octave += 1
    low = _LOWEST_US << octave
    part = (sample_ns // 1000 - low) * _OCTAVE // low
    return min(octave * _OCTAVE + min(max(part, 0), _OCTAVE - 1), BUCKETS - 1)


@plain
def quantile_ns(f, numerator, denominator):
    """A quantile of the histogram, interpolated within its bucket."""
    counts = f["rtt_histogram"]
    total = 0
    for k in range(BUCKETS):
        total += i64(counts[k])
    if total == 0:
        return i64(0)
    want = (total * numerator + denominator - 1) // denominator
    passed = 0
    for k in range(BUCKETS):
        n = i64(counts[k])
        if n and passed + n >= want:
            low = (_LOWEST_US << (k // _OCTAVE)) * (_OCTAVE + k % _OCTAVE) * 1000 // _OCTAVE
            width = (_LOWEST_US << (k // _OCTAVE)) * 1000 // _OCTAVE
            if k == 0:  # the first bucket begins at nothing
                low, width = i64(0), low + width
            return max(low + width * (2 * (want - passed) - 1) // (2 * n), i64(f["rtt_min_ns"]))
        passed += n
    return i64(0)


@plain
def take_sample(g, t, sample):
    """One valid sample of flow g."""
    srtt = i64(g["srtt_ns"])
    if srtt == 0:
        g["srtt_ns"] = sample
        g["rttvar_ns"] = sample // 2
    else:
        g["rttvar_ns"] += (abs(sample - srtt) - i64(g["rttvar_ns"])) // 4
        g["srtt_ns"] = max(srtt + (sample - srtt) // 8, 1)
    if i64(g["rtt_min_ns"]) == 0 or sample < i64(g["rtt_min_ns"]):
        g["rtt_min_ns"] = sample
    if t - i64(g["rtt_since_ns"]) > _RECENT_NS:
        g["rtt_before_ns"] = i64(g["rtt_recent_ns"]) if t - i64(g["rtt_since_ns"]) <= 2 * _RECENT_NS else 0
        g["rtt_recent_ns"] = sample
        g["rtt_since_ns"] = t
    elif sample < i64(g["rtt_recent_ns"]):
        g["rtt_recent_ns"] = sample
    g["rtt_samples"] = i64(g["rtt_samples"]) + 1
    counts = g["rtt_histogram"]
    k = bucket_of(sample)
    if i64(counts[k]) == 255:
        for m in range(BUCKETS):
            counts[m] = i64(counts[m]) // 2
    counts[k] = i64(counts[k]) + 1
    n = i64(g["w_rtt_samples"])
    if i64(g["w_rtt_min_ns"]) == 0 or sample < i64(g["w_rtt_min_ns"]):
        g["w_rtt_min_ns"] = sample
    kept = g["w_rtt_kept"]
    stride = 1
    while n // stride >= SAMPLES:
        stride *= 2
    if n % stride == 0:
        if n and n == stride * SAMPLES // 2 and stride > 1:  # the stride has doubled: every other one goes
            for m in range(SAMPLES // 2):
                kept[m] = kept[2 * m]
        kept[n // stride] = u32(min(sample >> _TICK_SHIFT, MASK))
    g["w_rtt_samples"] = n + 1


@inlined
def age_ticks(f, t, at):
    """How long ago the ring's entry `at` was sent; right for those that are not too old."""
    newest = i64(f["ring_ns"]) >> _TICK_SHIFT
    return (t >> _TICK_SHIFT) - newest + ((newest - i64(f["ring_tick"][at])) & MASK)


@plain
def match(g, t, ack):
    """Drop ring entries that the ACK passes; a sample if it names one exactly, sent after the last repetition."""
    n = i64(g["ring_n"])
    at = i64(g["ring_at"])
    old = i64(g["ring_old"])
    sample = i64(0)
    while n:
        behind = diff(i64(g["ring_seq"][at]), ack)
        if behind > 0:
            break
        ticks = age_ticks(g, t, at)
        if behind == 0 and old == 0 and ticks < _OLDEST_TICKS:
            sent = t - (ticks << _TICK_SHIFT)
            if sent >> _TICK_SHIFT > i64(g["repeat_ns"]) >> _TICK_SHIFT:
                sample = max(ticks << _TICK_SHIFT, 1)
        at = (at + 1) % RING
        n -= 1
        old = max(old - 1, 0)
    g["ring_n"] = n
    g["ring_at"] = at
    g["ring_old"] = old
    if sample:
        take_sample(g, t, sample)
    return sample


@inlined
def on_segment(f, g, t, flags, ack, payload, options, kind, advanced, seg, i):
    rtt_ns = i64(0)
    if advanced and i64(g["ring_n"]):
        rtt_ns = match(g, t, ack)
    if kind == NEW and payload:
        n = i64(f["ring_n"])
        if n < RING:
            first = i64(f["ring_at"])
            old = i64(f["ring_old"])
            while old < n and age_ticks(f, t, (first + old) % RING) >= _OLDEST_TICKS:
                old += 1
            at = (first + n) % RING
            f["ring_seq"][at] = f["snd_nxt"]
            f["ring_tick"][at] = u32(t >> _TICK_SHIFT)
            f["ring_old"] = old
            f["ring_ns"] = t
            f["ring_n"] = n + 1
    elif kind == REPEAT or kind == REPAIR:
        f["repeat_ns"] = t
    if options & OPT_TIMESTAMPS and not flags & SYN:
        # f's segments carry TSvals to g's src, and echo what g's src sent to f's src.
        tsval, tsecr = i64(seg.tsval[i]), i64(seg.tsecr[i])
        if i64(g["echo_ns"]) == 0:
            if diff(tsval, i64(g["echo_last"])) > 0 or i64(g["echo_last"]) == 0:
                if i64(g["echo_last"]):
                    g["echo_val"] = u32(tsval)
                    g["echo_ns"] = t
        if diff(tsval, i64(g["echo_last"])) > 0 or i64(g["echo_last"]) == 0:
            g["echo_last"] = u32(tsval)
        if flags & ACK and i64(f["echo_ns"]) and diff(tsecr, i64(f["echo_val"])) >= 0:
            if tsecr == i64(f["echo_val"]):
                leg = max(t - i64(f["echo_ns"]), 1)
                if i64(f["echo_leg_ns"]) == 0 or leg < i64(f["echo_leg_ns"]):
                    f["echo_leg_ns"] = leg
            f["echo_ns"] = 0
    return rtt_ns


@plain
def median_of_window(f):
    """The median of the samples kept for the window (exact up to SAMPLES samples), 0 if none."""
    n = i64(f["w_rtt_samples"])
    if n == 0:
        return i64(0)
    stride = 1
    while (n - 1) // stride >= SAMPLES:
        stride *= 2
    count = (n - 1) // stride + 1
    kept = f["w_rtt_kept"]
    for a in range(1, count):  # few enough to insert; the window ends, so their order is free
        value = i64(kept[a])
        b = a - 1
        while b >= 0 and i64(kept[b]) > value:
            kept[b + 1] = kept[b]
            b -= 1
        kept[b + 1] = u32(value)
    middle = i64(kept[(count - 1) // 2]) + i64(kept[count // 2])
    return (middle << _TICK_SHIFT) // 2


@plain
def on_window_close(f, row):
    near = near_leg(f)
    row["rtt_samples"] = i64(f["w_rtt_samples"])
    if i64(f["w_rtt_samples"]):
        median = median_of_window(f)
        row["rtt_min_ns"] = i64(f["w_rtt_min_ns"]) + near
        row["rtt_p50_ns"] = median + near
        row["queue_delay_ns"] = max(median - i64(f["rtt_min_ns"]), 0)
    if i64(f["srtt_ns"]):
        row["srtt_ns"] = sender_rtt(f)


@plain
def on_close(f, g, row):
    near = near_leg(f)
    row["rtt_samples"] = i64(f["rtt_samples"])
    if i64(f["rtt_samples"]):
        row["rtt_min_ns"] = i64(f["rtt_min_ns"]) + near
        row["rtt_p50_ns"] = quantile_ns(f, 50, 100) + near
        row["rtt_p95_ns"] = quantile_ns(f, 95, 100) + near
        row["srtt_ns"] = sender_rtt(f)
    sender = near
    if i64(g["rtt_min_ns"]) and (sender == 0 or i64(g["rtt_min_ns"]) < sender):
        sender = i64(g["rtt_min_ns"])
    if sender:
        row["near_rtt_min_ns"] = sender
    receiver = near_leg(g)
    if i64(f["rtt_min_ns"]) and (receiver == 0 or i64(f["rtt_min_ns"]) < receiver):
        receiver = i64(f["rtt_min_ns"])
    if receiver:
        row["far_rtt_min_ns"] = receiver
