"""The reading kernels compiled and as ordinary Python (NUMBA_DISABLE_JIT=1) give the same columns and counts."""

import os
import pickle
import random
import subprocess
import sys

import numpy as np

from tests.ingest import frames as f
from tests.ingest.mutated import BASE_PACKETS
from tests.ingest.reading import SHARED_CAPTURES, defined, read

_UNCOMPILED = """
import pickle, sys, warnings
warnings.simplefilter("error")
from tests.ingest.reading import defined, read
import numba
assert numba.config.DISABLE_JIT
out = []
for data in pickle.load(sys.stdin.buffer):
    segments, reader = read(data)
    out.append((tuple(defined(segments)), reader.tally, reader.taps, reader.problem, reader.first_ns))
sys.stdout.buffer.write(pickle.dumps(out))
"""


def _inputs():
    chance = random.Random(20)
    packets = []
    for packet in BASE_PACKETS:
        packets += [packet, packet[: chance.randrange(len(packet) + 1)]]
        hurt = bytearray(packet)
        for _ in range(3):
            hurt[chance.randrange(len(hurt))] = chance.randrange(256)
        packets.append(bytes(hurt))
    inputs = [f.pcap(packets), f.pcap(packets, order=">", nano=True)]
    for order in "<>":
        data = (
            f.section(order) + f.interface(order=order) + f.interface(options=f.option(9, b"\xa0", order), order=order)
        )
        for i, packet in enumerate(packets[:40]):
            data += f.enhanced(packet, 1 << 50, i % 2, order) + f.old_packet(packet, i, 0, 1, order)
        inputs.append(data + f.simple(packets[0], order))
    if SHARED_CAPTURES.is_dir():
        names = ("ppp/one_ipv6_http_stream.pcap", "zeek/vxlan-encapsulated-http.pcap", "gopkt/be-test201.pcapng")
        inputs += [(SHARED_CAPTURES / name).read_bytes() for name in names]
    return inputs


def test_uncompiled_gives_the_same():
    inputs = _inputs()
    done = subprocess.run(
        [sys.executable, "-c", _UNCOMPILED], input=pickle.dumps(inputs), capture_output=True, check=False,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    for data, (columns, *rest) in zip(inputs, pickle.loads(done.stdout), strict=True):  # noqa: S301
        segments, reader = read(data)
        for name, left, right in zip(segments._fields, defined(segments), columns, strict=True):
            np.testing.assert_array_equal(left, right, name)
        assert rest == [reader.tally, reader.taps, reader.problem, reader.first_ns]
