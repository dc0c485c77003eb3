"""Simulated captures: TCP ends (:mod:`tests.traffic.host`) over a lossy path with a tap, and what truly happened.

    trace = simulate(random_scenario(random.Random(7)), random.Random(7))
    trace.packets   # as captured, in capture order
    trace.truth     # every transmission with its reason and its fate

Everything is decided by the random generator that is handed in: the same seed gives the same packets.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from schemas.columns import TENANT_SHIFT, TENANT_VLAN, Segments
from tests.traffic.host import Host
from tests.traffic.packets import MASK, MS, START_NS, US, Packet, S, interleave, to_segments
from tests.traffic.stack import Stack, Turn


@dataclass
class Path:
    """One direction of the way: from the sending end to the tap, then to the other end."""

    before_ns: int = 5 * MS
    after_ns: int = 5 * MS
    loss_before: float = 0.0
    loss_after: float = 0.0
    reorder_before: float = 0.0  # share of packets that are late by `reorder_ns`
    reorder_ns: int = 2 * MS
    duplicate_before: float = 0.0  # copies made by the network: the tap sees the same packet twice
    mark: float = 0.0  # share of ECN-capable packets marked CE before the tap
    rate_bps: float | None = None  # serialisation before the tap; None: no limit
    queue_bytes: int = 100_000


@dataclass
class Tap:
    """How the packets are captured."""

    twice: float = 0.0  # share of packets captured twice (a bridge and its port)
    lose: float = 0.0  # share that the capture loses
    first: int = 0  # packets of the connection that passed before the capture began (mid-stream start)
    last: int | None = None  # ... and after which it ended
    clock_back: float = 0.0  # share of packets whose time is up to 50 us before its predecessor's


@dataclass
class Scenario:
    """One connection."""

    client: Stack = field(default_factory=Stack)
    server: Stack = field(default_factory=lambda: Stack(isn=500_000))
    client_turns: list[Turn] = field(default_factory=lambda: [Turn(0, 0, [100_000])])
    server_turns: list[Turn] = field(default_factory=list)
    up: Path = field(default_factory=Path)  # client to server
    down: Path = field(default_factory=Path)
    tap: Tap = field(default_factory=Tap)
    client_end: tuple[str, int] = ("10.0.0.1", 40_000)
    server_end: tuple[str, int] = ("10.0.0.2", 80)
    tenant: int = 0
    start_ns: int = START_NS
    ends_with: str = "fin"  # fin, rst, silence
    answers: str = "accept"  # accept, refuse, ignore
    simultaneous: bool = False
    most_packets: int = 2_000
    longest_ns: int = 300 * S


@dataclass
class Transmission:
    """What truly happened to one packet."""

    packet: Packet
    why: str
    fate: str  # delivered, lost_before, lost_after
    captured: bool


@dataclass
class Trace:
    packets: list[Packet]
    truth: list[Transmission]

    def segments(self) -> Segments:
        return to_segments(self.packets)

    def count(self, *why: str) -> int:
        return sum(1 for sent in self.truth if sent.why in why)


class Simulation:
    """The event queue, the path and the tap of one connection."""

    def __init__(self, scenario: Scenario, rng: random.Random) -> None:
        self.scenario, self.rng = scenario, rng
        self.now = scenario.start_ns
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._busy_until = {True: 0, False: 0}
        self._latest = {(up, leg): 0 for up in (True, False) for leg in (0, 1)}
        self.seen: list[Packet] = []
        self.truth: list[Transmission] = []
        clock = self.clock
        self.client = Host(
            *scenario.client_end, scenario.client, scenario.client_turns, rng, clock, self.later, self.emit
        )
        self.server = Host(
            *scenario.server_end, scenario.server, scenario.server_turns, rng, clock, self.later, self.emit
        )
        self.client.peer, self.server.peer = self.server, self.client
        self.client.ends_with = scenario.ends_with
        self.server.ends_with = "fin" if scenario.ends_with == "fin" else "silence"
        self.server.answers = scenario.answers

    def clock(self) -> int:
        return self.now

    def later(self, delay_ns: int, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now + max(0, delay_ns), self._number, action))

    def emit(self, sender: Host, packet: Packet) -> None:
        up = sender is self.client
        way = self.scenario.up if up else self.scenario.down
        sent = Transmission(packet, packet.truth["why"], "delivered", False)
        self.truth.append(sent)
        packet.tenant = self.scenario.tenant
        delay = way.before_ns
        if way.rate_bps is not None:
            begin = max(self.now, self._busy_until[up])
            if (begin - self.now) * way.rate_bps / 8 / S > way.queue_bytes:
                sent.fate = "lost_before"
                return
            self._busy_until[up] = begin + int(packet.wire_bytes * 8 * S / way.rate_bps)
            delay += self._busy_until[up] - self.now
        if self.rng.random() < way.loss_before:
            sent.fate = "lost_before"
            return
        if packet.ecn and self.rng.random() < way.mark:
            packet.ecn = 3
        copies = 2 if self.rng.random() < way.duplicate_before else 1
        for copy in range(copies):
            self._travel(up, 0, delay + copy * 100 * US, way, lambda: self._at_tap(up, way, sent))

    def _travel(self, up: bool, leg: int, delay: int, way: Path, action: Callable[[], None]) -> None:
        if leg == 0 and self.rng.random() < way.reorder_before:
            self.later(delay + way.reorder_ns, action)
            return
        arrival = max(self._latest[up, leg] + 100, self.now + delay)
        self._latest[up, leg] = arrival
        self.later(arrival - self.now, action)

    def _at_tap(self, up: bool, way: Path, sent: Transmission) -> None:
        tap = self.scenario.tap
        seen = replace(sent.packet, time_ns=self.now, truth=dict(sent.packet.truth))
        if self.rng.random() >= tap.lose:
            self.seen.append(seen)
            sent.captured = True
            if self.rng.random() < tap.twice:
                self.seen.append(replace(seen, time_ns=self.now + 2 * US))
        if self.rng.random() < way.loss_after:
            sent.fate = "lost_after"
            return
        target = self.server if up else self.client
        self._travel(up, 1, way.after_ns, way, lambda: target.receive(sent.packet))

    def run(self) -> Trace:
        self.client.open()
        if self.scenario.simultaneous:
            self.server.open()
        while self._queue and len(self.truth) < self.scenario.most_packets:
            self.now, _, action = heapq.heappop(self._queue)
            if self.now > self.scenario.start_ns + self.scenario.longest_ns:
                break
            action()
        tap = self.scenario.tap
        packets = self.seen[tap.first : tap.last]
        for before, packet in itertools.pairwise(packets):
            if self.rng.random() < tap.clock_back:
                packet.time_ns = before.time_ns - self.rng.randrange(1, 50 * US)
        return Trace(packets, self.truth)


def simulate(scenario: Scenario, rng: random.Random) -> Trace:
    """One connection, from its SYN to its end or to `most_packets` transmissions."""
    return Simulation(scenario, rng).run()


def random_stack(rng: random.Random) -> Stack:
    near_wrap = rng.random() < 0.4
    return Stack(
        mss=rng.choice([536, 1000, 1448, 1460, 8960]),
        wscale=rng.choice([None, 0, 2, 7, 14]),
        sack=rng.random() < 0.7,
        timestamps=rng.random() < 0.5,
        ecn=rng.random() < 0.3,
        buffer_bytes=rng.choice([2_000, 20_000, 65_535, 300_000]),
        read_bps=rng.choice([None, None, None, 1e5, 2e6]),
        super_segments=rng.choice([1, 1, 2, 11, 44]),
        tail_probes=rng.random() < 0.7,
        probe_bytes=rng.randrange(2),
        keepalive_ns=rng.choice([None, None, 700 * MS]),
        isn=(MASK - rng.randrange(60_000)) if near_wrap else rng.randrange(1 << 32),
        initial_window=rng.choice([1, 3, 10]),
    )


def random_path(rng: random.Random, before_ns: int, after_ns: int, troubled: bool) -> Path:
    def share(*shares: float) -> float:
        return rng.choice(shares) if troubled else 0.0

    return Path(
        before_ns,
        after_ns,
        loss_before=share(0, 0, 0.02, 0.1),
        loss_after=share(0, 0, 0.02, 0.1),
        reorder_before=share(0, 0, 0.03, 0.1),
        reorder_ns=rng.choice([200 * US, 2 * MS, 30 * MS]),
        duplicate_before=share(0, 0, 0.03),
        mark=rng.choice([0, 0, 0.05]),
        rate_bps=rng.choice([None, None, 2e6, 50e6]),
        queue_bytes=rng.choice([5_000, 60_000]),
    )


def random_turns(rng: random.Random) -> tuple[list[Turn], list[Turn]]:
    """Bulk, an application that writes slowly, or requests and responses in both directions."""

    def sizes() -> list[int]:
        return [rng.choice([1, 100, 1460, 5_000, 30_000]) for _ in range(rng.randrange(1, 4))]

    think = rng.choice([0, 1 * MS, 60 * MS, 1_500 * MS])
    kind = rng.randrange(3)
    if kind == 0:
        return [Turn(0, think, [rng.choice([3_000, 60_000, 200_000])])], []
    if kind == 1:
        return [Turn(0, 0, sizes() * 3, gap_ns=rng.choice([3 * MS, 80 * MS]))], [Turn(10, think, [300])]
    client, server, asked, answered = [], [], 0, 0
    for _ in range(rng.randrange(1, 5)):
        request, response = sizes()[:1], sizes()
        client.append(Turn(answered, rng.choice([0, think]), request))
        asked += sum(request)
        server.append(Turn(asked, think, response))
        answered += sum(response)
    return client, server


def random_scenario(rng: random.Random, *, most_packets: int = 300, number: int = 0) -> Scenario:
    """A connection of any kind; `number` keeps several connections apart."""
    rtt = rng.choice([100 * US, 2 * MS, 20 * MS, 120 * MS])
    near = rng.choice([0.01, 0.5, 0.99])  # the tap beside the client, in the middle, beside the server
    near_ns, far_ns = int(rtt / 2 * near), int(rtt / 2 * (1 - near))
    troubled = rng.random() < 0.7
    client_turns, server_turns = random_turns(rng)
    client, server = random_stack(rng), random_stack(rng)
    kind = rng.random()
    ipv6 = rng.random() < 0.2
    midstream = rng.random() < 0.25
    return Scenario(
        client=client,
        server=replace(server, mss=client.mss),
        client_turns=client_turns,
        server_turns=server_turns,
        up=random_path(rng, near_ns, far_ns, troubled),
        down=random_path(rng, far_ns, near_ns, troubled),
        tap=Tap(
            twice=rng.choice([0, 0, 0, 0.3, 1.0]),
            lose=rng.choice([0, 0, 0, 0.03]),
            first=rng.randrange(1, 20) if midstream else 0,
            last=rng.randrange(20, 200) if rng.random() < 0.2 else None,
            clock_back=rng.choice([0, 0, 0, 0.02]),
        ),
        client_end=("2001:db8::1" if ipv6 else "10.0.0.1", 40_000 + number),
        server_end=("2001:db8::2" if ipv6 else "10.0.0.2", rng.choice([80, 443])),
        tenant=rng.choice([0, 0, TENANT_VLAN << TENANT_SHIFT | 100]),
        start_ns=START_NS + rng.randrange(0, 1_500 * MS),
        ends_with=rng.choice(["fin", "fin", "rst", "silence"]),
        answers="accept" if kind < 0.92 else rng.choice(["refuse", "ignore"]),
        simultaneous=rng.random() < 0.03,
        most_packets=most_packets,
    )


def random_capture(seed: int, *, connections: int = 1, most_packets: int = 300) -> Trace:
    """Several connections interleaved by time; some reuse the 5-tuple of the one before with a new ISN."""
    rng = random.Random(seed)
    traces: list[Trace] = []
    previous: tuple[Scenario, Trace] | None = None
    for number in range(connections):
        scenario = random_scenario(rng, most_packets=most_packets, number=number)
        if previous is not None and previous[1].packets and rng.random() < 0.25:
            before, trace = previous
            scenario.client_end, scenario.server_end = before.client_end, before.server_end
            scenario.tenant = before.tenant
            scenario.start_ns = max(p.time_ns for p in trace.packets) + rng.choice([1 * MS, 2 * S])
        trace = simulate(scenario, rng)
        traces.append(trace)
        previous = scenario, trace
    packets = interleave(*(trace.packets for trace in traces))
    return Trace(packets, [sent for trace in traces for sent in trace.truth])
