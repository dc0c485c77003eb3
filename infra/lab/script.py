"""What the two applications of a connection do, as data: each step is a value that knows how to run on a socket."""

import socket
import time
from dataclasses import dataclass
from typing import Protocol

_CHUNK = bytes(65536)
_READ_BYTES = 262144


class Step(Protocol):
    """One step of a script; `run` returns when it is done and raises OSError when the connection breaks."""

    def run(self, stream: socket.socket) -> None: ...


@dataclass(frozen=True)
class Bulk:
    """Write as fast as the socket takes it, for some seconds."""

    seconds: float
    chunk_bytes: int = 65536

    def run(self, stream: socket.socket) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            stream.send(_CHUNK[: self.chunk_bytes])


@dataclass(frozen=True)
class Write:
    """Write so many bytes at once."""

    size_bytes: int

    def run(self, stream: socket.socket) -> None:
        stream.sendall(bytes(self.size_bytes))


@dataclass(frozen=True)
class Produce:
    """Write so many bytes at each tick of a steady clock, for some seconds."""

    size_bytes: int
    every_s: float
    seconds: float

    def run(self, stream: socket.socket) -> None:
        tick = time.monotonic()
        end = tick + self.seconds
        while tick < end:
            stream.sendall(bytes(self.size_bytes))
            tick += self.every_s
            time.sleep(max(0.0, tick - time.monotonic()))


@dataclass(frozen=True)
class Read:
    """Read exactly so many bytes."""

    size_bytes: int

    def run(self, stream: socket.socket) -> None:
        left = self.size_bytes
        while left:
            got = len(stream.recv(min(left, _READ_BYTES)))
            if not got:
                raise ConnectionError("the peer ended early")
            left -= got


@dataclass(frozen=True)
class Drain:
    """Read as fast as data comes, for some seconds or to the end."""

    seconds: float = 3600.0

    def run(self, stream: socket.socket) -> None:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and stream.recv(_READ_BYTES):
            pass


@dataclass(frozen=True)
class SlowRead:
    """Read at most so many bytes at each tick of a steady clock, for some seconds."""

    size_bytes: int
    every_s: float
    seconds: float

    def run(self, stream: socket.socket) -> None:
        tick = time.monotonic()
        end = tick + self.seconds
        while tick < end and stream.recv(self.size_bytes):
            tick += self.every_s
            time.sleep(max(0.0, tick - time.monotonic()))


@dataclass(frozen=True)
class Sleep:
    """Do nothing with the socket."""

    seconds: float

    def run(self, stream: socket.socket) -> None:
        time.sleep(self.seconds)


@dataclass(frozen=True)
class Repeat:
    """Do the steps so many times."""

    times: int
    steps: tuple[Step, ...]

    def run(self, stream: socket.socket) -> None:
        for _ in range(self.times):
            for step in self.steps:
                step.run(stream)
