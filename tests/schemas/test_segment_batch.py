"""SegmentBatch: what goes in comes out, old messages are read, hostile ones are refused."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import segment_batch
from schemas.columns import OPT_SACK, empty
from schemas.framing import MessageError
from schemas.segment_batch import MAX_SEGMENTS, WATERMARK_END, BatchHead, decode, encode
from tests.schemas.generated import TAPS, differing, expected, segments

HEAD = BatchHead(
    probe="h1", taps=TAPS, epoch=7, sequence=3, partition=0, partitions=1, watermark_ns=5, capture="x.pcap", dropped=2
)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(0, 2**32), st.integers(0, 60), st.integers(1, 8), st.booleans())
@example(0, 1, 1, False)
@example(3, 60, 1, True)
def test_what_goes_in_comes_out(seed, n, connections, calm):
    made = segments(seed, n, connections, calm)
    batch = decode(encode(HEAD, made))
    assert batch.head == HEAD
    assert differing(expected(made), batch.segments) == []


def test_chosen_rows_are_the_batch():
    made = segments(5, 200, 5, False)
    rows = np.flatnonzero(made.shard % 4 == made.shard[0] % 4).astype(np.uint32)
    from_rows = decode(encode(HEAD, made, rows)).segments
    alone = expected(type(made)(*(column[rows] for column in made)))
    assert differing(alone, from_rows) == []


def test_large_batches_keep_each_connection_in_capture_order():
    made = segments(11, 9000, 300, True)
    assert differing(expected(made), decode(encode(HEAD, made)).segments) == []


def test_heads_without_segments():
    head = BatchHead(
        "p", (), epoch=2**62, sequence=0, partition=3, partitions=4, watermark_ns=WATERMARK_END, replay=True,
        end_of_observation=True,
    )  # fmt: skip
    batch = decode(encode(head, empty(0)))
    assert batch.head == head
    assert len(batch.segments.time_ns) == 0


def test_what_cannot_be_coded_is_refused():
    made = segments(1, 4, 1, False)
    made.options[:] = OPT_SACK
    made.sack_n[2] = 5
    with pytest.raises(ValueError, match="SACK"):
        encode(HEAD, made)
    with pytest.raises(ValueError, match="at most"):
        encode(HEAD, empty(MAX_SEGMENTS + 1))


def test_bulk_traffic_is_small():
    made = segments(2, 4000, 1, True)
    assert len(encode(HEAD, made)) < 30 * 4000  # 88 bytes a segment in memory, SACK apart


def _record(**changes):
    codec = segment_batch.codec()
    record = codec.unpack(encode(HEAD, segments(9, 50, 4, False)))
    record.update(changes)
    return codec.pack(record)


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": 2},
        {"segments": -1},
        {"segments": 51},
        {"segments": 2**31 - 1},
        {"segments": 0},
        {"sequence": -1},
        {"watermark_ns": -1},
        {"dropped": -1},
        {"partitions": 0},
        {"partitions": 3},
        {"partition": 1},
        {"taps": []},
        {"connection_segments": b""},
        {"connection_segments": b"\xff" * 64},
        {"connection_tap": b"\x00"},
        {"connection_first": b""},
        {"direction": b""},
        {"direction": b"\xff" * 7},
        {"direction": b"\x00" * 7},
        {"time": b"\x00" * 450},
        {"time": b"\x00"},
        {"seq": b"\x00" * 250},
        {"ttl": b"\x00" * 100},
        {"mss": b""},
        {"mss": b"\x00" * 1001},
        {"wscale": b"\x00" * 500},
        {"sack_n": b"\xff" * 10},
        {"sack_n": b"\x00" * 500},
        {"sack": b"\x00" * 8},
    ],
)
def test_impossible_columns_are_refused(changes):
    with pytest.raises(MessageError):
        decode(_record(**changes))


def test_fuzzed_messages_never_crash():
    rng = np.random.default_rng(20)
    messages = [encode(HEAD, segments(seed, 40, 4, bool(seed % 2))) for seed in range(4)]
    refused = 0
    for number in range(4000):
        data = bytearray(messages[number % 4])
        kind = number % 3
        if kind == 0:
            for place in rng.integers(0, len(data), rng.integers(1, 6)):
                data[place] = rng.integers(256)
        elif kind == 1:
            del data[rng.integers(len(data)) :]
        else:
            start = int(rng.integers(len(data)))
            data[start : start + int(rng.integers(8))] = rng.bytes(int(rng.integers(12)))
        try:
            batch = decode(bytes(data))
        except MessageError:
            refused += 1
        else:
            assert len(batch.segments.time_ns) <= MAX_SEGMENTS
            assert all(int(tap) < len(batch.head.taps) for tap in batch.segments.tap)
            assert (batch.segments.sack_n <= 4).all()
    assert refused > 1000


def test_compiled_and_uncompiled_agree(tmp_path):
    """The same messages, byte for byte, from the kernels as plain Python, with warnings as errors."""
    inputs = [(seed, 30, 4, bool(seed % 2)) for seed in range(6)]
    compiled = [encode(HEAD, segments(*one)) for one in inputs]
    file = tmp_path / "messages"
    file.write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in compiled))
    script = (
        "import sys\n"
        "from tests.schemas.generated import differing, expected, segments\n"
        "from tests.schemas.test_segment_batch import HEAD, decode, encode\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "for seed in range(6):\n"
        "    size = int.from_bytes(data[:4], 'big')\n"
        "    message, data = data[4:4 + size], data[4 + size:]\n"
        "    made = segments(seed, 30, 4, bool(seed % 2))\n"
        "    assert encode(HEAD, made) == message\n"
        "    assert differing(expected(made), decode(message).segments) == []\n"
        "assert not data\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(file)],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, check=True, timeout=120,
    )  # fmt: skip
