"""Makes the benchmark's captures: bulk TCP over many connections, interleaved packet by packet.

Each connection opens, sends bulk data from client to server, and closes. The data phase follows a *script*, a small
event simulation of a sender with a fixed window, a receiver that acknowledges every second segment, and a path that
loses a given share of the segments behind the tap: the receiver answers each segment above a hole with a duplicate ACK
that carries SACK blocks, the sender repairs the hole after three of them, and the cumulative ACK jumps when the repair
arrives. A few dozen scripts with different random losses are made once; connection c follows script c mod n, again and
again, and a compiled loop writes the packets: first the handshakes, one after the other, then packet after packet from
each connection in turn.
"""

import argparse
import random
import struct
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.jit import kernel

MSS = 1448  # 1460 less the timestamps option
SNAP = 96  # Ethernet, IPv4, TCP and all options that the scripts use fit; data packets are cut here
TICK_NS = 1_000  # between two packets of the capture: 1,000,000 packets/s
START_NS = 1_700_000_000_000_000_000
DATA, ACKNOWLEDGE = 0, 1
_STEP = np.dtype(
    [("kind", "i1"), ("blocks", "i1"), ("number", "i8"), ("sent", "i8"), ("acked", "i8"), ("sack", "i8", (6,))]
)


@dataclass(frozen=True)
class Traffic:
    """What a capture holds. `window` is the sender's window in segments."""

    packets: int
    connections: int
    loss: float
    window: int

    @property
    def name(self) -> str:
        """The file's name, a function of the contents."""
        return f"{self.packets}p-{self.connections}c-{self.loss:g}loss-{self.window}w.pcap"


def script(length: int, loss: float, window: int, seed: int) -> npt.NDArray[np.void]:
    """One data phase of about `length` packets as the tap beside the sender sees it; byte offsets start at 0."""
    rng = random.Random(seed)
    steps: list[tuple[int, int, int, int, int, tuple[int, ...]]] = []
    on_path: deque[tuple[int, int, bool]] = deque()  # (slot of arrival, segment, lost)
    next_segment, received, held, waiting = 0, 0, set[int](), 0
    una, duplicates, recovery_point, repaired = 0, 0, 0, set[int]()
    slot = 0

    def repair(segment: int) -> None:
        repaired.add(segment)
        steps.append((DATA, 0, segment * MSS, next_segment * MSS, received * MSS, (0,) * 6))
        on_path.append((slot + window, segment, False))  # repairs arrive: no timeouts in this traffic

    def acknowledge() -> None:
        blocks: list[int] = []
        for left in sorted(n for n in held if n - 1 not in held)[-3:][::-1]:
            right = left
            while right in held:
                right += 1
            blocks += [left * MSS, right * MSS]
        blocks += [0] * (6 - len(blocks))
        count = min(3, sum(1 for n in held if n - 1 not in held))
        steps.append((ACKNOWLEDGE, count, received * MSS, next_segment * MSS, received * MSS, tuple(blocks)))

    while len(steps) < length or una < next_segment:
        slot += 1
        if on_path and on_path[0][0] <= slot:
            _, segment, lost = on_path.popleft()
            if lost:
                continue
            if segment == received:
                received += 1
                while received in held:
                    held.remove(received)
                    received += 1
                waiting += 1
                if waiting < 2 and not held and len(steps) < length:
                    continue  # a delayed ACK
            elif segment > received:
                held.add(segment)
            waiting = 0
            acknowledge()
            duplicates = duplicates + 1 if received == una else 0
            una = received
            holes = [n for n in range(una, max(held, default=una)) if n not in held and n not in repaired]
            if holes and (duplicates >= 3 or len(held) >= 3 or una < recovery_point):
                recovery_point = max(recovery_point, next_segment)
                repair(holes[0])
        elif next_segment - una < window and len(steps) < length:
            lost = rng.random() < loss and len(steps) < length - 4 * window
            steps.append((DATA, 0, next_segment * MSS, (next_segment + 1) * MSS, received * MSS, (0,) * 6))
            on_path.append((slot + window, next_segment, lost))
            next_segment += 1
        elif not on_path and una < received:
            una = received  # the delayed ACK's timer
            acknowledge()
        elif not on_path and una < next_segment:
            repair(una)  # a tail probe
    return np.array(steps, _STEP)


