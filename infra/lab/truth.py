"""From the sending kernel's samples to the truth: which class held a flow back, for what share of its time.

receiver  growth of ``tcpi_rwnd_limited``
network   time with unsent data in the socket, or lost data outstanding, less the receiver's part
sender    the rest: nothing more to send, a full send buffer, or a last partial segment that Nagle holds back
setup     the opener's time from its SYN to the established connection, beyond one round trip

``tcpi_busy_time`` is of no use: it counts any unacknowledged data, so a slow producer would look network-limited.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.lab import tcp_info

CLASSES = ("sender", "receiver", "network", "setup")


@dataclass(frozen=True)
class FlowTruth:
    """What the sending kernel says of one direction of data (shares: of the captured life, they sum to 1)."""

    src: str
    src_port: int
    dst: str
    dst_port: int
    congestion_control: str
    shares: dict[str, float]
    verdict: str
    start_ns: int
    end_ns: int
    payload_bytes: int  # distinct, in the captured life
    retransmissions: int  # in the captured life, SYNs included
    rtt_us: int | None  # median of the smoothed round trip
    mss: int | None
    seconds: tuple[tuple[float, float, float], ...]  # sender, receiver, network in each second from start_ns


class Account:
    """Cumulative quantities of one sending socket, to be differenced between any two instants."""

    def __init__(self, time_ns: npt.NDArray[np.int64], info: npt.NDArray[np.void]) -> None:
        live = _live(info)
        self.time_ns, self.info = time_ns[live], info[live]
        if not len(self.time_ns):
            return
        held = _held(self.info).astype(np.float64)
        steps = np.diff(self.time_ns) * (held[1:] + held[:-1]) / 2
        self._held_ns = np.concatenate(([0.0], np.cumsum(steps)))
        self._receiver_ns = self.info["rwnd_limited_us"].astype(np.float64) * 1000

    def times(self, begin_ns: int, end_ns: int) -> tuple[float, float, float]:
        """ns of sender, receiver, network between two instants."""
        span = max(0, end_ns - begin_ns)
        receiver = min(span, max(0.0, self._growth(self._receiver_ns, begin_ns, end_ns)))
        held = min(span, max(receiver, self._growth(self._held_ns, begin_ns, end_ns)))
        return span - held, receiver, held - receiver

    def largest_gap_ns(self) -> int:
        """The longest time without a sample."""
        return int(np.diff(self.time_ns).max(initial=0))

    def _growth(self, curve: npt.NDArray[np.float64], begin_ns: int, end_ns: int) -> float:
        first = self.time_ns[0]
        at = np.interp([begin_ns - first, end_ns - first], (self.time_ns - first).astype(np.float64), curve)
        return float(at[1] - at[0])


def _live(info: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Open, or closing with data still on its way."""
    open_ = np.isin(info["state"], (tcp_info.ESTABLISHED, tcp_info.CLOSE_WAIT))
    closing = np.isin(info["state"], (tcp_info.FIN_WAIT1, tcp_info.LAST_ACK, tcp_info.CLOSING))
    return open_ | (closing & ((info["unacked"] > 0) | (info["notsent_bytes"] > 0)))


def _held(info: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Would this sender send more, or again, if network and receiver let it?"""
    value = {name: info[name].astype(np.int64) for name in tcp_info.TCP_INFO.names or ()}
    repairing = np.isin(info["ca_state"], (tcp_info.CA_RECOVERY, tcp_info.CA_LOSS)) | (value["retransmits"] > 0)
    in_flight = value["bytes_sent"] - value["bytes_retrans"] - value["bytes_acked"]
    out = value["unacked"] - value["sacked"] - value["lost"] + value["retrans"]
    nagle = (
        (value["notsent_bytes"] < value["snd_mss"])
        & (out > 0)
        & (out < value["snd_cwnd"])
        & (in_flight + value["notsent_bytes"] <= value["snd_wnd"])
    )
    return ((value["unacked"] > 0) & repairing) | ((value["notsent_bytes"] > 0) & ~nagle)


def flow_truth(
    facts: dict[str, Any], account: Account, handshake_ns: tuple[int, int | None], capture_ns: tuple[int, int]
) -> FlowTruth:
    """The truth of one sending socket.

    facts: what the endpoint wrote of the connection; handshake_ns: the opener's begin and, unless it failed, end;
    capture_ns: first and last packet, since a tap that came late is asked about nothing earlier.
    """
    key = {name: facts[name] for name in ("src", "src_port", "dst", "dst_port", "congestion_control")}
    opened, established = handshake_ns
    if established is None or not len(account.time_ns):
        shares = {name: float(name == "setup") for name in CLASSES}
        end = int(facts["closed_ns"] or opened)
        return FlowTruth(**key, shares=shares, verdict="setup", start_ns=opened, end_ns=end, payload_bytes=0,
                         retransmissions=0, rtt_us=None, mss=None, seconds=())  # fmt: skip
    begin = max(int(account.time_ns[0]), capture_ns[0])
    end = min(int(account.time_ns[-1]), capture_ns[1])
    last = account.info[-1]
    met_late = opened < capture_ns[0] - 1_000_000_000
    setup_ns = 0 if met_late else max(0, established - opened - int(last["min_rtt_us"]) * 1000)
    parts = (*account.times(begin, end), float(setup_ns))
    shares = {name: round(part / max(1.0, sum(parts)), 4) for name, part in zip(CLASSES, parts, strict=True)}
    nothing = np.zeros((), tcp_info.TCP_INFO)[()]
    before = account.info[np.searchsorted(account.time_ns, begin)] if met_late else nothing
    repeated = int(last["bytes_retrans"]) - int(before["bytes_retrans"])
    inside = (account.time_ns >= begin) & (account.time_ns <= end)
    return FlowTruth(
        **key,
        shares=shares,
        verdict=max(shares, key=lambda name: shares[name]),
        start_ns=begin,
        end_ns=end,
        payload_bytes=int(last["bytes_sent"]) - int(before["bytes_sent"]) - repeated,
        retransmissions=int(last["total_retrans"]) - int(before["total_retrans"]),
        rtt_us=int(np.median(account.info["rtt_us"][inside])),
        mss=int(np.median(account.info["snd_mss"][inside])),
        seconds=_seconds(account, begin, end),
    )


def _seconds(account: Account, begin: int, end: int) -> tuple[tuple[float, float, float], ...]:
    found = []
    for start in range(begin, end, 1_000_000_000):
        stop = min(start + 1_000_000_000, end)
        sender, receiver, network = (round(part / max(1, stop - start), 3) for part in account.times(start, stop))
        found.append((sender, receiver, network))
    return tuple(found)
