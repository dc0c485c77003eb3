"""The laboratory's scenarios as data: path, applications, the verdict each is built to have, and a sentence for people.

A scenario's number seeds its losses and chooses its far host and ports, so new ones go to the end.
"""

from dataclasses import dataclass, replace

from infra.lab.script import Bulk, Drain, Produce, Read, Repeat, Sleep, SlowRead, Step, Write

MBIT = 1_000_000
MIN_QUEUE_BYTES = 22_500  # 15 full frames: a shorter queue drops a window's own bursts


@dataclass(frozen=True)
class Impairment:
    """One direction of the path. A rate of 0 has no bottleneck; the queue drops at its tail."""

    delay_s: float
    rate_bps: int = 0
    queue_bytes: int = 0
    loss: float = 0.0
    drop_syns: int = 0
    outages_s: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class End:
    """One end of a connection: its script and socket options (0: the kernel's own choice)."""

    script: tuple[Step, ...]
    receive_buffer_bytes: int = 0
    send_buffer_bytes: int = 0
    no_delay: bool = False
    listens: bool = True


@dataclass(frozen=True)
class Flow:
    """One connection, opened by the near host. `verdict`: of its main data direction; None where it changes."""

    verdict: str | None
    near: End
    far: End = End((Drain(),))
    congestion_control: str = "cubic"
    start_s: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """What runs. `seconds` bounds the scripts; `capture_from_s` is the second that the capture begins at."""

    name: str
    sentence: str
    forward: Impairment  # near to far
    backward: Impairment
    flows: tuple[Flow, ...]
    seconds: float
    ipv6: bool = False
    tso: bool = False  # the near host hands out super-segments, as guests do
    capture_at: str = "near"
    capture_from_s: float | None = None  # None: before the first SYN
    number: int = 0


def _narrow(round_trip_ms: float, mbit: float, queue_bdp: float = 1.0) -> Impairment:
    """A bottleneck with half the round trip as its delay and a queue in bandwidth-delay products."""
    rate = int(mbit * MBIT)
    return Impairment(
        round_trip_ms / 2000, rate, max(MIN_QUEUE_BYTES, int(queue_bdp * rate / 8 * round_trip_ms / 1000))
    )


def _wide(round_trip_ms: float) -> Impairment:
    return Impairment(round_trip_ms / 2000, 100 * MBIT, 400_000)


