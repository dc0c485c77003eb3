"""File formats: pcap and pcapng in all their forms, compressed or not, whatever the sizes of blocks."""

import gzip
import io
import os
import subprocess
import sys
import threading

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.capture import CaptureReader
from schemas.columns import concatenate
from tests.ingest import frames as f
from tests.ingest.reading import assert_same, read, row

PACKET = f.ethernet(f.ip4(f.tcp(b"hello", f.TIMESTAMPS)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
@pytest.mark.parametrize("snap", [0, 96, 65535, 2**32 - 1])
def test_pcap(order, nano, snap):
    segments, reader = read(f.pcap([PACKET], order=order, nano=nano, snap=snap, times=[(2**32 - 1, 999_999)]))
    assert reader.complete and reader.taps == ["if0"]
    assert row(segments)["time_ns"] == (2**32 - 1) * 10**9 + 999_999 * (1 if nano else 1000)
    assert reader.first_ns == reader.tally[0].first_ns == reader.tally[0].last_ns == segments.time_ns[0]


def test_pcap_of_the_modified_format():
    body = f.pcap([PACKET], magic=0xA1B2CD34)
    longer = body[:40] + bytes(8) + body[40:]
    segments, reader = read(longer)
    assert reader.complete and len(segments.seq) == 1


def test_frame_check_sequence_bits_of_the_link_type():
    segments, reader = read(f.pcap([PACKET + bytes(4)], link=0x24000001))
    assert reader.complete and row(segments)["wire_bytes"] == len(PACKET)


def test_a_link_type_that_is_not_read_is_said():
    segments, reader = read(f.pcap([PACKET], link=127))
    assert len(segments.seq) == 0 and not reader.complete
    assert reader.problem == "packets of link type 127 are not read"
    assert reader.tally[0].not_tcp == 1


def test_no_packets_is_complete():
    assert read(f.pcap([]))[1].complete
    segments, reader = read(f.pcap([f.ethernet(bytes(46), 0x0806)]))
    assert reader.complete and len(segments.seq) == 0


CLOCKS = {
    "default": (b"", 1_700_000_000_123_456, 1_700_000_000_123_456_000),
    "nanoseconds": (9, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
    "seconds": (0, 1_700_000_000, 1_700_000_000_000_000_000),
    "milliseconds": (3, 1_700_000_000_123, 1_700_000_000_123_000_000),
    "picoseconds": (12, 1_234_567_890_123_456, 1_234_567_890_123),
    "2**-10 s": (0x80 | 10, (1_700_000_000 << 10) + 512, 1_700_000_000_500_000_000),
    "2**-32 s": (0x80 | 32, (1_700_000_000 << 32) + (1 << 30), 1_700_000_000_250_000_000),
    "2**-40 s": (0x80 | 40, (1_000_000 << 40) + (1 << 39), 1_000_000_500_000_000),
    "2**-62 s": (0x80 | 62, (1 << 62) + (1 << 61), 1_500_000_000),
    "2**-127 s": (0x80 | 127, 2**62, 0),
    "10**-100 s": (100, 2**62, 0),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", CLOCKS)
def test_pcapng_clocks(name, order):
    resolution, units, expected = CLOCKS[name]
    options = f.option(9, bytes([resolution]), order) if isinstance(resolution, int) else b""
    for offset_s in (0, 1000):
        extra = f.option(14, offset_s.to_bytes(8, "big" if order == ">" else "little"), order) if offset_s else b""
        data = f.section(order) + f.interface(options=options + extra, order=order)
        segments, reader = read(data + f.enhanced(PACKET, units, order=order))
        assert reader.complete
        assert row(segments)["time_ns"] == expected + offset_s * 10**9


def test_times_that_cannot_be_are_malformed():
    nanoseconds = f.option(9, b"\x09")
    for options, units in (
        (nanoseconds, 2**63), (nanoseconds, 2**62 + 1), (b"", 2**62), (f.option(9, b"\x00"), 2**40),
        (f.option(14, (2**62).to_bytes(8, "little")), 1), (f.option(14, (-5).to_bytes(8, "little", signed=True)), 1),
    ):  # fmt: skip
        segments, reader = read(f.section() + f.interface(options=options) + f.enhanced(PACKET, units))
        assert len(segments.seq) == 0 and reader.tally[0].malformed == 1, (options, units)
        assert reader.tally[0].first_ns is None and reader.first_ns is None


def test_pcapng_interfaces_are_taps():
    data = (
        f.section()
        + f.interface(options=f.option(2, b"eth0\0"))
        + f.interface(link=101)
        + f.enhanced(PACKET, 1, 0)
        + f.enhanced(PACKET[14:], 2, 1)
        + f.interface(options=f.option(2, b"eth0"))
        + f.enhanced(PACKET, 3, 2)
        + f.enhanced(PACKET, 4, 0)
    )
    segments, reader = read(data)
    assert reader.taps == ["eth0", "if1", "eth0#2"]
    assert segments.tap.tolist() == [0, 1, 2, 0]
    assert [tally.packets for tally in reader.tally] == [2, 1, 1]
    assert reader.first_ns == 1000


def test_pcapng_sections_of_both_orders_share_taps_of_a_name():
    little = f.section() + f.interface(options=f.option(2, b"eth0")) + f.enhanced(PACKET, 1) + f.statistics(0, 5)
    big = (
        f.section(">")
        + f.interface(options=f.option(2, b"eth1", ">"), order=">")
        + f.interface(options=f.option(2, b"eth0", ">"), order=">")
        + f.enhanced(PACKET, 2, 1, order=">")
        + f.statistics(1, 3, ">")
        + f.statistics(1, 4, ">")
    )
    segments, reader = read(little + big)
    assert reader.complete and reader.taps == ["eth0", "eth1"]
    assert segments.tap.tolist() == [0, 0]
    # Statistics count from the start of their section, and the last one counts.
    assert [tally.dropped for tally in reader.tally] == [9, None]


def test_names_on_a_terminal_do_no_harm():
    evil = b"\x1b[31m" + "schön".encode() + b"x" * 200
    _, reader = read(f.section() + f.interface(options=f.option(2, evil)) + f.enhanced(PACKET, 1))
    assert reader.taps[0].startswith("[31mschön") and len(reader.taps[0]) == 64


def test_simple_and_old_packets():
    data = (
        f.section()
        + f.interface(snap=80)
        + f.enhanced(PACKET, 77)
        + f.simple(PACKET)
        + f.simple(PACKET[:80], wire=len(PACKET))
        + f.old_packet(PACKET, 78, drops=3)
        + f.old_packet(PACKET, 79, drops=0xFFFF)
    )
    segments, reader = read(data)
    assert reader.complete
    assert segments.time_ns.tolist() == [77_000, 77_000, 77_000, 78_000, 79_000]
    assert set(segments.payload_bytes.tolist()) == {5}
    assert reader.tally[0].dropped == 3


def test_unknown_blocks_are_stepped_over():
    data = f.section() + f.block(4, bytes(20)) + f.interface() + f.block(0xBAD, bytes(3)) + f.enhanced(PACKET, 1)
    data += f.block(0x80000001, bytes(100)) + f.enhanced(PACKET, 2, options=f.option(1, b"comment"))
    segments, reader = read(data)
    assert reader.complete and len(segments.seq) == 2


@st.composite
def captures(draw):
    """Bytes of a small capture of mixed packets, pcap or pcapng."""
    packets = draw(
        st.lists(
            st.sampled_from([
                PACKET, PACKET[:60], b"", f.ethernet(bytes(46), 0x0806), f.ethernet(f.ip6(f.tcp(), 6), 0x86DD),
                f.ethernet(f.ip4(f.tcp(bytes(3000)))), f.ethernet(f.vlan(PACKET[14:], 5), 0x8100),
            ]), max_size=12,
        )
    )  # fmt: skip
    order = draw(st.sampled_from("<>"))
    if draw(st.booleans()):
        return f.pcap(packets, order=order)
    data = f.section(order) + f.interface(order=order)
    for i, packet in enumerate(packets):
        data += f.enhanced(packet, i, order=order) + draw(st.sampled_from([b"", f.block(99, bytes(8), order)]))
        if draw(st.integers(0, 4)) == 0:
            order = draw(st.sampled_from("<>"))
            data += f.section(order) + f.interface(order=order)
    return data


@settings(max_examples=150, deadline=None)
@given(captures(), st.integers(64, 5000), st.integers(1, 6), st.data())
def test_sizes_of_blocks_change_nothing(data, block_bytes, max_segments, draw):
    cut = data[: draw.draw(st.integers(min(24, len(data)), len(data)))]
    whole, reader = read(cut)
    small = CaptureReader(io.BytesIO(cut), block_bytes=block_bytes, max_segments=max_segments)
    parts = list(small)
    assert all(0 < len(part.seq) <= max_segments for part in parts)
    assert_same(concatenate(parts), whole)
    assert small.tally == reader.tally and small.taps == reader.taps
    assert (small.problem, small.complete, small.first_ns) == (reader.problem, reader.complete, reader.first_ns)


MANY = f.pcap([PACKET] * 3000)


def _compressed():
    frames = zstandard.ZstdCompressor(write_checksum=True)
    streamed = zstandard.ZstdCompressor(level=19).compressobj()
    return {
        "gzip": gzip.compress(MANY),
        "gzip members": gzip.compress(MANY[:1000]) + gzip.compress(b"") + gzip.compress(MANY[1000:]),
        "gzip padded with zeros": gzip.compress(MANY) + bytes(1000),
        "zstd": frames.compress(MANY),
        "zstd of unknown size": streamed.compress(MANY) + streamed.flush(),
        "zstd frames, some skippable": (
            b"\x50\x2a\x4d\x18\x03\0\0\0abc" + frames.compress(MANY[:10]) + b"\x5f\x2a\x4d\x18\0\0\0\0"
            + frames.compress(MANY[10:])
        ),
        "zstd uncompressed blocks": zstandard.ZstdCompressor(level=-100).compress(MANY),
    }  # fmt: skip


@pytest.mark.parametrize("name", _compressed())
@pytest.mark.parametrize("block_bytes", [64, 1 << 20])
def test_compressed(name, block_bytes, tmp_path):
    path = tmp_path / "told by its content"
    path.write_bytes(_compressed()[name])
    reader = CaptureReader(path, block_bytes=block_bytes)
    assert sum(len(part.seq) for part in reader) == 3000
    assert reader.complete, reader.problem
    assert reader.bytes_read == reader.size_bytes == path.stat().st_size


def test_standard_input_is_read_as_it_comes():
    script = (
        "import sys\nfrom ingest.capture import CaptureReader\nr = CaptureReader('-')\n"
        "for s in r: print(len(s.seq), flush=True)\nprint(r.complete, r.size_bytes, r.name)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f.pcap([PACKET] * 2))
        process.stdin.flush()
        assert process.stdout.readline() == b"2\n"  # while the writer still lives
        process.stdin.write(MANY[24 : 24 + 16 + len(PACKET)])
        process.stdin.close()
        assert process.stdout.read().splitlines() == [b"1", b"True None standard input"]


def test_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(MANY))
    writer.start()
    reader = CaptureReader(path)
    assert sum(len(part.seq) for part in reader) == 3000
    writer.join()
    assert reader.complete and reader.size_bytes is None


def test_a_stream_that_only_reads():
    class OnlyRead:
        def __init__(self):
            self._data = io.BytesIO(MANY)

        def read(self, size):
            return self._data.read(min(size, 777))

    assert sum(len(part.seq) for part in CaptureReader(OnlyRead())) == 3000


def test_reading_twice_is_refused():
    reader = CaptureReader(io.BytesIO(MANY))
    list(reader)
    with pytest.raises(RuntimeError, match="once"):
        list(reader)
