"""The result rows, defined once: Avro schemas, table definitions, JSON, CSV and the glossary are made from here.

Inside the product rows travel as numpy structured arrays (:func:`record_dtype`), one record a row. A record holds
numbers only: what is text (probe, tap, capture, ruleset) is named by `source`, an index into the names that travel
beside the records (:class:`Rows`). Unknown is :data:`NULL_INT`, NaN, :data:`NULL_ENUM` or :data:`NULL_BOOL` in a
record and null (JSON, Avro, Nullable) outside.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.causes import CAUSES, VERDICTS

NULL_INT = -(2**63)
NULL_ENUM = 255
NULL_BOOL = -1


@dataclass(frozen=True)
class Column:
    """One column of a table.

    kind: ``int`` (i8), ``uint`` (u8), ``float`` (f8), ``share`` (f8 in 0..1), ``bool`` (i1), ``enum`` (u1), ``set``
    (u8 bit mask over `values`), ``address`` (two u8 halves ``<name>_hi/_lo``), ``port`` (u2), ``tenant`` (u4) or
    ``text`` (not in records: from the source's names).
    """

    name: str
    kind: str
    doc: str
    nullable: bool = False
    values: tuple[str, ...] = ()


PROVENANCE = ("seen", "inferred", "unknown")
STATES = ("slow_start", "congestion_avoidance", "recovery", "timeout", "unknown")
VANTAGES = ("near_sender", "middle", "near_receiver")
ENDS = ("fin", "reset", "port_reused", "expired", "evicted", "observation_ended", "open")
SIDES = ("sender", "receiver")
ECN = ("none", "ecn", "acc_ecn")
FAMILIES = ("loss_window", "ecn_proportional", "paced", "delay")
EVENT_KINDS = ("stall", "loss", "zero_window", "reset", "setup_failed", "half_open_overflow")

_c = Column
_ORIGIN = (
    _c("conn_id", "uint", "64-bit hash of the state key (probe, tap, tenant, canonical 5-tuple, incarnation)"),
    _c("probe", "text", "the probe that captured the segments"),
    _c("tap", "text", "the probe's tap (interface)"),
    _c("capture", "text", "the capture's file name (embedded mode)", True),
    _c("ruleset", "text", "version of rules, calibration and priors"),
)
_FLOW_KEY = (
    _c("tenant", "tenant", "innermost tenant network, e.g. vlan:100 or vxlan:5000; null: none", True),
    _c("src", "address", "the flow's data sender"),
    _c("src_port", "port", "its port"),
    _c("dst", "address", "the flow's data receiver"),
    _c("dst_port", "port", "its port"),
)
_TIMES = tuple(
    _c(f"time_{name}", "share", f"share of covered_ns: {text}")
    for name, text in (
        ("idle", "nothing in flight and nothing requested"),
        ("sender", "the sending application or host held the flow back"),
        ("receiver", "the receiver's window or ACKs held it back"),
        ("network", "congestion window, pacing, queueing or loss repair held it back"),
        ("setup", "the handshake, beyond one round trip"),
        ("unknown", "not decidable"),
    )
)
_ACTIVE = tuple(
    _c(f"time_active_{name}", "share", f"share of the active time (without idle): {name}", True)
    for name in ("sender", "receiver", "network", "setup", "unknown")
)
_VERDICT = (
    _c("verdict", "enum", "what held the flow back most; unknown below confidence 0.5", False, VERDICTS),
    _c("cause", "enum", "the finer cause with the largest share of the verdict", True, CAUSES),
    _c("confidence", "share", "calibrated probability that the verdict is right"),
)

FLOWS: tuple[Column, ...] = (
    *_ORIGIN,
    *_FLOW_KEY,
    _c("opener", "bool", "src opened the connection; null: not known", True),
    _c("start_ns", "int", "capture time of the connection's first segment"),
    _c("end_ns", "int", "capture time of its last segment"),
    _c("ended_by", "enum", "how the connection ended", False, ENDS),
    _c("covered_ns", "int", "observed life of the flow, the denominator of time_*"),
    _c("packets", "int", "segments that src sent"),
    _c("wire_bytes", "int", "their bytes: link header and IP datagram"),
    _c("payload_bytes", "int", "their TCP payload, repeats included"),
    _c("retransmitted_packets", "int", "segments whose bytes had been sent before"),
    _c(
        "retransmitted_segments",
        "int",
        "the same in segments of one MSS (super-segments count ceil(len / mss)), SYNs included",
    ),
    _c("retransmitted_bytes", "int", "payload sent again"),
    _c("fast_retransmissions", "int", "retransmitted packets triggered by duplicate ACKs or SACK"),
    _c("timeouts", "int", "retransmission timeouts"),
    _c("tail_probes", "int", "tail loss probes (RFC 8985)"),
    _c("spurious_retransmissions", "int", "retransmissions of data that had arrived"),
    _c("lost_near", "int", "repairs of segments lost before the tap"),
    _c("lost_far", "int", "repairs of segments lost behind the tap"),
    _c("out_of_order", "int", "segments reordered before the tap"),
    _c("duplicate_acks", "int", "duplicate ACKs that src received (RFC 5681)"),
    _c("triple_duplicate_acks", "int", "times that a third duplicate ACK in a row was received"),
    _c("captured_twice", "int", "copies of one packet at the tap, left out of everything else"),
    _c("zero_windows", "int", "segments from dst that advertised a zero window"),
    _c("zero_window_ns", "int", "time during which dst kept its window closed"),
    _c("keepalives", "int", "keep-alive segments that src sent"),
    _c("window_probes", "int", "zero-window probes that src sent"),
    _c("unseen_bytes", "int", "bytes that dst acknowledged and the tap never saw"),
    _c("clock_steps_back", "int", "segments whose capture time went back; clamped"),
    _c("interrupted", "bool", "the observation has a gap"),
    _c("syn_seen", "bool", "src's SYN was seen"),
    _c("syn_retransmissions", "int", "src's SYNs or SYN-ACKs after the first"),
    _c("refused", "bool", "the opening was answered by a reset"),
    _c("reset_by", "enum", "which side reset the connection", True, SIDES),
    _c("mss", "int", "payload of a full segment of this flow, options taken off", True),
    _c("mss_provenance", "enum", "how mss is known", False, PROVENANCE),
    _c("mss_option", "int", "MSS option in src's own SYN", True),
    _c("window_scale", "int", "shift of the windows that dst advertises to src", True),
    _c("window_scale_provenance", "enum", "how window_scale is known", False, PROVENANCE),
    _c("window_scale_option", "int", "window scale option in src's own SYN", True),
    _c("sack_permitted", "bool", "both SYNs permit SACK", True),
    _c("timestamps", "bool", "timestamps are in use", True),
    _c("ecn", "enum", "ECN as negotiated", True, ECN),
    _c("ce_packets", "int", "segments of src that carry CE"),
    _c("ece_packets", "int", "segments that src received with ECE (without Accurate ECN)"),
    _c("handshake_rtt_ns", "int", "SYN to the handshake's ACK as seen at the tap, both legs", True),
    _c("rtt_min_ns", "int", "smallest round trip: the receiver's leg, and the sender's where it is known", True),
    _c("rtt_p50_ns", "int", "median round trip", True),
    _c("rtt_p95_ns", "int", "95th percentile of the round trip", True),
    _c("rtt_samples", "int", "RTT samples (Karn's rule, no ambiguous ones)"),
    _c("srtt_ns", "int", "smoothed round trip at the end (RFC 6298)", True),
    _c("near_rtt_min_ns", "int", "smallest round trip tap - sender - tap", True),
    _c("far_rtt_min_ns", "int", "smallest round trip tap - receiver - tap", True),
    _c("flight_max_bytes", "int", "most data in flight"),
    _c("cwnd_bytes", "int", "congestion window at the end, or its lower bound", True),
    _c("rwnd_min_bytes", "int", "smallest window advertised by dst", True),
    _c("rwnd_max_bytes", "int", "largest window advertised by dst", True),
    _c("delivery_rate_bps", "int", "acknowledged payload in bits a second of active time", True),
    _c("congestion_control", "enum", "family, as far as it shows", True, FAMILIES),
    _c("vantage", "enum", "where the tap is on the flow's path", True, VANTAGES),
    *_TIMES,
    *_ACTIVE,
    *_VERDICT,
)

WINDOWS: tuple[Column, ...] = (
    *_ORIGIN,
    *_FLOW_KEY,
    _c("window_start_ns", "int", "start of the window, a multiple of window_ns in Unix time"),
    _c("window_ns", "int", "its length"),
    _c("covered_ns", "int", "how much of it the connection was open or opening"),
    _c("packets", "int", "segments that src sent"),
    _c("payload_bytes", "int", "their payload, repeats included"),
    _c("retransmitted_packets", "int", "segments whose bytes had been sent before"),
    _c("retransmitted_segments", "int", "the same in segments of one MSS, SYNs included"),
    _c("fast_retransmissions", "int", "of them, triggered by duplicate ACKs or SACK"),
    _c("timeouts", "int", "retransmission timeouts"),
    _c("rtt_min_ns", "int", "smallest round trip in the window", True),
    _c("rtt_p50_ns", "int", "median round trip in the window", True),
    _c("rtt_samples", "int", "RTT samples in the window"),
    _c("srtt_ns", "int", "smoothed round trip at the window's end (RFC 6298)", True),
    _c("mss", "int", "payload of a full segment", True),
    _c("flight_mean_bytes", "int", "mean of sent and not yet acknowledged, over time", True),
    _c("flight_max_bytes", "int", "its maximum", True),
    _c("cwnd_bytes", "int", "congestion window, or its lower bound", True),
    _c("cwnd_provenance", "enum", "seen: it was the limit; inferred: a lower bound", False, PROVENANCE),
    _c("ssthresh_bytes", "int", "slow start threshold, after a reduction was seen", True),
    _c("state", "enum", "congestion state that prevailed", False, STATES),
    _c("backlogged", "bool", "the sender answered ACKs with data at once", True),
    _c("rwnd_bytes", "int", "window that dst advertised last", True),
    _c("delivery_rate_bps", "int", "acknowledged payload in bits a second over the window's covered time", True),
    _c("queue_delay_ns", "int", "median round trip beyond the smallest of the flow", True),
    *_TIMES,
    *_VERDICT,
    _c("secondary_causes", "set", "further causes present in the window", False, CAUSES),
    _c("version", "int", "number of times that the row was settled: 1"),
)

EVENTS: tuple[Column, ...] = (
    *_ORIGIN,
    *_FLOW_KEY,
    _c("kind", "enum", "what happened", False, EVENT_KINDS),
    _c("start_ns", "int", "capture time of its beginning"),
    _c("duration_ns", "int", "its length"),
    _c("verdict", "enum", "which side it is laid to", False, VERDICTS),
    _c("cause", "enum", "why", True, CAUSES),
    _c("packets", "int", "segments concerned"),
    _c("bytes", "int", "payload concerned"),
)

PROBES: tuple[Column, ...] = (
    _c("probe", "text", "the probe"),
    _c("tap", "text", "its tap"),
    _c("capture", "text", "the capture's file name (embedded mode)", True),
    _c("start_ns", "int", "capture time of the first packet", True),
    _c("end_ns", "int", "capture time of the last packet", True),
    _c("packets", "int", "packets read"),
    _c("segments", "int", "TCP segments among them"),
    _c("wire_bytes", "int", "bytes of the segments"),
    _c("not_tcp", "int", "packets without TCP"),
    _c("fragments", "int", "non-first IP fragments"),
    _c("cut", "int", "segments whose headers the snap length cut"),
    _c("malformed", "int", "packets with impossible headers"),
    _c("dropped", "int", "packets that the capture dropped, as it says", True),
)

TABLES: dict[str, tuple[Column, ...]] = {"flows": FLOWS, "windows": WINDOWS, "events": EVENTS, "probes": PROBES}

_RECORD_TYPE = {
    "int": "<i8", "uint": "<u8", "float": "<f8", "share": "<f8", "bool": "i1", "enum": "u1", "set": "<u8",
    "port": "<u2", "tenant": "<u4",
}  # fmt: skip


def record_dtype(table: str) -> np.dtype[np.void]:
    """The packed structured dtype of a table's records: `source` (i4), then each column that is not text."""
    fields: list[tuple[str, str]] = [("source", "<i4")]
    for column in TABLES[table]:
        if column.kind == "address":
            fields += [(f"{column.name}_hi", "<u8"), (f"{column.name}_lo", "<u8")]
        elif column.kind != "text":
            fields.append((column.name, _RECORD_TYPE[column.kind]))
    return np.dtype(fields)


@dataclass(frozen=True)
class Source:
    """What a record's `source` index stands for."""

    probe: str
    tap: str
    capture: str | None = None


@dataclass
class Rows:
    """Result rows of all tables with the names that their `source` indices mean."""

    sources: list[Source] = field(default_factory=list)
    ruleset: str = ""
    records: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def table(self, name: str) -> npt.NDArray[Any]:
        """The records of one table, empty if there are none (structured, :func:`record_dtype`)."""
        found = self.records.get(name)
        return np.empty(0, record_dtype(name)) if found is None else found