_LIST = (
    Scenario(
        "sender-slow-producer",
        "The application writes two segments every 15 ms, far below what the path carries.",
        _narrow(40, 20),
        _wide(40),
        (Flow("sender", End((Produce(2896, 0.015, 4.5),))),),
        6,
    ),
    Scenario(
        "sender-server-think",
        "A client asks one request after another; the server thinks 250 ms before each answer of 43 KB.",
        _wide(24),
        _narrow(24, 20),
        (
            Flow(
                "sender",
                End((Repeat(12, (Write(400), Read(43440))),), no_delay=True),
                End((Repeat(12, (Read(400), Sleep(0.25), Write(43440))),), no_delay=True),
            ),
        ),
        7,
        capture_at="far",
    ),
    Scenario(
        "receiver-small-buffer",
        "The receiver's socket buffer holds 16 KB on a path of 120 ms.",
        _narrow(120, 20),
        _wide(120),
        (Flow("receiver", End((Bulk(4.5),)), End((Drain(),), receive_buffer_bytes=16_000)),),
        6,
    ),
    Scenario(
        "receiver-zero-window",
        "The receiving application stops reading twice, for 1.6 and for 1.1 seconds: its window closes.",
        _narrow(40, 4),
        _wide(40),
        (
            Flow(
                "receiver",
                End((Bulk(4.2),)),
                End((Drain(0.5), Sleep(1.6), Drain(0.4), Sleep(1.1), Drain()), receive_buffer_bytes=40_000),
            ),
        ),
        6,
    ),
    Scenario(
        "receiver-slow-reader",
        "The receiving application reads 6 KB every 50 ms, a twentieth of what the path carries.",
        _narrow(30, 20),
        _wide(30),
        (
            Flow(
                "receiver",
                End((Bulk(4),)),
                End((SlowRead(6000, 0.05, 4), Drain()), receive_buffer_bytes=32_000),
                "reno",
            ),
        ),
        6,
    ),
    Scenario(
        "network-loss",
        "Two packets in a hundred are lost on a path of 10 Mbit/s and 40 ms; the sender never stops repairing.",
        replace(_narrow(40, 10), loss=0.02),
        _wide(40),
        (Flow("network", End((Bulk(4),)), congestion_control="reno"),),
        6,
    ),
    Scenario(
        "network-bottleneck",
        "A bulk transfer fills a link of 3 Mbit/s and the deep queue before it.",
        _narrow(30, 3, queue_bdp=4),
        _wide(30),
        (Flow("network", End((Bulk(3.5),))),),
        6,
    ),
    Scenario(
        "network-bbr-ipv6",
        "A bulk transfer with BBR over IPv6: paced at the rate of the link, 3 Mbit/s.",
        _narrow(40, 3, queue_bdp=2),
        _wide(40),
        (Flow("network", End((Bulk(3),)), congestion_control="bbr"),),
        6,
        ipv6=True,
    ),
    Scenario(
        "network-outage",
        "The path is dead from 1.2 s to 2.0 s; the sender waits for its retransmission timer.",
        replace(_narrow(30, 3), outages_s=((1.2, 2.0),)),
        _wide(30),
        (Flow("network", End((Bulk(3.5),))),),
        6,
    ),
    Scenario(
        "network-super-segments",
        "A bulk transfer of a guest that hands out segments far above the link's MTU.",
        _narrow(20, 40, queue_bdp=1.5),
        _wide(20),
        (Flow("network", End((Bulk(0.7),))),),
        3,
        tso=True,
    ),
    Scenario(
        "setup-lost-syn",
        "The first two SYNs are lost: 30 KB that need a fifth of a second take more than two.",
        replace(_narrow(30, 10), drop_syns=2),
        _wide(30),
        (Flow("setup", End((Write(30_000),))),),
        5,
    ),
    Scenario(
        "setup-refused",
        "Nothing listens at the port: the connection is refused.",
        _narrow(30, 10),
        _wide(30),
        (Flow("setup", End((Write(1000),)), End((), listens=False)),),
        1,
    ),
    Scenario(
        "midstream-receiver",
        "A small receive buffer on a path of 80 ms, met in the middle: no handshake tells the window's scale.",
        _narrow(80, 20),
        _wide(80),
        (Flow("receiver", End((Bulk(5),)), End((Drain(),), receive_buffer_bytes=20_000)),),
        7,
        capture_from_s=1.5,
    ),
    Scenario(
        "midstream-network",
        "A bulk transfer over a link of 3 Mbit/s, met in the middle.",
        _narrow(40, 3, queue_bdp=2),
        _wide(40),
        (Flow("network", End((Bulk(4),))),),
        6,
        capture_from_s=1.3,
    ),
    Scenario(
        "mixed-phases",
        "A slow reader for two seconds, then the link of 3 Mbit/s for two, then a slow producer for two and a half.",
        _narrow(30, 3, queue_bdp=2),
        _wide(30),
        (
            Flow(
                None,
                End((Bulk(4), Produce(2896, 0.02, 2.5))),
                End((SlowRead(5000, 0.05, 2), Drain()), receive_buffer_bytes=60_000),
            ),
        ),
        8,
    ),
    Scenario(
        "shared-link",
        "Three connections in one queue: a bulk transfer, a slow producer and one with a slow reader.",
        _narrow(20, 4, queue_bdp=6),
        _wide(20),
        (
            Flow("network", End((Bulk(3),))),
            Flow("sender", End((Produce(1448, 0.025, 3),)), start_s=0.1),
            Flow(
                "receiver",
                End((Bulk(3),)),
                End((SlowRead(1500, 0.05, 3), Drain()), receive_buffer_bytes=8_000),
                start_s=0.2,
            ),
        ),
        5,
    ),
)
ALL = tuple(replace(scenario, number=number) for number, scenario in enumerate(_LIST, 1))


def by_name(name: str) -> Scenario:
    """The scenario of that name; KeyError if there is none."""
    for scenario in ALL:
        if scenario.name == name:
            return scenario
    raise KeyError(f"no scenario is called {name}; there are {', '.join(s.name for s in ALL)}")
