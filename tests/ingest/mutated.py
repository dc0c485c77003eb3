"""Packets and captures hurt at random, for fuzzing: whole blocks of mutated packets at a time."""

import gzip
import random

import numpy as np
import zstandard

from ingest.capture.headers.found import MAX_PACKET_BYTES
from schemas.columns import TENANT_SHIFT
from tests.ingest import frames as f
from tests.ingest.reading import assert_same, read
from tests.ingest.test_headers import ENCAPSULATIONS, LINKS, OPTIONS, PLAIN

BASE_PACKETS = [packet for packet, _ in ENCAPSULATIONS.values()] + [
    f.ethernet(f.ip4(f.tcp(b"xyz", options))) for options, _, _ in OPTIONS.values()
]


def mutated_packets(packet, count, chance, link=1):
    """A pcap of `count` copies of a packet, cut at a random length, each with up to eight bytes changed."""
    captured = int(chance.integers(1, len(packet) + 1))
    records = np.zeros((count, 16 + captured), np.uint8)
    records[:, 16:] = np.frombuffer(packet[:captured], np.uint8)
    wire = int(chance.choice([0, captured, len(packet), len(packet) + 9, 2**32 - 1]))
    records[:, 8:16] = np.frombuffer(np.array([captured, wire], "<u4").tobytes(), np.uint8)
    records[:, 0:8] = chance.integers(0, 256, (count, 8), np.uint8)
    rows = np.arange(count)
    for _ in range(int(chance.integers(0, 9))):
        where = 16 + chance.integers(0, captured, count)
        value = chance.integers(0, 256, count, np.uint8)
        interesting = np.array([0, 1, 4, 6, 0x45, 0x60, 0x80, 0xF0, 0xFF], np.uint8)
        records[rows, where] = np.where(chance.random(count) < 0.5, value, chance.choice(interesting, count))
    return f.pcap([], link=link) + records.tobytes()


def check_headers(chance, count):
    """Read `count` mutations of one packet and hold what must be true of any; returns the number of segments."""
    if chance.random() < 0.8:
        data = mutated_packets(BASE_PACKETS[chance.integers(len(BASE_PACKETS))], count, chance)
    else:
        link, wrap, _ = list(LINKS.values())[chance.integers(len(LINKS))]
        data = mutated_packets(wrap(PLAIN, 0x0800), count, chance, link)
    segments, reader = read(data)
    (tally,) = reader.tally
    assert reader.complete and tally.packets == count
    assert tally.packets == tally.segments + tally.not_tcp + tally.fragments + tally.cut_lost + tally.malformed
    assert len(segments.seq) == tally.segments
    if tally.segments:
        assert int(segments.sack_n.max()) <= 4
        assert int(segments.tenant.max()) >> TENANT_SHIFT <= 5
        assert int(segments.shard.max()) < 1024
        assert int(segments.wire_bytes.max()) <= 2 * MAX_PACKET_BYTES
        assert (segments.payload_bytes.astype(int) + 40 <= segments.wire_bytes).all()
        assert (segments.time_ns >= 0).all()
    return tally.segments


def base_captures():
    """Small captures of every kind of file."""
    packets = BASE_PACKETS[:12]
    plain = f.pcap(packets)
    blocks = f.section() + f.interface(options=f.option(2, b"eth0") + f.option(9, b"\x09")) + f.interface(snap=64)
    for i, packet in enumerate(packets):
        blocks += f.enhanced(packet, i, i & 1) + f.old_packet(packet, i) + f.simple(packet)
    blocks += f.statistics(0, 3) + f.section(">") + f.interface(order=">") + f.enhanced(packets[0], 1, order=">")
    return [plain, f.pcap(packets, order=">", nano=True), blocks, gzip.compress(plain), zstandard.compress(blocks)]


def check_capture(chance: random.Random, bases):
    """Hurt one capture and read it, whole and in small blocks: the same result, and no exception but CaptureError."""
    from ingest.capture import CaptureError  # noqa: PLC0415

    data = bytearray(chance.choice(bases))
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(data))
        what = chance.randrange(4)
        if what == 0:
            data[at] = chance.randrange(256)
        elif what == 1:
            data[at : at + 4] = chance.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x0a\x0d\x0d\x0a"])
        elif what == 2:
            del data[at : at + chance.randrange(1, 40)]
        else:
            data[at:at] = data[: chance.randrange(60)]
        if not data:
            return
    try:
        segments, reader = read(bytes(data))
    except CaptureError as error:
        assert "\n" not in str(error)
        return
    assert reader.complete == (reader.problem is None)
    again, small = read(bytes(data), block_bytes=64 + chance.randrange(200), max_segments=1 + chance.randrange(9))
    assert_same(segments, again)
    assert (reader.tally, reader.problem) == (small.tally, small.problem)
