"""One direction of a connection: everything that is known of the data that src sends."""

from collections import Counter
from dataclasses import dataclass, field

from schemas.columns import PSH
from tests.oracle import sequence as kinds
from tests.oracle.receiver import Duplicates, Sacked, Window
from tests.oracle.repetition import Repetitions
from tests.oracle.roundtrip import Echo, RoundTrips
from tests.oracle.segment import MASK, End, Segment, distance
from tests.oracle.sequence import Sequence

SIGNATURES = 4
COPY_NS = 1_000_000
LARGEST_MSS, PLAUSIBLE_MSS, USUAL_MSS = 9_000, 1_200, 1_448
WINDOW_COUNTS = (
    "packets",
    "payload_bytes",
    "retransmitted_packets",
    "retransmitted_segments",
    "fast_retransmissions",
    "timeouts",
    "rtt_samples",
)


@dataclass
class Counts:
    """Counters of a flow's life, and the same for each window."""

    packets: int = 0
    wire_bytes: int = 0
    payload_bytes: int = 0
    retransmitted_packets: int = 0
    retransmitted_segments: int = 0
    retransmitted_bytes: int = 0
    out_of_order: int = 0
    captured_twice: int = 0
    keepalives: int = 0
    window_probes: int = 0
    syn_retransmissions: int = 0
    ce_packets: int = 0
    ece_packets: int = 0
    flight_max_bytes: int = 0
    windows: dict[int, dict[str, int]] = field(default_factory=dict)
    idle_bytes: Counter[int] = field(default_factory=Counter)  # payload of keep-alives, by window

    def window(self, start_ns: int) -> dict[str, int]:
        return self.windows.setdefault(start_ns, dict.fromkeys(WINDOW_COUNTS, 0))


@dataclass
class Syn:
    """The SYN of an end, with or without ACK."""

    seq: int
    with_ack: bool
    mss: int | None
    wscale: int | None
    sack_permitted: bool
    timestamps: bool
    flags: int
    cut: bool
    time_ns: int
    sent: int = 1
    answered_ns: int | None = None  # time of the SYN-ACK
    asked: int | None = None  # flags of the SYN without ACK, None if none was seen


