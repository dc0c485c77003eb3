"""The impaired path between two TAP devices: per direction a bottleneck with a queue, a delay, losses and outages.

    python -m infra.lab.relay SCENARIO TAP_NEAR TAP_FAR

Says READY, reads the scenario's begin (Unix ns) from standard input, relays until that closes, and says its totals.

:class:`Link` is the model alone (time in, departure out) and knows nothing of devices. TAP devices carry no offloads,
so the kernel cuts super-segments before they come here and every frame is at most one MTU. Rates count whole frames.
"""

import fcntl
import gc
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from dataclasses import dataclass, field

from infra.lab.scenarios import Impairment, by_name

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME_BYTES = 65536
_FRAMES_A_TURN = 64  # so that neither direction starves the other's timers
_SYN_OFFSET = 13


@dataclass
class Link:
    """One direction of the path. Times are ns of one clock; `start_ns` is the scenario's second 0 on it."""

    path: Impairment
    seed: int
    start_ns: int
    forwarded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    _free_ns: float = 0.0  # when the bottleneck has sent what it holds

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 (repeatable losses, no secret)
        self._syns_to_drop = self.path.drop_syns

    def offer(self, now_ns: int, frame: bytes) -> int | None:
        """When the frame arrives at the other side, or None: it is lost."""
        why = self._loss(now_ns, frame)
        if why is None and self.path.rate_bps:
            waiting_ns = max(0.0, self._free_ns - now_ns)
            waiting_bytes = waiting_ns * self.path.rate_bps / 8e9
            if waiting_bytes + len(frame) > self.path.queue_bytes:
                why = "queue"
            else:
                self._free_ns = now_ns + waiting_ns + len(frame) * 8e9 / self.path.rate_bps
        if why is not None:
            self.dropped[why] = self.dropped.get(why, 0) + 1
            return None
        self.forwarded += 1
        sent_ns = max(float(now_ns), self._free_ns) if self.path.rate_bps else float(now_ns)
        return int(sent_ns + self.path.delay_s * 1e9)

    def _loss(self, now_ns: int, frame: bytes) -> str | None:
        seconds = (now_ns - self.start_ns) / 1e9
        if any(begin <= seconds < end for begin, end in self.path.outages_s):
            return "outage"
        tcp = tcp_header(frame)
        if tcp is None:
            return None
        if self._syns_to_drop and frame[tcp + _SYN_OFFSET] & 0x02:
            self._syns_to_drop -= 1
            return "syn"
        return "random" if self.path.loss and self._random.random() < self.path.loss else None


def tcp_header(frame: bytes) -> int | None:
    """Where the TCP header of an Ethernet frame begins, None if it has none that is whole."""
    if len(frame) < 34:
        return None
    kind = frame[12] << 8 | frame[13]
    if kind == 0x0800 and frame[23] == 6:
        at = 14 + (frame[14] & 15) * 4
    elif kind == 0x86DD and frame[20] == 6:
        at = 54
    else:
        return None
    return at if len(frame) >= at + 20 else None


class Relay:
    """Moves frames between two TAP devices through two links."""

    def __init__(self, devices: tuple[int, int], links: tuple[Link, Link]) -> None:
        self._devices, self._links = devices, links
        self._due: list[tuple[int, int, int, bytes]] = []  # arrival, number, device, frame
        self._number = 0
        self.late_max_ns = 0
        self.unsent = 0

    def run(self, stop_fd: int) -> None:
        """Until `stop_fd` is at its end."""
        while True:
            wait_s = max(0, self._due[0][0] - time.monotonic_ns()) / 1e9 if self._due else 1.0
            ready, _, _ = select.select([*self._devices, stop_fd], [], [], wait_s)
            if stop_fd in ready and not os.read(stop_fd, 1):
                return
            for side in (0, 1):
                if self._devices[side] in ready:
                    self._take(side)
            self._deliver()

    def _take(self, side: int) -> None:
        for _ in range(_FRAMES_A_TURN):
            try:
                frame = os.read(self._devices[side], _FRAME_BYTES)
            except BlockingIOError:
                return
            due = self._links[side].offer(time.monotonic_ns(), frame)
            if due is not None:
                self._number += 1
                heapq.heappush(self._due, (due, self._number, self._devices[1 - side], frame))

    def _deliver(self) -> None:
        while self._due and self._due[0][0] <= (now := time.monotonic_ns()):
            due, _, device, frame = heapq.heappop(self._due)
            self.late_max_ns = max(self.late_max_ns, now - due)
            try:
                os.write(device, frame)
            except OSError:
                self.unsent += 1


def open_tap(name: str) -> int:
    """A file descriptor of an existing TAP device, not blocking."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return device


def main(scenario_name: str, tap_near: str, tap_far: str) -> None:
    """The relay's process."""
    scenario = by_name(scenario_name)
    devices = (open_tap(tap_near), open_tap(tap_far))
    # On time even when every core is busy: a late frame would be a queue that nobody asked for.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    gc.disable()
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    start = int(os.read(sys.stdin.fileno(), 64)) - time.time_ns() + time.monotonic_ns()
    links = (
        Link(scenario.forward, 2 * scenario.number, start),
        Link(scenario.backward, 2 * scenario.number + 1, start),
    )
    relay = Relay(devices, links)
    relay.run(sys.stdin.fileno())
    totals = {
        "late_max_us": relay.late_max_ns // 1000,
        "unsent": relay.unsent,
        "forwarded": [link.forwarded for link in links],
        "dropped": [link.dropped for link in links],
    }
    sys.stdout.write(json.dumps(totals) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
