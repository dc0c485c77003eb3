"""What hypothesis draws: whole captures by their seed, and chaos step by step (which shrinks to the smallest case)."""

import os

from hypothesis import strategies as st

from schemas.columns import Segments
from tests.traffic.chaos import LARGEST, Step, packets_of
from tests.traffic.packets import MS, START_NS, Packet, to_segments
from tests.traffic.simulated import random_capture

LONG = os.environ.get("TCPBLAME_HYPOTHESIS") == "long"


def examples(count: int) -> int:
    """Bounded for every run; the long profile takes fifty times as many."""
    return count * 50 if LONG else count


steps = st.builds(
    Step, *(st.one_of(st.just(0), st.integers(0, most)) if n not in (0, 3) else st.integers(0, most)
            for n, most in enumerate(LARGEST))
)  # fmt: skip


class Traffic:
    """Packets and, for a failing test's report, how to make them again."""

    def __init__(self, packets: list[Packet], made_by: str) -> None:
        self.packets, self.made_by = packets, made_by

    @property
    def segments(self) -> Segments:
        return to_segments(self.packets)

    def __repr__(self) -> str:
        start = START_NS
        if len(self.packets) > 30:
            return f"{self.made_by}: {len(self.packets)} packets"
        lines = [f"{self.made_by}:"]
        for p in self.packets:
            options = [f"{name}={getattr(p, name)}" for name in ("timestamps", "sack", "mss", "wscale")]
            lines.append(
                f"  {(p.time_ns - start) / MS} ms {p.src}:{p.src_port} seq={p.seq} ack={p.ack} len={p.payload_bytes} "
                f"flags={p.flags:#x} win={p.window} id={p.ip_id} {' '.join(options)}"
            )
        return "\n".join(lines)


@st.composite
def chaos(draw: st.DrawFn, most: int = 25) -> Traffic:
    """Packets of one pair of ends, without a stack behind them."""
    ipv6, isn = draw(st.booleans()), draw(st.sampled_from([1_000, 0xFFFFFFFF, 0xFFFFF000]))
    opened, stamped = draw(st.booleans()), draw(st.booleans())
    drawn = draw(st.lists(steps, min_size=1, max_size=most))
    packets = packets_of(drawn, ipv6=ipv6, isn=isn, opened=opened, stamped=stamped)
    return Traffic(packets, f"packets_of(..., ipv6={ipv6}, isn={isn}, opened={opened}, stamped={stamped})")


@st.composite
def captures(draw: st.DrawFn, connections: int = 3, most_packets: int = 150) -> Traffic:
    """Simulated connections, interleaved; never without a packet."""
    seed = draw(st.integers(0, 1 << 32))
    count = draw(st.integers(1, connections))
    trace = random_capture(seed, connections=count, most_packets=most_packets)
    made_by = f"random_capture({seed}, connections={count}, most_packets={most_packets})"
    return Traffic(trace.packets or packets_of([Step(*(0 for _ in LARGEST))]), made_by)


anything = st.one_of(captures(), chaos())
