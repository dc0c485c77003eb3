"""Counters: packets, bytes and congestion marks of each direction. Repeats count; copies of one packet do not."""

from schemas.columns import ECE, SYN, inlined, plain
from streams.inference.serial import i64
from streams.inference.statistic import Statistic

_CE = 3

STATISTIC = Statistic(
    name="counters",
    front=("packets", "wire_bytes", "payload_bytes", "w_packets", "w_payload_bytes"),
    flow={
        "packets": "i8",
        "wire_bytes": "i8",
        "payload_bytes": "i8",
        "ce_packets": "u4",
        "ece_packets": "u4",
        "w_packets": "u4",
        "w_payload_bytes": "i8",
    },
    windows=("packets", "payload_bytes"),
    flows=("packets", "wire_bytes", "payload_bytes", "ce_packets", "ece_packets"),
)


@inlined
def on_segment(c, f, g, flags, payload, seg, i):
    f["packets"] += 1
    f["wire_bytes"] += i64(seg.wire_bytes[i])
    f["payload_bytes"] += payload
    f["w_packets"] = i64(f["w_packets"]) + 1
    f["w_payload_bytes"] += payload
    if i64(seg.ecn[i]) == _CE:
        f["ce_packets"] = i64(f["ce_packets"]) + 1
    # Accurate ECN makes of ECE a bit of a counter (RFC 9768): then it is no mark.
    if flags & ECE and not flags & SYN and i64(c["ecn"]) == 1:
        g["ece_packets"] = i64(g["ece_packets"]) + 1


@plain
def on_window_close(f, row):
    row["packets"] = i64(f["w_packets"])
    row["payload_bytes"] = f["w_payload_bytes"]


@plain
def on_close(f, row):
    row["packets"] = f["packets"]
    row["wire_bytes"] = f["wire_bytes"]
    row["payload_bytes"] = f["payload_bytes"]
    row["ce_packets"] = i64(f["ce_packets"])
    row["ece_packets"] = i64(f["ece_packets"])
