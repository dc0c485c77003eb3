"""One end of a scenario: runs its sockets' scripts and samples the kernel's account of each.

    python -m infra.lab.endpoint SCENARIO near|far OUT      inside that end's namespace

Says READY when it listens and reads the scenario's begin (Unix ns) from standard input. Writes OUT.json (one object a
connection) and OUT.npz (all samples: `time_ns`, `connection`, `info`).
"""

import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from infra.lab import tcp_info
from infra.lab.scenarios import End, Flow, Scenario, by_name
from infra.lab.script import Drain
from infra.lab.topology import addresses

SAMPLE_EVERY_S = 0.005
_BLOCKED_AT_MOST_S = 20
_DONE_WITHIN_S = 12  # after the scripts' own time: repairs and closes
FAR_PORT = 8000


def ports(scenario: Scenario, index: int) -> dict[str, int]:
    """The ports of a scenario's flow."""
    return {"near": 40_000 + 100 * scenario.number + index, "far": FAR_PORT + index}


@dataclass
class Connection:
    """A socket under observation and what was seen of it."""

    flow: int
    stream: socket.socket
    congestion_control: str
    opened_ns: int
    established_ns: int | None = None
    closed_ns: int | None = None
    error: str | None = None
    samples: list[tuple[int, bytes]] = field(default_factory=list)

    def sample(self) -> None:
        """A socket that is gone has no more samples: that is its end, no error."""
        try:
            raw = tcp_info.read_raw(self.stream)
        except OSError:
            return
        self.samples.append((time.time_ns(), raw))


class Endpoint:
    """All connections of one side of a scenario."""

    def __init__(self, scenario: Scenario, side: str) -> None:
        self.scenario, self.side, self.start_ns = scenario, side, 0
        self.connections: list[Connection] = []
        self._family = socket.AF_INET6 if scenario.ipv6 else socket.AF_INET
        self._threads: list[threading.Thread] = []

    def listen(self) -> None:
        """The far end: accepts what comes, in the background."""
        for index, flow in enumerate(self.scenario.flows):
            if self.side == "far" and flow.far.listens:
                listener = self._socket(flow, flow.far)
                listener.bind(("", ports(self.scenario, index)["far"]))
                listener.listen(8)
                self._spawn(partial(self._accept, index, flow, listener))

    def run(self, start_ns: int) -> None:
        """The near end connects; both sample until every script has ended or the scenario's time is over."""
        self.start_ns = start_ns
        if self.side == "near":
            for index, flow in enumerate(self.scenario.flows):
                self._spawn(partial(self._connect, index, flow))
        deadline = time.monotonic() + (self.start_ns - time.time_ns()) / 1e9 + self.scenario.seconds + _DONE_WITHIN_S
        tick = time.monotonic()
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < deadline:
            for connection in list(self.connections):
                if connection.closed_ns is None:
                    connection.sample()
            tick = max(tick + SAMPLE_EVERY_S, time.monotonic())
            time.sleep(max(0.0, tick - time.monotonic()))

    def write(self, out: str) -> None:
        """OUT.json and OUT.npz."""
        samples = [(ns, number, raw) for number, one in enumerate(self.connections) for ns, raw in one.samples]
        np.savez(
            f"{out}.npz",
            time_ns=np.array([ns for ns, _, _ in samples], np.int64),
            connection=np.array([number for _, number, _ in samples], np.int32),
            info=tcp_info.records([raw for _, _, raw in samples]),
        )
        with open(f"{out}.json", "w") as file:
            json.dump([self._facts(one) for one in self.connections], file)

    def _facts(self, one: Connection) -> dict[str, Any]:
        here, there = (self.side, "far" if self.side == "near" else "near")
        address, port = addresses(self.scenario), ports(self.scenario, one.flow)
        return {
            "flow": one.flow,
            "src": address[here],
            "src_port": port[here],
            "dst": address[there],
            "dst_port": port[there],
            "opener": self.side == "near",
            "congestion_control": one.congestion_control,
            "opened_ns": one.opened_ns,
            "established_ns": one.established_ns,
            "closed_ns": one.closed_ns,
            "error": one.error,
        }

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _socket(self, flow: Flow, end: End) -> socket.socket:
        """Options before listen or connect: the buffer decides the window scale, and accepted sockets inherit them."""
        made = socket.socket(self._family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if end.receive_buffer_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, end.receive_buffer_bytes)
        if end.send_buffer_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, end.send_buffer_bytes)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, flow.congestion_control.encode())
        return made

    def _connect(self, index: int, flow: Flow) -> None:
        stream = self._socket(flow, flow.near)
        port = ports(self.scenario, index)
        stream.bind(("", port["near"]))
        time.sleep(max(0.0, (self.start_ns - time.time_ns()) / 1e9 + flow.start_s))
        connection = Connection(index, stream, _algorithm(stream), time.time_ns())
        self.connections.append(connection)
        try:
            stream.connect((addresses(self.scenario)["far"], port["far"]))
        except OSError as error:
            connection.error, connection.closed_ns = type(error).__name__, time.time_ns()
            return
        self._work(connection, flow.near)

    def _accept(self, index: int, flow: Flow, listener: socket.socket) -> None:
        listener.settimeout(self.scenario.seconds + _DONE_WITHIN_S)
        stream, _ = listener.accept()
        connection = Connection(index, stream, _algorithm(stream), time.time_ns())
        self.connections.append(connection)
        self._work(connection, flow.far)

    def _work(self, connection: Connection, end: End) -> None:
        connection.established_ns = time.time_ns()
        stream = connection.stream
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(end.no_delay))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # nothing blocks for ever
            stream.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _BLOCKED_AT_MOST_S, 0))
        try:
            for step in end.script:
                step.run(stream)
            stream.shutdown(socket.SHUT_WR)
            Drain().run(stream)
        except OSError as error:
            connection.error = type(error).__name__
        connection.sample()
        connection.closed_ns = time.time_ns()
        stream.close()


def _algorithm(stream: socket.socket) -> str:
    return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\0")[0].decode()


def main(scenario: str, side: str, out: str) -> None:
    """The end's process."""
    # other work on the machine should not look like a slow application
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    sys.setswitchinterval(0.0005)
    end = Endpoint(by_name(scenario), side)
    end.listen()
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    end.run(int(sys.stdin.readline()))
    end.write(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
