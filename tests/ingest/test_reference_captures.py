"""Every capture of the shared collection, against what tshark says of it."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from ingest.capture import CaptureReader
from schemas.columns import (
    AE,
    CWR,
    ECE,
    FIN,
    OPT_MSS,
    OPT_SACK,
    OPT_SACK_PERMITTED,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    PSH,
    RST,
    SYN,
    URG,
    concatenate,
    take,
)  # fmt: skip
from tests.ingest.reading import SHARED_CAPTURES, address

pytestmark = pytest.mark.skipif(
    not SHARED_CAPTURES.is_dir(), reason=f"THE REFERENCE CAPTURES ARE MISSING: {SHARED_CAPTURES}"
)

_FLAGS = {"fin": FIN, "syn": SYN, "rst": RST, "psh": PSH, "urg": URG, "ece": ECE, "cwr": CWR, "ae": AE}
_ECN = ("not_ect", "ect1", "ect0", "ce")


def _lines(name):
    path = SHARED_CAPTURES / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


_FILES = _lines("tshark_files.jsonl")
_DIRECTIONS = defaultdict(list)
for _line in _lines("tshark.jsonl"):
    # A port used again is a stream of its own to tshark; here the segments of all its streams come together.
    _DIRECTIONS[_line["file"], _line["src"], _line["sport"], _line["dst"], _line["dport"]].append(_line)


def _by_direction(segments):
    rows = defaultdict(list)
    ends = zip(
        map(address, segments.src_hi, segments.src_lo), segments.src_port.tolist(),
        map(address, segments.dst_hi, segments.dst_lo), segments.dst_port.tolist(), strict=True,
    )  # fmt: skip
    for i, end in enumerate(ends):
        rows[end].append(i)
    return {end: take(segments, np.array(index)) for end, index in rows.items()}


def _custom_blocks(path):
    """pcapng custom blocks (types 0xBAD and 0x40000BAD), which tshark 4 counts as records; they are no packets."""
    data = path.read_bytes()
    if data[:4] != b"\x0a\x0d\x0d\x0a":
        return 0
    order = "big" if data[8:12] == b"\x1a\x2b\x3c\x4d" else "little"
    found, at = 0, 0
    while at < len(data):
        found += int.from_bytes(data[at : at + 4], order) in (0xBAD, 0x40000BAD)
        at += int.from_bytes(data[at + 4 : at + 8], order)
    return found


@pytest.mark.parametrize("expected", _FILES, ids=lambda line: line["file"])
def test_packets_of_each_file(expected):
    path = SHARED_CAPTURES / expected["file"]
    reader = CaptureReader(path)
    segments = concatenate(list(reader))
    assert reader.complete, reader.problem
    tally = reader.tally
    assert sum(tap.packets for tap in tally) == expected["packets"] - _custom_blocks(path)
    assert sum(tap.segments for tap in tally) == len(segments.seq) == expected["tcp_packets"]
    for tap in tally:
        assert tap.packets == tap.segments + tap.not_tcp + tap.fragments + tap.cut_lost + tap.malformed
    assert sum(tap.wire_bytes for tap in tally) == int(segments.wire_bytes.sum())
    directions = _by_direction(segments)
    assert set(directions) <= {tuple(end) for file, *end in _DIRECTIONS if file == expected["file"]}
    for end, found in directions.items():
        _check_direction(found, _DIRECTIONS[(expected["file"], *end)])


def _check_direction(found, lines):
    def total(field):
        return sum(line[field] for line in lines)

    assert len(found.seq) == total("packets")
    assert int(found.payload_bytes.sum()) == total("payload_bytes")
    assert int((found.payload_bytes > 0).sum()) == total("data_packets")
    assert int(found.payload_bytes.max()) == max(line["max_segment"] for line in lines)
    for name, bit in _FLAGS.items():
        assert int((found.flags & bit != 0).sum()) == sum(line["flags"][name] for line in lines), name

    # tshark's frame length counts what comes behind the IP datagram too; see the test of it below.
    assert int(found.wire_bytes.sum()) <= total("frame_bytes")

    ecn = Counter()
    for line in lines:
        ecn.update(line["ecn"])
    assert Counter(_ECN[value] for value in found.ecn.tolist()) == ecn
    assert int(found.ttl.min()) == min(line["ttl"][0] for line in lines if line["packets"])
    assert int(found.ttl.max()) == max(line["ttl"][1] for line in lines if line["packets"])

    # tshark's times were rounded to microseconds on their way.
    assert abs(found.time_ns.min() - min(line["first_s"] for line in lines if line["packets"]) * 1e9) < 1500
    assert abs(found.time_ns.max() - max(line["last_s"] for line in lines if line["packets"]) * 1e9) < 1500

    ordinary = found.flags & (SYN | RST) == 0
    if ordinary.any():
        windows = [line["window"] for line in lines if line["window"]["raw_min"] is not None]
        assert int(found.window[ordinary].min()) == min(window["raw_min"] for window in windows)
        assert int(found.window[ordinary].max()) == max(window["raw_max"] for window in windows)
    stamped = ordinary & (found.options & OPT_TIMESTAMPS != 0)
    assert int(stamped.sum()) == sum(line["options"]["timestamp_packets"] for line in lines)
    assert int((found.options & OPT_SACK != 0).sum()) == sum(line["options"]["sack_packets"] for line in lines)

    syns = np.flatnonzero(found.flags & SYN)
    assert bool(len(syns)) == any(line["options"]["own_syn_seen"] for line in lines)
    if len(syns) and len(lines) == 1:
        options, expected = int(found.options[syns[0]]), lines[0]["options"]
        assert (int(found.mss[syns[0]]) if options & OPT_MSS else None) == expected["mss"]
        assert (int(found.wscale[syns[0]]) if options & OPT_WSCALE else None) == expected["wscale"]
        assert bool(options & OPT_SACK_PERMITTED) == expected["sack_permitted"]
        assert bool(options & OPT_TIMESTAMPS) == expected["timestamps"]


def test_every_direction_with_packets_is_found():
    by_file = defaultdict(set)
    for (file, *end), lines in _DIRECTIONS.items():
        if any(line["packets"] for line in lines):
            by_file[file].add(tuple(end))
    for file, ends in by_file.items():
        assert set(_by_direction(concatenate(list(CaptureReader(SHARED_CAPTURES / file))))) == ends


def _behind_datagrams(data):
    """Bytes behind the IP datagrams (padding, frame check sequence) of untagged IPv4 TCP in a pcap, by direction."""
    order = "big" if data[0] == 0xA1 else "little"
    behind, at = Counter(), 24
    while at < len(data):
        captured, wire = (int.from_bytes(data[at + i : at + i + 4], order) for i in (8, 12))
        frame = data[at + 16 : at + 16 + captured]
        at += 16 + captured
        ip, length = frame[14:], int.from_bytes(frame[16:18], "big")
        if frame[12:14] == b"\x08\x00" and ip[9] == 6:
            ports = ip[(ip[0] & 15) * 4 :]
            source, target = (".".join(map(str, ip[i : i + 4])) for i in (12, 16))
            end = source, int.from_bytes(ports[:2], "big"), target, int.from_bytes(ports[2:4], "big")
            behind[end] += max(wire - 14 - length, 0)
    return behind


# Plain IPv4 on Ethernet in a pcap: what _behind_datagrams can read.
_PLAIN = [
    line
    for line in _FILES
    if line["file"].endswith(".pcap") and {layer["stack"] for layer in line["layers"]} == {"eth:ethertype:ip:tcp"}
]


@pytest.mark.parametrize("expected", _PLAIN, ids=lambda line: line["file"])
def test_wire_bytes_are_the_frame_without_what_follows_the_datagram(expected):
    path = SHARED_CAPTURES / expected["file"]
    data = path.read_bytes()
    behind = _behind_datagrams(data)
    for end, found in _by_direction(concatenate(list(CaptureReader(path)))).items():
        frames = sum(line["frame_bytes"] for line in _DIRECTIONS[(expected["file"], *end)])
        assert int(found.wire_bytes.sum()) == frames - behind[end]
