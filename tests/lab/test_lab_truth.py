"""From the kernel's samples to shares: each rule by the smallest series of samples that shows it."""

import socket
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from infra.lab import tcp_info
from infra.lab.truth import Account, flow_truth

MS = 1_000_000
FACTS = {"src": "a", "src_port": 1, "dst": "b", "dst_port": 2, "congestion_control": "reno", "closed_ns": 2_000 * MS}


def samples(n: int = 101, **fields: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
    """n samples 10 ms apart from second 1 on, of an established connection with these fields (a value or a series)."""
    info = np.zeros(n, tcp_info.TCP_INFO)
    info["state"], info["snd_mss"], info["snd_cwnd"], info["snd_wnd"] = tcp_info.ESTABLISHED, 1000, 10, 60_000
    for name, value in fields.items():
        info[name] = value
    return 1_000 * MS + np.arange(n, dtype=np.int64) * 10 * MS, info


def shares(**fields: Any) -> list[float]:
    """Shares of sender, receiver, network over the second that the samples span."""
    return [round(part / 1e9, 3) for part in Account(*samples(**fields)).times(1_000 * MS, 2_000 * MS)]


def test_nothing_to_send_is_the_senders_doing_whatever_is_in_flight() -> None:
    assert shares() == [1, 0, 0]
    assert shares(unacked=5, bytes_sent=5000) == [1, 0, 0]


def test_unsent_data_waits_for_the_network_except_while_the_kernel_says_receiver() -> None:
    assert shares(notsent_bytes=50_000, unacked=10, bytes_sent=10_000) == [0, 0, 1]
    growing = np.linspace(0, 600_000, 101)
    assert shares(notsent_bytes=50_000, unacked=10, bytes_sent=10_000, rwnd_limited_us=growing) == [0, 0.6, 0.4]


def test_a_last_partial_segment_that_nagle_holds_is_the_senders() -> None:
    held = {"notsent_bytes": 400, "unacked": 2, "bytes_sent": 2000}
    assert shares(**held) == [1, 0, 0]
    assert shares(**held, snd_cwnd=2) == [0, 0, 1]
    assert shares(**{**held, "notsent_bytes": 1000}) == [0, 0, 1]


def test_lost_data_outstanding_is_the_networks_once_repair_began() -> None:
    tail = {"unacked": 3, "bytes_sent": 3000}
    assert shares(**tail) == [1, 0, 0]
    assert shares(**tail, ca_state=tcp_info.CA_RECOVERY) == [0, 0, 1]
    assert shares(**tail, ca_state=tcp_info.CA_LOSS) == [0, 0, 1]
    assert shares(**tail, retransmits=1) == [0, 0, 1]


def test_a_connection_counts_until_its_last_byte_is_acknowledged() -> None:
    state = np.array([tcp_info.ESTABLISHED] * 50 + [tcp_info.FIN_WAIT1] * 51)
    unacked = np.array([1] * 80 + [0] * 21)
    account = Account(*samples(state=state, unacked=unacked, bytes_sent=1000))
    assert account.time_ns[-1] == 1_790 * MS
    assert account.largest_gap_ns() == 10 * MS


def test_setup_is_what_the_handshake_took_beyond_a_round_trip() -> None:
    account = Account(*samples(min_rtt_us=30_000, notsent_bytes=50_000, unacked=10, bytes_sent=10_000))
    truth = flow_truth(FACTS, account, (0, 1_030 * MS), (0, 3_000 * MS))
    assert truth.shares == {"sender": 0, "receiver": 0, "network": 0.5, "setup": 0.5}
    late = flow_truth(FACTS, account, (0, 1_030 * MS), (1_500 * MS, 3_000 * MS))
    assert late.shares["setup"] == 0
    assert late.start_ns == 1_500 * MS


def test_a_connection_that_never_opened_is_setup() -> None:
    truth = flow_truth({**FACTS, "opener": True}, Account(*samples(0)), (1_000 * MS, None), (0, 0))
    assert (truth.verdict, truth.shares["setup"], truth.payload_bytes) == ("setup", 1, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="struct tcp_info is read on Linux only")
def test_the_record_is_the_running_kernels() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(bytes(12_345))
            left = 12_345
            while left:
                left -= len(accepted.recv(left))
            said, heard = tcp_info.records([tcp_info.read_raw(client), tcp_info.read_raw(accepted)])
            largest = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert said["state"] == heard["state"] == tcp_info.ESTABLISHED
    assert said["bytes_sent"] == 12_345 == heard["bytes_received"]
    assert said["snd_mss"] == largest
    assert said["snd_wnd"] > 0
    assert heard["bytes_sent"] == said["total_retrans"] == 0
