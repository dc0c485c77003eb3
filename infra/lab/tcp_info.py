"""``struct tcp_info`` as a numpy record (include/uapi/linux/tcp.h, Linux 6.x); an older kernel leaves its end zero."""

import socket
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

if sys.platform == "linux":
    _TCP_INFO_OPTION = socket.TCP_INFO
else:  # the laboratory runs on Linux only, but its data can be read elsewhere
    _TCP_INFO_OPTION = 11


def _run(kind: str, names: str) -> list[tuple[str, str]]:
    """Neighbouring fields of one type."""
    return [(name, kind) for name in names.split()]


TCP_INFO = np.dtype(
    _run("u1", "state ca_state retransmits probes backoff options wscales limited")
    + _run("<u4", "rto_us ato_us snd_mss rcv_mss unacked sacked lost retrans fackets")
    + _run("<u4", "last_data_sent_ms last_ack_sent_ms last_data_recv_ms last_ack_recv_ms pmtu rcv_ssthresh")
    + _run("<u4", "rtt_us rttvar_us snd_ssthresh snd_cwnd advmss reordering rcv_rtt_us rcv_space total_retrans")
    + _run("<u8", "pacing_rate max_pacing_rate bytes_acked bytes_received")
    + _run("<u4", "segs_out segs_in notsent_bytes min_rtt_us data_segs_in data_segs_out")
    + _run("<u8", "delivery_rate busy_time_us rwnd_limited_us sndbuf_limited_us")
    + _run("<u4", "delivered delivered_ce")
    + _run("<u8", "bytes_sent bytes_retrans")
    + _run("<u4", "dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash")
)

# tcpi_state (net/tcp_states.h) and tcpi_ca_state (enum tcp_ca_state)
ESTABLISHED, FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING = 1, 4, 8, 9, 11
CA_RECOVERY, CA_LOSS = 3, 4


def read_raw(stream: socket.socket) -> bytes:
    """The kernel's structure as it is, padded or cut to :data:`TCP_INFO`; OSError when the socket is gone."""
    raw = stream.getsockopt(socket.IPPROTO_TCP, _TCP_INFO_OPTION, TCP_INFO.itemsize)
    return raw.ljust(TCP_INFO.itemsize, b"\0")


def records(raw: Sequence[bytes]) -> npt.NDArray[np.void]:
    """Structures of :func:`read_raw` as one array."""
    return np.frombuffer(b"".join(raw), TCP_INFO)