@kernel
def _write(out, first, count, connections, per_connection, steps, starts, tick_ns, start_ns, mss, snap):
    """Packets first .. first + count into `out`; returns the bytes written."""
    at = 0
    scripts = starts.size - 1
    for k in range(first, first + count):
        connection = k % connections
        turn = k // connections
        since = connections  # packets of the capture since the last one of this connection
        if k < 3 * connections:
            connection, turn, since = k // 3, k % 3, 1
        chosen = connection % scripts
        low = starts[chosen]
        length = starts[chosen + 1] - low
        advance = steps[starts[chosen + 1] - 1]["sent"]
        from_client = True
        flags = 0x10
        seq = 1
        ack = 1
        payload = 0
        blocks = 0
        step = low
        base = 0
        if turn == 0:
            flags, seq, ack = 0x02, 0, 0
        elif turn == 1:
            from_client, flags, seq, ack = False, 0x12, 0, 1
        elif turn >= per_connection - 3 and turn > 2:
            done = per_connection - 6
            sent = 0
            if done > 0:
                sent = (done - 1) // length * advance + steps[low + (done - 1) % length]["sent"]
            if turn == per_connection - 3:
                flags, seq = 0x11, 1 + sent
            elif turn == per_connection - 2:
                from_client, flags, ack = False, 0x11, 2 + sent
            else:
                seq, ack = 2 + sent, 2
        elif turn > 2:
            step = low + (turn - 3) % length
            base = (turn - 3) // length * advance + 1
            if steps[step]["kind"] == 0:
                seq, payload, flags = base + steps[step]["number"], mss, 0x10
            else:
                from_client = False
                ack = base + steps[step]["number"]
                blocks = steps[step]["blocks"]
        options = 12
        if turn < 2:
            options = 20
        elif blocks:
            options = 12 + 4 + 8 * blocks
        header = 14 + 20 + 20 + options
        total = header + payload
        captured = min(total, snap)
        time_ns = start_ns + k * tick_ns
        second = time_ns // 1_000_000_000
        out[at : at + 16 + captured] = 0
        for shift in range(4):
            out[at + shift] = (second >> (8 * shift)) & 255
            out[at + 4 + shift] = ((time_ns % 1_000_000_000) >> (8 * shift)) & 255
            out[at + 8 + shift] = (captured >> (8 * shift)) & 255
            out[at + 12 + shift] = (total >> (8 * shift)) & 255
        p = at + 16
        out[p] = 2
        out[p + 6] = 2
        out[p + 12] = 8
        p += 14
        out[p] = 0x45
        length_ip = total - 14
        out[p + 2], out[p + 3] = length_ip >> 8, length_ip & 255
        out[p + 4], out[p + 5] = (turn >> 8) & 255, turn & 255
        out[p + 6], out[p + 8], out[p + 9] = 0x40, 64, 6
        client = p + 12 if from_client else p + 16
        server = p + 16 if from_client else p + 12
        host = connection // 20_000
        out[client], out[client + 1] = 10, (host >> 16) & 255
        out[client + 2], out[client + 3] = (host >> 8) & 255, host & 255
        out[server], out[server + 1], out[server + 2], out[server + 3] = 172, 16, 0, 1
        checksum = 0
        for i in range(0, 20, 2):
            checksum += (int(out[p + i]) << 8) + int(out[p + i + 1])
        checksum = (checksum & 0xFFFF) + (checksum >> 16)
        checksum = ~((checksum & 0xFFFF) + (checksum >> 16)) & 0xFFFF
        out[p + 10], out[p + 11] = checksum >> 8, checksum & 255
        p += 20
        port = 20_000 + connection % 20_000
        client = p if from_client else p + 2
        server = p + 2 if from_client else p
        out[client], out[client + 1] = port >> 8, port & 255
        out[server], out[server + 1] = 5001 >> 8, 5001 & 255
        isn = (connection * 2654435761) & 0xFFFFFFFF
        own = isn if from_client else (isn ^ 0x5A5A5A5A)
        peer = (isn ^ 0x5A5A5A5A) if from_client else isn
        seq = (own + seq) & 0xFFFFFFFF
        ack = (peer + ack) & 0xFFFFFFFF if turn else 0
        window = 65_535 if turn < 2 else 8_192
        tsval = (time_ns // 1_000_000) & 0xFFFFFFFF
        # the newest tick that the peer can have heard: one packet of this connection ago
        tsecr = ((time_ns - since * tick_ns) // 1_000_000) & 0xFFFFFFFF if turn else 0
        for i in range(4):
            shift = 24 - 8 * i
            out[p + 4 + i] = (seq >> shift) & 255
            out[p + 8 + i] = (ack >> shift) & 255
        out[p + 12], out[p + 13] = (20 + options) // 4 << 4, flags
        out[p + 14], out[p + 15] = window >> 8, window & 255
        p += 20
        if turn < 2:
            out[p], out[p + 1], out[p + 2], out[p + 3] = 2, 4, (mss + 12) >> 8, (mss + 12) & 255
            out[p + 4], out[p + 5] = 4, 2
            p += 6
        else:
            out[p], out[p + 1] = 1, 1
            p += 2
        out[p], out[p + 1] = 8, 10
        for i in range(4):
            shift = 24 - 8 * i
            out[p + 2 + i] = (tsval >> shift) & 255
            out[p + 6 + i] = (tsecr >> shift) & 255
        p += 10
        if turn < 2:
            out[p], out[p + 1], out[p + 2], out[p + 3] = 1, 3, 3, 7
        elif blocks:
            out[p], out[p + 1], out[p + 2], out[p + 3] = 1, 1, 5, 2 + 8 * blocks
            for b in range(2 * blocks):
                edge = (peer + base + steps[step]["sack"][b]) & 0xFFFFFFFF
                for i in range(4):
                    out[p + 4 + 4 * b + i] = (edge >> (24 - 8 * i)) & 255
        at += 16 + captured
    return at


def write(traffic: Traffic, path: Path) -> None:
    """Write the capture (nanosecond pcap, snap length 96); the file appears whole or not at all."""
    per_connection = traffic.packets // traffic.connections
    if per_connection < 6:
        raise ValueError("a connection needs at least 6 packets")
    length = max(1, min(20_000, per_connection - 6))
    scripts = [script(length, traffic.loss, traffic.window, seed) for seed in range(min(64, traffic.connections))]
    starts = np.cumsum([0] + [len(s) for s in scripts])
    steps = np.concatenate(scripts)
    total = per_connection * traffic.connections
    chunk = 500_000
    out = np.empty(chunk * (16 + SNAP), np.uint8)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, SNAP, 1))
        for first in range(0, total, chunk):
            written = _write(
                out, first, min(chunk, total - first), traffic.connections, per_connection, steps, starts,
                TICK_NS, START_NS, MSS, SNAP,
            )  # fmt: skip
            file.write(out[:written].data)
    part.replace(path)


def cached(traffic: Traffic, folder: Path) -> Path:
    """The capture in `folder`, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / traffic.name
    if not path.exists():
        sys.stderr.write(f"making {path.name}\n")
        write(traffic, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packets", type=int, default=4_000_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--loss", type=float, default=0.0, help="share of the data segments lost behind the tap")
    parser.add_argument("--window", type=int, default=64, help="the sender's window, segments")
    given = parser.parse_args()
    path = cached(Traffic(given.packets, given.connections, given.loss, given.window), given.folder)
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
