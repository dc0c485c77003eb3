"""TCP options (RFC 9293, 7323, 2018, 7413, 8684; draft-ietf-tcpm-accurate-ecn)."""

from ingest.capture.headers.loads import be16, be32, byte
from schemas.columns import (
    OPT_ACC_ECN,
    OPT_FAST_OPEN,
    OPT_MPTCP,
    OPT_MSS,
    OPT_SACK,
    OPT_SACK_PERMITTED,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    SEG_OPTIONS_CUT,
)
from schemas.jit import plain

_END, _NOP, _MSS, _WSCALE, _SACK_PERMITTED, _SACK, _TIMESTAMPS, _MPTCP, _FAST_OPEN = 0, 1, 2, 3, 4, 5, 8, 30, 34
_ACC_ECN_0, _ACC_ECN_1 = 172, 174
_EXPERIMENT_1, _EXPERIMENT_2, _FAST_OPEN_EXPERIMENT = 253, 254, 0xF989  # RFC 6994; Fast Open before its number

# Slots of the int64 array of option values; from V_SACK on the edges of the SACK blocks.
V_TSVAL, V_TSECR, V_MSS, V_WSCALE, V_SACK_N, V_SACK = range(6)
V_SIZE = V_SACK + 8


@plain
def tcp_options(raw, at, end, captured, values):
    """Read the options in raw[at:end], of which raw[at:captured] is there, into `values`; returns OPT_* bits.

    values: int64[V_SIZE]; 0 for options that are absent. An option of a wrong length is not believed; it and
    everything behind the cut are told by SEG_OPTIONS_CUT.
    """
    options = 0
    for slot in range(V_SACK):
        values[slot] = 0
    stop = min(end, captured)
    while at < stop:
        kind = byte(raw, at)
        if kind == _NOP:
            at += 1
            continue
        if kind == _END:
            return options
        if at + 2 > stop:
            return options | SEG_OPTIONS_CUT
        size = byte(raw, at + 1)
        if size < 2 or at + size > stop:
            return options | SEG_OPTIONS_CUT
        if kind == _TIMESTAMPS and size == 10:
            options |= OPT_TIMESTAMPS
            values[V_TSVAL] = be32(raw, at + 2)
            values[V_TSECR] = be32(raw, at + 6)
        elif kind == _SACK and size >= 10 and (size & 7) == 2:  # RFC 2018: 8 * blocks + 2; 40 bytes hold four
            blocks = (size - 2) >> 3
            options |= OPT_SACK
            values[V_SACK_N] = blocks
            for edge in range(2 * blocks):
                values[V_SACK + edge] = be32(raw, at + 2 + 4 * edge)
        elif kind == _MSS and size == 4:
            options |= OPT_MSS
            values[V_MSS] = be16(raw, at + 2)
        elif kind == _WSCALE and size == 3:
            options |= OPT_WSCALE
            values[V_WSCALE] = byte(raw, at + 2)
        elif kind == _SACK_PERMITTED and size == 2:
            options |= OPT_SACK_PERMITTED
        elif kind == _MPTCP:
            options |= OPT_MPTCP
        elif kind == _FAST_OPEN:
            options |= OPT_FAST_OPEN
        elif kind in (_ACC_ECN_0, _ACC_ECN_1):
            options |= OPT_ACC_ECN
        elif kind in (_EXPERIMENT_1, _EXPERIMENT_2):
            if size >= 4 and be16(raw, at + 2) == _FAST_OPEN_EXPERIMENT:
                options |= OPT_FAST_OPEN
        elif kind in (_TIMESTAMPS, _SACK, _MSS, _WSCALE, _SACK_PERMITTED):
            options |= SEG_OPTIONS_CUT
        at += size
    return options | SEG_OPTIONS_CUT if stop < end else options
