"""Whatever is given as a capture: one clear line, what could be read, bounded memory, no exception while reading."""

import gzip
import io
import os
import random
import resource
import struct
import subprocess
import sys

import pytest
import zstandard

from ingest.capture import CaptureError, CaptureReader
from tests.ingest import frames as f
from tests.ingest.reading import read

PACKET = f.ethernet(f.ip4(f.tcp(b"hello", f.TIMESTAMPS)))
THREE = f.pcap([PACKET] * 3)
THREE_NG = f.section() + f.interface() + f.enhanced(PACKET, 1) * 3


def refusal(path):
    with pytest.raises(CaptureError) as caught:
        CaptureReader(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_file(tmp_path):
    assert refusal(tmp_path / "none.pcap") == f"{tmp_path}/none.pcap: no such file"
    assert refusal("a\0b") == "'a\\x00b': not a file name"


def test_a_directory(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: is a directory"


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.pcap"
    path.touch()
    assert refusal(path) == f"{path}: empty file"


def test_no_permission(tmp_path):
    path = tmp_path / "secret.pcap"
    path.write_bytes(THREE)
    path.chmod(0)
    if os.geteuid() != 0:
        assert refusal(path) == f"{path}: permission denied"
        return
    # root may read everything: a process that has put that right away is asked instead
    tmp_path.chmod(0o755)
    script = (
        "import os, sys\nfrom ingest.capture import CaptureError, CaptureReader\nos.setuid(65534)\n"
        "try: CaptureReader(sys.argv[1])\nexcept CaptureError as error: print(error)"
    )
    name = os.path.relpath(path, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import os; os.chdir(os.environ['WHERE'])\n" + script, name],
        capture_output=True, text=True, check=False, env=os.environ | {"WHERE": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == f"{name}: permission denied\n", done.stderr


def test_closed_standard_input():
    script = (
        "from ingest.capture import CaptureError, CaptureReader\n"
        "try: CaptureReader('-')\nexcept CaptureError as error: print(error)"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "standard input: not open\n", done.stderr


@pytest.mark.parametrize("data", [b"\0", b"abc", b"hello, world" * 1000, random.Random(1).randbytes(100_000)])
def test_no_capture(data):
    assert refusal(io.BytesIO(data)) == "stream: not a pcap or pcapng capture"


def test_a_file_header_cut_short():
    for size in range(4, 24):
        assert refusal(io.BytesIO(THREE[:size])) == "stream: cut short in the file header"


def test_other_compressions():
    assert refusal(io.BytesIO(b"BZh91AY")) == "stream: compressed by bzip2; only gzip and zstd are read"
    assert refusal(io.BytesIO(b"\xfd7zXZ\x00\x00")).endswith("compressed by xz; only gzip and zstd are read")


def test_compressed_nonsense():
    assert refusal(io.BytesIO(gzip.compress(b"hello"))) == "stream: not a pcap or pcapng capture"
    assert refusal(io.BytesIO(b"\x1f\x8bgarbage, all of it")).startswith("stream: the gzip data is damaged (")
    assert refusal(io.BytesIO(b"\x28\xb5\x2f\xfd" + b"\xff" * 50)).startswith("stream: the zstd data is damaged (")
    assert refusal(io.BytesIO(gzip.compress(b""))) == "stream: not a pcap or pcapng capture"


@pytest.mark.parametrize("data", [THREE, THREE_NG], ids=["pcap", "pcapng"])
def test_cut_at_any_byte(data):
    last = len(data) - (16 + len(PACKET) if data is THREE else len(f.enhanced(PACKET, 1)))
    for size in range(last + 1, len(data)):
        segments, reader = read(data[:size])
        assert len(segments.seq) == 2
        assert not reader.complete
        assert reader.problem == "cut short in the middle of a packet, after 2 packets"


@pytest.mark.parametrize("claim", [(16 << 20) + 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_an_impossible_record_length(claim):
    data = THREE + struct.pack("<IIII", 1, 1, claim, claim) + PACKET * 10
    segments, reader = read(data)
    assert len(segments.seq) == 3
    assert reader.problem == "damaged: a record claims an impossible length, after 3 packets"
    segments, reader = read(THREE_NG + struct.pack("<II", 6, max(claim & ~3, (16 << 20) + 4)) + PACKET * 10)
    assert len(segments.seq) == 3
    assert reader.problem == "damaged: a record claims an impossible length, after 3 packets"


def test_a_possible_length_that_is_a_lie_allocates_nothing():
    data = THREE + struct.pack("<IIII", 1, 1, 16 << 20, 16 << 20) + PACKET * 10
    reader = CaptureReader(io.BytesIO(data), block_bytes=4096)
    assert sum(len(part.seq) for part in reader) == 3
    assert reader.problem == "cut short in the middle of a packet, after 3 packets"
    assert len(reader._buffer) <= 4096


def test_the_longest_record_is_read():
    packet = f.ethernet(f.ip4(f.tcp(b""), total=0)) + bytes((16 << 20) - 54)
    segments, reader = read(f.pcap([PACKET, packet, PACKET]))
    assert reader.complete
    assert segments.payload_bytes.tolist() == [5, (16 << 20) - 54, 5]


BLOCKS = {
    "length not a multiple of four": struct.pack("<II", 6, 33) + bytes(40),
    "length too small": struct.pack("<II", 6, 8) + bytes(40),
    "packet block too small": f.block(6, bytes(16)),
    "simple packet block too small": f.block(3, b""),
    "section block too small": struct.pack("<III", 0x0A0D0D0A, 16, 0x1A2B3C4D) + struct.pack("<I", 16),
    "lengths that differ": f.enhanced(PACKET, 1)[:-4] + struct.pack("<I", 12),
    "captured length beyond the block": f.block(6, struct.pack("<IIIII", 0, 0, 1, 100, 100) + bytes(8)),
    "byte order of nobody": f.block(0x0A0D0D0A, bytes(16)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_damaged_blocks(name):
    segments, reader = read(THREE_NG + BLOCKS[name] + f.enhanced(PACKET, 1))
    assert len(segments.seq) == 3
    assert reader.problem == "damaged: a block's lengths contradict each other, after 3 packets"


def test_interfaces_that_were_not_described():
    for data in (f.enhanced(PACKET, 1, 1), f.old_packet(PACKET, 1, 9), f.section() + f.simple(PACKET)):
        _, reader = read(THREE_NG + data)
        assert reader.problem == "damaged: a packet names an interface that was not described, after 3 packets"


def test_odd_description_blocks_do_no_harm():
    data = (
        f.section()
        + f.block(1, b"")
        + f.interface(options=f.option(9, b"") + f.option(14, b"abc") + f.option(2, b"\xff\xfe"))
        + f.interface(options=struct.pack("<HH", 2, 60000))
        + f.block(5, b"")
        + f.statistics(99, 1)
        + f.block(5, struct.pack("<IIIHH", 1, 0, 0, 5, 3) + b"abc")
        + f.enhanced(PACKET, 1, 1)
        + f.statistics(1, 2**64 - 1)
    )
    segments, reader = read(data)
    assert reader.complete and len(segments.seq) == 1
    assert reader.taps == ["if0", "\ufffd\ufffd", "if2"]


def test_more_interfaces_than_can_be():
    segments, reader = read(THREE_NG + f.interface(options=f.option(2, b"same")) * 65536)
    assert len(segments.seq) == 3
    assert reader.problem == "damaged: more than 65536 interfaces"
    assert len(reader.taps) == len(set(reader.taps)) == 65536


COMPRESSED = {
    "gzip": gzip.compress(THREE + bytes(1 << 18)),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(THREE + bytes(1 << 18)),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_data_cut_short(kind):
    data = COMPRESSED[kind]
    segments, reader = read(data[:-1])
    assert len(segments.seq) == 3
    assert reader.problem is not None and not reader.complete
    assert refusal(io.BytesIO(data[:12])) == f"stream: the {kind} data is cut short"
    whole = gzip.compress(THREE) if kind == "gzip" else zstandard.ZstdCompressor(write_checksum=True).compress(THREE)
    # gzip gives what came before the cut; zstd gives whole blocks, and this small capture is one.
    if kind == "gzip":
        assert read(whole[:-1])[1].problem == "the gzip data is cut short, after 3 packets"
    else:
        assert refusal(io.BytesIO(whole[:-1])) == "stream: the zstd data is cut short"


def test_what_came_before_damage_in_gzip_is_read():
    whole = bytearray(gzip.compress(f.pcap([f.ethernet(f.ip4(f.tcp(random.Random(3).randbytes(500))))] * 1000)))
    whole[-8] ^= 1  # the checksum
    segments, reader = read(bytes(whole))
    assert reader.problem is not None and reader.problem.startswith("the gzip data is damaged (")
    assert 990 <= len(segments.seq) <= 1000


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_data_followed_by_something_else(kind):
    whole = gzip.compress(THREE) if kind == "gzip" else zstandard.compress(THREE)
    segments, reader = read(whole + b"something")
    assert len(segments.seq) == 3
    assert reader.problem == f"bytes that are no {kind} data follow the {kind} data, after 3 packets"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_stays_small(kind, tmp_path):
    """300 MB of zeros behind a capture: empty records, read in little memory."""
    path = tmp_path / "bomb"
    plain = THREE + bytes(4 << 20)
    if kind == "gzip":
        part = gzip.compress(bytes(8 << 20))
    else:
        part = zstandard.ZstdCompressor(level=19).compress(bytes(8 << 20))
    first = gzip.compress(plain) if kind == "gzip" else zstandard.compress(plain)
    path.write_bytes(first + part * 37)
    script = (
        "import resource, sys\nfrom ingest.capture import CaptureReader\n"
        "import io; list(CaptureReader(io.BytesIO(bytes.fromhex(sys.argv[2]))))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nr = CaptureReader(sys.argv[1])\n"
        "n = sum(len(s.seq) for s in r)\n"
        "print(n, r.complete, r.tally[0].malformed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), THREE.hex()], capture_output=True, text=True, check=True
    )
    segments, complete, malformed, grown_kib = done.stdout.split()
    assert (segments, complete) == ("3", "True")
    assert int(malformed) == ((4 << 20) + 37 * (8 << 20)) // 16
    assert int(grown_kib) * 1024 < 64 << 20
    assert path.stat().st_size < 1 << 20


def test_a_zstd_window_beyond_reason_is_refused():
    header = b"\x28\xb5\x2f\xfd" + bytes([0x00, 21 << 3])  # window of 2 GiB
    assert refusal(io.BytesIO(header + bytes(40))).startswith("stream: the zstd data is damaged (")


def test_a_stream_that_fails():
    class Fails(io.RawIOBase):
        def __init__(self):
            self._data = io.BytesIO(THREE)

        def readable(self):
            return True

        def readinto(self, target):
            count = self._data.readinto(target)
            if not count:
                raise OSError(5, "Input/output error")
            return count

    reader = CaptureReader(Fails())
    assert sum(len(part.seq) for part in reader) == 3
    assert reader.problem == "Input/output error, after 3 packets"


def test_memory_does_not_grow_with_the_capture(tmp_path):
    path = tmp_path / "long.pcap"
    record = struct.pack("<IIII", 1, 1, len(PACKET), len(PACKET)) + PACKET
    grown = []
    for repeat in (100_000, 1_000_000):
        with path.open("wb") as file:
            file.write(THREE)
            for _ in range(repeat // 10_000):
                file.write(record * 10_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(len(part.seq) for part in CaptureReader(path)) == repeat + 3
        grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown[1] * 1024 < 8 << 20