class Flow:
    def __init__(self, src: End, dst: End, window_ns: int) -> None:
        self.src, self.dst, self.window_ns = src, dst, window_ns
        self.sequence = Sequence()
        self.duplicates, self.sacked, self.window = Duplicates(), Sacked(), Window()
        self.rtt, self.echo, self.repetitions = RoundTrips(), Echo(), Repetitions()
        self.counts = Counts()
        self.syn: Syn | None = None
        self.fin_seq: int | None = None  # of the last FIN
        self.fin_acked = False
        self.legs: list[int] = []  # sender's leg: handshake and timestamps
        self.seen = self.carried = False
        self.largest_payload = 0  # of those that may be single segments
        self.full: int | None = None
        self.stamped = False
        self.syns: Counter[tuple[int, bool]] = Counter()
        self.signatures: list[tuple[int, ...]] = []
        self.last_kept_ns: int | None = None
        self.copied = False
        self.reverse: Flow = self

    # -- what a packet is --------------------------------------------------------------------------------------------
    def is_copy(self, s: Segment, t: int) -> bool:
        """Captured twice at this tap; keeps the signature if not."""
        signature = (s.seq, s.ack, s.payload, s.flags, s.ip_id, s.window)
        if signature in self.signatures:
            if s.ip_id and not s.ipv6:
                copy = True
            else:
                near = COPY_NS if self.rtt.smallest is None else self.rtt.smallest // 4 or COPY_NS
                soon = self.last_kept_ns is not None and t - self.last_kept_ns <= near
                copy = soon and (bool(s.payload or s.syn or s.fin or s.rst) or self.copied)
            if copy:
                self.copied = True
                self.counts.captured_twice += 1
                return True
        self.signatures = [*self.signatures, signature][-SIGNATURES:]
        self.last_kept_ns = t
        return False

    # -- round trips -------------------------------------------------------------------------------------------------
    def near(self) -> int | None:
        """Smallest sender's leg."""
        known = [*self.legs, *([] if self.reverse.rtt.smallest is None else [self.reverse.rtt.smallest])]
        return min(known, default=None)

    def leg(self) -> int:
        """Smallest sender's leg from handshake and timestamps, 0 if unknown."""
        return min(self.legs, default=0)

    def rtt_min(self) -> int | None:
        smallest = self.rtt.smallest
        return None if smallest is None else smallest + self.leg()

    # -- constants ---------------------------------------------------------------------------------------------------
    def mss(self) -> tuple[int | None, str]:
        """Payload of a full segment, as known at the flow's last payload."""
        if self.full is None:
            return None, "unknown"
        peer = self.reverse.syn
        return self.full, "seen" if peer is not None and peer.mss is not None else "inferred"

    def _stamps_in_use(self) -> bool:
        return bool(self.timestamps()) or self.stamped or self.reverse.stamped

    def timestamps(self) -> bool | None:
        syns = [syn for syn in (self.syn, self.reverse.syn) if syn is not None]
        if len(syns) == 2 or any(syn.with_ack for syn in syns):  # a SYN-ACK carries what was asked for
            return all(syn.timestamps for syn in syns)
        return self.stamped or self.reverse.stamped or None

    def scale_seen(self) -> int | None:
        """Shift of the windows that dst advertises, as far as the SYNs tell."""
        ours, theirs = self.syn, self.reverse.syn
        if ours is not None and theirs is not None and not ours.cut and not theirs.cut:
            return theirs.wscale if ours.wscale is not None and theirs.wscale is not None else 0
        if theirs is not None and not theirs.cut:
            if theirs.with_ack:
                return theirs.wscale or 0
            if theirs.wscale is None:
                return 0
        if ours is not None and not ours.cut and ours.with_ack and ours.wscale is None:
            return 0
        return None

    def learn_scale(self) -> None:
        shift = self.scale_seen()
        if shift is not None:
            self.window.shift, self.window.provenance = min(shift, 14), "seen"

    # -- applying ----------------------------------------------------------------------------------------------------
    def count(self, s: Segment, t: int) -> None:
        """The packet itself: src sent it."""
        self.seen = True
        c = self.counts
        c.packets += 1
        c.wire_bytes += s.wire
        c.payload_bytes += s.payload
        self.carried |= bool(s.payload) and not s.rst
        w = c.window(t // self.window_ns * self.window_ns)
        w["packets"] += 1
        w["payload_bytes"] += s.payload
        c.ce_packets += s.ecn == 3
        self.stamped |= s.tsval is not None and not s.syn  # a SYN only offers them
        if s.payload:
            self._full_segment(s)

    def _full_segment(self, s: Segment) -> None:
        """The smaller of both options less the timestamps; else the largest payload, unless it may be a small write."""
        own, peer = self.syn, self.reverse.syn
        if peer is not None and peer.mss is not None:
            options = [syn.mss for syn in (own, peer) if syn is not None and syn.mss is not None]
            self.full = max(1, min(options) - (12 if self._stamps_in_use() else 0))
        elif self.full is None or s.payload > self.largest_payload:
            if s.payload <= LARGEST_MSS:
                self.largest_payload = max(self.largest_payload, s.payload)
            top = self.largest_payload
            said = top >= PLAUSIBLE_MSS or (top > 0 and not s.flags & PSH)
            self.full = top if said else max(top, USUAL_MSS)

    def no_row(self, s: Segment, t: int) -> None:
        """Payload that makes no window row: keep-alives, and what comes after the close."""
        self.counts.idle_bytes[t // self.window_ns * self.window_ns] += s.payload

    def acknowledged(self, s: Segment, t: int) -> None:
        """A segment of dst with ACK, not a RST."""
        q = self.sequence
        self.learn_scale()
        step = q.acknowledge(s.ack, t, midstream=self.syn is None)
        self.duplicates.judge(s, step, q.una, q.nxt)
        newly, dsack = self.sacked.take(s, q.una, q.nxt)
        if dsack:
            self.repetitions.dsack()
        if step or newly > 0:
            self.repetitions.progress(q.una, t)
        if step and self.rtt.advanced(q.una, t) is not None:
            self.counts.window(t // self.window_ns * self.window_ns)["rtt_samples"] += 1
        self.window.advertise(s, t, acceptable=s.ack == q.una)

    def syn_sent_before(self, s: Segment) -> bool:
        """Sent before; the first SYN-ACK after the end's own SYN was not (simultaneous open)."""
        return self.syns[s.seq, True] > 0 or (self.syns[s.seq, False] > 0 and not s.has_ack)

    def sent(self, s: Segment, t: int, *, late_syn: bool) -> None:
        """src's own sequence numbers."""
        q, c = self.sequence, self.counts
        nxt, una, first = q.nxt, q.una, q.first_seq is None
        kind = q.judge(
            s, t, late_syn=late_syn, zero_window=self.window.zero_since is not None, rtt_min_ns=self.rtt.smallest
        )
        w = c.window(t // self.window_ns * self.window_ns)
        if kind == kinds.NEW:
            if s.payload:
                self.rtt.sent(s.end, t)
        elif kind == kinds.WINDOW_PROBE:
            c.window_probes += 1
        elif kind == kinds.KEEPALIVE:
            c.keepalives += 1
            self.no_row(s, t)
        elif kind == kinds.REORDERED:
            c.out_of_order += 1
        elif kind in (kinds.REPEAT, kinds.REPAIR):
            first = (s.seq + s.syn) & MASK
            again = min(s.payload, max(0, distance(nxt, first)))
            mss = self.mss()[0] or 0
            parts = max(1, -(-again // mss)) if mss > 0 else 1
            c.retransmitted_packets += 1
            c.retransmitted_bytes += again
            c.retransmitted_segments += parts
            w["retransmitted_packets"] += 1
            w["retransmitted_segments"] += parts
            r = self.repetitions
            before = r.fast, r.timeouts
            r.judge(
                s, t, repair=kind == kinds.REPAIR, una=una, nxt=q.nxt, duplicates=self.duplicates.in_a_row,
                sack_reach=self.sacked.reach(s.end), sacked=self.sacked.bytes(una) > 0, mss=mss,
                rtt_ns=self.rtt.srtt + self.leg() if self.rtt.samples else None, rttvar_ns=self.rtt.rttvar,
            )  # fmt: skip
            w["fast_retransmissions"] += r.fast - before[0]
            w["timeouts"] += r.timeouts - before[1]
            self.rtt.repeated(t)
        if kind in (kinds.NEW, kinds.REPEAT, kinds.REPAIR) or (first and s.length and kind != kinds.STRAY):
            self.repetitions.last_sent_ns = t
        if s.payload and (kind == kinds.NEW or (kind == kinds.REPEAT and q.nxt != nxt)):
            self.window.passed(q.una, q.nxt, self.mss()[0] or 0)
        if s.length and kind != kinds.STRAY:
            self._flight()

    def _flight(self) -> None:
        q = self.sequence
        self.counts.flight_max_bytes = max(self.counts.flight_max_bytes, distance(q.nxt, q.una))
