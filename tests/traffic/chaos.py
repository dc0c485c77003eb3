"""Packets without a stack behind them: any order, any numbers, so that every rule meets every other.

A step is a tuple of small integers that each choose one thing; :func:`packets_of` turns steps into packets. Small
integers shrink well, so that a failing test ends with the smallest sequence that shows the difference.
"""

import random
from typing import NamedTuple

from schemas.columns import ACK, CWR, ECE, FIN, PSH, RST, SYN
from tests.traffic.packets import MASK, MS, US, Conversation, Packet, S

GAPS_NS = (50 * US, 10 * US, 1 * MS, 20 * MS, 300 * MS, 1_200 * MS, 5 * S, -3 * US, 12 * S, 80 * S)
FLAGS = (ACK, ACK | PSH, SYN, SYN | ACK, FIN | ACK, RST, RST | ACK, ACK | ECE, ACK | CWR, 0, FIN)
PAYLOADS = (0, 0, 1, 100, 1000, 2000, 1460, 60_000)
OFFSETS = (0, 0, 0, -1, 100, 1000, -1000, -2000, 3000, -100, -1460, 1 << 31)  # of seq from what is expected
ACK_OFFSETS = (0, 0, 0, -1, 100, 1000, -1000, -2000, 3000, -100, -1460)
WINDOWS = (65_535, 65_535, 0, 100, 500, 1)
SACKS = (
    (),
    (),
    ((1000, 2000),),
    ((1000, 2000), (3000, 4000)),
    ((-1000, 0),),
    ((4000, 9000),),
    ((0, 1000), (-1000, 3000)),
)


class Step(NamedTuple):
    """Indices into the lists above (modulo their lengths)."""

    by_server: int
    gap: int
    flags: int
    payload: int
    seq: int
    ack: int
    window: int
    sack: int
    copy: int  # 1: the packet before is captured once more instead
    stamp: int  # where timestamps are in use: 0, 1: the clock's, 2: an old one


LARGEST = Step(1, len(GAPS_NS) - 1, len(FLAGS) - 1, len(PAYLOADS) - 1, len(OFFSETS) - 1, len(ACK_OFFSETS) - 1,
               len(WINDOWS) - 1, len(SACKS) - 1, 9, 2)  # fmt: skip


def packets_of(
    steps: list[Step], *, ipv6: bool = False, isn: int = 1_000, opened: bool = True, stamped: bool = False
) -> list[Packet]:
    """The packets that the steps mean; opened: a handshake comes first."""
    ends = ("[2001:db8::1]:40000", "[2001:db8::2]:80") if ipv6 else ("10.0.0.1:40000", "10.0.0.2:80")
    talk = Conversation(*ends, isn=isn, server_isn=(isn + 77_777) & MASK)
    t = 900 * MS
    if stamped:
        talk.client.timestamps = talk.server.timestamps = 1000
    if opened:
        talk.handshake(t)
        t += 11 * MS
    for step in steps:
        t += GAPS_NS[step.gap]
        if step.copy == 1 and talk.packets:
            talk.again(talk.packets[-1], GAPS_NS[step.gap])
            continue
        side = talk.server if step.by_server else talk.client
        flags = FLAGS[step.flags]
        at = side.sent + OFFSETS[step.seq]
        fields: dict[str, object] = {}
        if flags & SYN:
            fresh = all(p.flags & SYN for p in talk.packets)
            if not fresh and flags & ACK:
                flags = ACK
            else:
                if not fresh:  # the port is used again
                    side.isn, side.sent = (side.isn + 5_000_000) & MASK, 0
                fields, at = {"mss": 1460, "wscale": 7, "sack_permitted": True}, -1
        elif flags & FIN:
            at = side.sent
        upto = side.peer.sent + ACK_OFFSETS[step.ack]
        if stamped and step.stamp == 2 and not flags & SYN:
            fields["timestamps"] = ((t // MS - 50) & MASK, side.peer.last_tsval)
        before = side.sent
        side.send(
            t,
            0 if flags & (SYN | RST) else PAYLOADS[step.payload],
            at=at,
            upto=upto,
            flags=flags,
            window=WINDOWS[step.window],
            sack=[(upto + a, upto + b) for a, b in SACKS[step.sack]],
            **fields,
        )
        if abs(side.sent - before) > 1 << 20:
            side.sent = before  # a number of another stream
    return talk.packets


def random_steps(rng: random.Random, count: int) -> list[Step]:
    """Steps of which most are ordinary: each choice is 0 (the usual) four times of five."""
    return [
        Step(*(rng.randrange(most + 1) if n in (0, 3) or rng.random() < 0.3 else 0 for n, most in enumerate(LARGEST)))
        for _ in range(count)
    ]
