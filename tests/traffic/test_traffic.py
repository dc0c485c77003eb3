"""The traffic itself: other tests may only lean on it if it is what it says."""

import random
import shutil
import subprocess
from pathlib import Path as FilePath

import pytest

from schemas.columns import COLUMNS, FIN, SYN
from tests.traffic.packets import MS, START_NS, Conversation, interleave, to_segments
from tests.traffic.pcap_writer import frame_bytes, pcap_bytes
from tests.traffic.simulated import Path, Scenario, Simulation, Tap, random_capture, simulate
from tests.traffic.stack import Stack, Turn


def test_columns_have_the_contract_s_types_and_both_directions_share_a_shard() -> None:
    talk = Conversation(isn=0xFFFFFFFF)
    talk.handshake(0)
    talk.data(20 * MS, 1460)
    talk.ack(30 * MS, upto=0, sack=[(1460, 2920)])
    segments = talk.segments()
    for name, dtype in COLUMNS.items():
        assert getattr(segments, name).dtype == dtype
    assert len(set(segments.shard)) == 1
    assert segments.seq.tolist() == [0xFFFFFFFF, 500_000, 0, 0, 500_001]  # wrapped
    assert segments.sack[4, :2].tolist() == [1460, 2920]
    assert segments.time_ns[0] == START_NS


def test_wire_bytes_are_those_of_the_frame() -> None:
    for seed in range(8):
        packets = random_capture(seed, most_packets=60).packets
        assert [len(frame_bytes(p)) for p in packets if p.payload_bytes < 65_000] == [
            p.wire_bytes for p in packets if p.payload_bytes < 65_000
        ]


def test_interleaving_keeps_each_connection_s_order() -> None:
    one, two = random_capture(1, most_packets=50).packets, random_capture(2, most_packets=50).packets
    both = interleave(one, two)
    assert [p for p in both if any(p is q for q in one)] == one
    assert len(both) == len(one) + len(two)


def test_the_same_seed_makes_the_same_packets() -> None:
    assert random_capture(11, connections=3) == random_capture(11, connections=3)


def test_without_trouble_nothing_is_sent_again_and_all_arrives() -> None:
    trace = simulate(Scenario(client_turns=[Turn(0, 0, [250_000])]), random.Random(0))
    assert trace.count("fast", "timeout", "after_timeout", "tail_probe", "open_again") == 0
    assert sum(p.payload_bytes for p in trace.packets) == 250_000
    assert [bool(p.flags & SYN) for p in trace.packets[:3]] == [True, True, False]
    assert sum(bool(p.flags & FIN) for p in trace.packets) == 2


@pytest.mark.parametrize("sack", [True, False])
def test_losses_are_repaired_and_known(sack: bool) -> None:
    lossy = Path(loss_after=0.05)
    stack = Stack(sack=sack)
    scenario = Scenario(client=stack, server=Stack(sack=sack, isn=9), client_turns=[Turn(0, 0, [200_000])], up=lossy)
    simulation = Simulation(scenario, random.Random(3))
    trace = simulation.run()
    assert simulation.server.rcv_nxt == 200_001  # and the FIN
    lost = [sent for sent in trace.truth if sent.fate == "lost_after"]
    assert lost
    again = trace.count("fast", "timeout", "after_timeout", "tail_probe")
    assert again >= len([sent for sent in lost if sent.packet.payload_bytes])
    assert any(p.sack for p in trace.packets) == sack


def test_a_slow_reader_closes_its_window_and_is_probed() -> None:
    scenario = Scenario(server=Stack(isn=5, buffer_bytes=20_000, read_bps=20_000), client_turns=[Turn(0, 0, [100_000])])
    trace = simulate(scenario, random.Random(1))
    assert any(p.window == 0 for p in trace.packets)
    assert trace.count("window_probe") > 0
    assert trace.count("timeout", "fast") == 0


def test_the_tap_decides_what_is_seen() -> None:
    whole = simulate(Scenario(), random.Random(5)).packets
    part = simulate(Scenario(tap=Tap(first=10, last=30, twice=1.0)), random.Random(5)).packets
    assert len(part) == 20
    assert part[0].seq == part[1].seq
    assert part[0].ip_id == part[1].ip_id
    assert len(whole) > 30


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize(("nanoseconds", "big"), [(True, False), (False, True)])
def test_tshark_reads_the_written_files(tmp_path: FilePath, nanoseconds: bool, big: bool) -> None:
    packets = [p for p in random_capture(4, connections=2, most_packets=100).packets if p.payload_bytes < 65_000]
    file = tmp_path / "made.pcap"
    file.write_bytes(pcap_bytes(packets, nanoseconds=nanoseconds, big=big))
    fields = ["tcp.seq_raw", "tcp.ack_raw", "tcp.len", "frame.len", "tcp.checksum.status"]
    command = ["tshark", "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-T", "fields"]
    done = subprocess.run(
        [*command, *(word for field in fields for word in ("-e", field))], capture_output=True, text=True, check=True
    )
    expected = [f"{p.seq}\t{p.ack}\t{p.payload_bytes}\t{p.wire_bytes}\t1" for p in packets]
    assert done.stdout.splitlines() == expected
    assert len(to_segments(packets).seq) == len(packets)
