"""The oracle's face: segments in, one dict a flow and one a window out."""

from typing import Any

from schemas.columns import Segments
from tests.oracle.connection import Connection, Limits
from tests.oracle.flow import Flow
from tests.oracle.segment import End, read

Key = tuple[int, int, End, End, int]  # tap, tenant, src, dst, incarnation start


def connections(segments: Segments, limits: Limits | None = None) -> list[Connection]:
    """All connections of one probe, ended by the end of observation."""
    limits = limits or Limits()
    open_: dict[tuple[Any, ...], Connection] = {}
    done: list[Connection] = []
    for s in read(segments):
        place = (s.tap, s.tenant, *sorted((s.src, s.dst)))
        current = open_.get(place)
        if current is not None:
            ended_by = "expired" if current.expired(s.time_ns) else "port_reused" if current.replaced_by(s) else None
            if ended_by is not None:
                current.finish(ended_by)
                done.append(current)
                current = None
        if current is None:
            current = open_[place] = Connection(s, limits)
        current.apply(s)
    watermark_ns = max((int(t) for t in segments.time_ns), default=0)
    for current in open_.values():
        current.finish("expired" if current.expired(watermark_ns) else "observation_ended")
        done.append(current)
    return done


def flow_rows(segments: Segments, limits: Limits | None = None) -> dict[Key, dict[str, Any]]:
    """The flow rows that there should be, with the columns that the oracle knows; None is null."""
    out: dict[Key, dict[str, Any]] = {}
    for c in connections(segments, limits):
        flows = [f for f in c.flows.values() if f.carried]
        if not flows:
            flows = [c.flows[c.opener]] if c.opener is not None else list(c.flows.values())[:1]
        for f in flows:
            out[key_of(c, f)] = row(c, f)
    return out


def window_rows(segments: Segments, limits: Limits | None = None) -> dict[tuple[Key, int], dict[str, int]]:
    """Counters of every window in which src sent something, keyed by flow and window start."""
    return {
        (key_of(c, f), start): counts
        for c in connections(segments, limits)
        for f in c.flows.values()
        for start, counts in f.counts.windows.items()
    }


def busy_windows(segments: Segments, limits: Limits | None = None) -> set[tuple[Key, int]]:
    """Windows that must have a row: src sent payload other than keep-alives."""
    return {
        (key_of(c, f), start)
        for c in connections(segments, limits)
        for f in c.flows.values()
        for start, counts in f.counts.windows.items()
        if counts["payload_bytes"] > f.counts.idle_bytes[start]
    }


def key_of(c: Connection, f: Flow) -> Key:
    return c.tap, c.tenant, f.src, f.dst, c.start_ns


def row(c: Connection, f: Flow) -> dict[str, Any]:
    own, peer = f.syn, f.reverse.syn
    counts, repetitions, rtt = f.counts, f.repetitions, f.rtt
    mss, mss_provenance = f.mss()
    near = f.near()
    legs = c.handshake_legs
    syns = [syn for syn in (own, peer) if syn is not None]
    settled = len(syns) == 2 or any(syn.with_ack for syn in syns)  # a SYN-ACK permits only what was asked for
    permitted = all(syn.sack_permitted for syn in syns) if settled else None

    def whole(value: int | None) -> int | None:
        return None if value is None else value + f.leg()

    return {
        "opener": None if c.opener is None else c.opener == f.src,
        "start_ns": c.start_ns,
        "end_ns": c.now_ns,
        "ended_by": c.ended_by,
        "packets": counts.packets,
        "wire_bytes": counts.wire_bytes,
        "payload_bytes": counts.payload_bytes,
        "retransmitted_packets": counts.retransmitted_packets,
        "retransmitted_segments": counts.retransmitted_segments,
        "retransmitted_bytes": counts.retransmitted_bytes,
        "fast_retransmissions": repetitions.fast,
        "timeouts": repetitions.timeouts,
        "tail_probes": repetitions.tail_probes,
        "spurious_retransmissions": repetitions.spurious,
        "lost_near": repetitions.near,
        "lost_far": repetitions.far,
        "out_of_order": counts.out_of_order,
        "duplicate_acks": f.duplicates.total,
        "triple_duplicate_acks": f.duplicates.triples,
        "captured_twice": counts.captured_twice,
        "zero_windows": f.window.zeros,
        "zero_window_ns": f.window.zero_ns,
        "keepalives": counts.keepalives,
        "window_probes": counts.window_probes,
        "unseen_bytes": f.sequence.unseen,
        "clock_steps_back": c.clock_steps_back,
        "interrupted": False,
        "syn_seen": own is not None,
        "syn_retransmissions": counts.syn_retransmissions,
        "refused": c.refused,
        "reset_by": None if c.reset_by is None else "sender" if c.reset_by == f.src else "receiver",
        "mss": mss,
        "mss_provenance": mss_provenance,
        "mss_option": None if own is None else own.mss,
        "window_scale": f.window.shift,
        "window_scale_provenance": f.window.provenance,
        "window_scale_option": None if own is None else own.wscale,
        "sack_permitted": permitted,
        "timestamps": f.timestamps(),
        "ecn": c.ecn(),
        "ce_packets": counts.ce_packets,
        "ece_packets": counts.ece_packets,
        "handshake_rtt_ns": sum(legs.values()) if len(legs) == 2 else None,
        "rtt_min_ns": whole(rtt.smallest),
        "rtt_samples": len(rtt.samples),
        "srtt_ns": whole(rtt.srtt) if rtt.samples else None,
        "near_rtt_min_ns": near,
        "far_rtt_min_ns": f.reverse.near(),
        "flight_max_bytes": counts.flight_max_bytes,
        "rwnd_min_bytes": f.window.smallest,
        "rwnd_max_bytes": f.window.largest,
    }
