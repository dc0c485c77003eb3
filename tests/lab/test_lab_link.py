"""The impaired link alone: when each frame leaves it, and which do not."""

import struct

from infra.lab.relay import Link, tcp_header
from infra.lab.scenarios import MBIT, Impairment

SYN, ACK = 0x02, 0x10


def frame(flags: int = ACK, size: int = 1250, ipv6: bool = False) -> bytes:
    """An Ethernet frame with a TCP header, of `size` bytes in all."""
    tcp = struct.pack(">HHIIBBHHH", 1, 2, 0, 0, 5 << 4, flags, 0, 0, 0)
    if ipv6:
        head = bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 20, 6, 64) + bytes(32)
    else:
        head = bytes(12) + b"\x08\x00" + struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + bytes(8)
    return (head + tcp).ljust(size, b"\0")


def test_frames_leave_one_after_another_at_the_rate_and_arrive_after_the_delay() -> None:
    link = Link(Impairment(0.01, 10 * MBIT, 100_000), 1, 0)
    # 1250 bytes take 1 ms at 10 Mbit/s
    assert [link.offer(0, frame()) for _ in range(3)] == [11_000_000, 12_000_000, 13_000_000]
    assert link.offer(50_000_000, frame()) == 61_000_000


def test_the_queue_drops_at_its_tail() -> None:
    link = Link(Impairment(0.0, 10 * MBIT, 3 * 1250), 1, 0)
    assert [link.offer(0, frame()) is not None for _ in range(5)] == [True, True, True, False, False]
    assert link.dropped == {"queue": 2}
    assert link.offer(1_000_000, frame()) is not None  # one has left meanwhile


def test_without_a_rate_there_is_only_the_delay() -> None:
    link = Link(Impairment(0.25), 1, 0)
    assert [link.offer(5, frame()) for _ in range(2)] == [250_000_005, 250_000_005]


def test_losses_are_as_frequent_as_asked_and_repeat_with_the_seed() -> None:
    def lost(seed: int) -> list[bool]:
        link = Link(Impairment(0.0, loss=0.1), seed, 0)
        return [link.offer(0, frame()) is None for _ in range(4000)]

    assert lost(7) == lost(7)
    assert lost(7) != lost(8)
    assert 300 < sum(lost(7)) < 500


def test_only_the_first_syns_are_dropped() -> None:
    link = Link(Impairment(0.0, drop_syns=2), 1, 0)
    assert link.offer(0, frame(ACK)) is not None
    assert [link.offer(0, frame(SYN)) is None for _ in range(3)] == [True, True, False]


def test_an_outage_counts_from_the_scenarios_begin_and_takes_everything() -> None:
    link = Link(Impairment(0.0, outages_s=((1.0, 2.0),)), 1, 5_000_000_000)
    answers = [link.offer(ns, b"no TCP at all") for ns in (5_900_000_000, 6_000_000_000, 6_900_000_000, 7_000_000_000)]
    assert [answer is None for answer in answers] == [False, True, True, False]


def test_the_tcp_header_is_found_and_a_frame_without_a_whole_one_is_not_trusted() -> None:
    assert tcp_header(frame()) == 34
    assert tcp_header(frame(ipv6=True)) == 54
    for whole in (frame(size=54), frame(size=74, ipv6=True)):
        assert all(tcp_header(whole[:size]) is None for size in range(len(whole)))
