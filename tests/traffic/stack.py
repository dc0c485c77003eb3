"""What an end of a simulated connection is like: its stack and its application."""

from dataclasses import dataclass, field

from tests.traffic.packets import MS


@dataclass
class Stack:
    """How an end behaves."""

    mss: int = 1460
    wscale: int | None = 7
    sack: bool = True
    timestamps: bool = True
    ecn: bool = False
    buffer_bytes: int = 65_535
    read_bps: float | None = None  # None: the application reads at once
    delayed_ack_ns: int = 40 * MS
    super_segments: int = 1  # MSS a packet may hold (TSO)
    rto_min_ns: int = 200 * MS
    tail_probes: bool = True
    probe_bytes: int = 0  # payload of window probes and keep-alives: 0 or 1
    keepalive_ns: int | None = None
    isn: int = 1_000
    initial_window: int = 10


@dataclass
class Turn:
    """What an application does: after `after` bytes have come in and `think_ns` more, write `writes` chunks."""

    after: int
    think_ns: int
    writes: list[int] = field(default_factory=list)
    gap_ns: int = 0  # between the writes


def merged(blocks: list[tuple[int, int]], newest: tuple[int, int] | None = None) -> list[tuple[int, int]]:
    """Blocks joined where they touch; the one that holds `newest` comes last (the receiver names it first)."""
    out: list[tuple[int, int]] = []
    for left, right in sorted(blocks):
        if left >= right:
            continue
        if out and left <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], right))
        else:
            out.append((left, right))
    if newest is not None:
        out.sort(key=lambda block: block[0] <= newest[0] < block[1])
    return out
