"""The life of one connection: opening, closing, resets, and when a segment begins another one."""

from dataclasses import dataclass

from schemas.columns import AE, CWR, ECE
from tests.oracle.flow import Flow, Syn
from tests.oracle.segment import FAR, MASK, End, Segment, distance

HALF_OPEN_NS = 75_000_000_000
CLOSED_NS = 10_000_000_000


@dataclass(frozen=True)
class Limits:
    window_ns: int = 1_000_000_000
    idle_timeout_ns: int = 7_500_000_000_000


class Connection:
    """Both flows of one incarnation."""

    def __init__(self, first: Segment, limits: Limits) -> None:
        self.limits = limits
        self.start_ns = self.now_ns = first.time_ns
        self.tap, self.tenant = first.tap, first.tenant
        self.flows = {
            first.src: Flow(first.src, first.dst, limits.window_ns),
            first.dst: Flow(first.dst, first.src, limits.window_ns),
        }
        one, two = self.flows.values()
        one.reverse, two.reverse = two, one
        self.state = "new"
        self.opener: End | None = None
        self.closed_by: str | None = None
        self.reset_by: End | None = None
        self.refused = False
        self.clock_steps_back = 0
        self.handshake_legs: dict[End, int] = {}  # the leg between the tap and this end
        self.ended_by = "open"

    # -- before a segment is applied ---------------------------------------------------------------------------------
    def expired(self, now_ns: int) -> bool:
        silence = now_ns - self.now_ns
        limit = self.limits.idle_timeout_ns
        if self.closed_by is not None:
            limit = CLOSED_NS
        elif self.state in ("syn_sent", "syn_received"):
            limit = HALF_OPEN_NS
        return silence > limit

    def replaced_by(self, s: Segment) -> bool:
        """A SYN that opens a new incarnation."""
        if not s.syn or s.has_ack or s.rst:
            return False
        flow = self.flows[s.src]
        if flow.syn is not None:
            return flow.syn.seq != s.seq
        if self.closed_by is not None:
            return True
        if self.state != "established":
            return False  # simultaneous open
        first = flow.sequence.first_seq
        if first is None and flow.sequence.known:
            first = flow.sequence.una
        return first is None or distance(first, s.seq) != 1

    # -- applying ----------------------------------------------------------------------------------------------------
    def apply(self, s: Segment) -> None:
        if s.time_ns < self.now_ns:
            self.clock_steps_back += 1
        t = self.now_ns = max(self.now_ns, s.time_ns)
        flow = self.flows[s.src]
        if flow.is_copy(s, t):
            return
        flow.count(s, t)
        if s.flags & ECE and self.ecn() == "ecn" and not s.syn:
            flow.reverse.counts.ece_packets += 1
        repeated_syn = flow.syn_sent_before(s)
        self._open(s, t, flow)
        if s.has_ack and not s.rst:
            flow.reverse.acknowledged(s, t)
        late_syn = s.syn and not repeated_syn
        leg = None
        if not s.syn:
            flow.reverse.echo.towards(s, t)
            leg = flow.echo.back(s, t)
        if leg is not None:
            flow.legs.append(max(1, leg))
        if self.closed_by is not None or flow.fin_acked:
            flow.no_row(s, t)
        if not (s.syn and flow.syn is not None and flow.syn.seq != s.seq):  # a SYN of another connection
            flow.sent(s, t, late_syn=late_syn)
        self._close(s, flow)

    def _open(self, s: Segment, t: int, flow: Flow) -> None:
        peer = flow.reverse
        if s.syn and not s.rst:
            if flow.syn is None:
                flow.syn = Syn(
                    s.seq, s.has_ack, s.mss, s.wscale, s.sack_permitted, s.tsval is not None, s.flags, s.cut, t
                )
            elif flow.syn.seq == s.seq:
                # Options may differ (a SYN without ECN after one with it): the latest counts.
                flow.syn.with_ack |= s.has_ack
                flow.syn.mss, flow.syn.wscale = s.mss, s.wscale
                flow.syn.sack_permitted, flow.syn.timestamps, flow.syn.flags = (
                    s.sack_permitted,
                    s.tsval is not None,
                    s.flags,
                )
                flow.syn.sent += flow.syn_sent_before(s)
                flow.counts.syn_retransmissions += flow.syn_sent_before(s)
            if not s.has_ack and flow.syn.seq == s.seq:
                flow.syn.asked = s.flags
            # The opener's own SYN-ACK (simultaneous open) may be a repetition: it tells nothing of its leg.
            asked = peer.syn if self.opener != s.src and not flow.syns[s.seq, True] and s.has_ack else None
            if asked is not None and asked.asked is not None and asked.sent == 1 and s.ack == asked.seq + 1 & MASK:
                self._leg(flow, t - asked.time_ns)
            if s.has_ack and flow.syn.answered_ns is None:
                flow.syn.answered_ns = t
            flow.syns[s.seq, s.has_ack] += 1
            if self.opener is None:
                self.opener = s.dst if s.has_ack else s.src
            if self.state in ("new", "syn_sent"):
                self.state = "syn_received" if s.has_ack else "syn_sent"
            flow.learn_scale()
            peer.learn_scale()
            return
        if s.rst:
            if self.state in ("syn_sent", "syn_received") and self.closed_by is None and not (
                flow.syn is not None and not flow.syn.with_ack
            ):  # fmt: skip
                self.refused = True
            if self.state == "new":
                self.state = "established"
            return
        if self.state == "new":
            self.state = "established"
        if not s.has_ack:
            return
        heard = peer.seen or peer.sequence.known or bool(s.payload)
        if self.state == "syn_received" or (self.state == "syn_sent" and heard):
            self.state = "established"
            answer = peer.syn
            once = answer is not None and answer.sent == 1 and 0 < distance(s.ack, answer.seq) <= FAR
            if answer is not None and answer.answered_ns is not None and once:
                self._leg(flow, t - answer.answered_ns)

    def _leg(self, flow: Flow, leg_ns: int) -> None:
        leg_ns = max(1, leg_ns)
        flow.legs.append(leg_ns)
        self.handshake_legs[flow.src] = leg_ns

    def _close(self, s: Segment, flow: Flow) -> None:
        if s.rst:
            if self.closed_by is None:
                self.reset_by = s.src
            self.closed_by = self.closed_by or "reset"
        if s.fin and not s.rst:
            flow.fin_seq = (s.seq + s.payload) & MASK
        peer = flow.reverse
        if s.has_ack and peer.fin_seq is not None and distance(s.ack, peer.fin_seq) > 0:
            peer.fin_acked = True
            if flow.fin_acked and self.closed_by is None:
                self.closed_by = "fin"

    def finish(self, ended_by: str) -> None:
        self.ended_by = self.closed_by or ended_by
        for flow in self.flows.values():
            flow.window.finish(self.now_ns)

    # -- constants ---------------------------------------------------------------------------------------------------
    def ecn(self) -> str | None:
        """ECN as negotiated (RFC 3168, 6.1.1; RFC 9768, table 2)."""
        for f in self.flows.values():
            answer, asked = f.syn, f.reverse.syn
            if answer is None or not answer.with_ack:
                continue
            reply = answer.flags & (AE | CWR | ECE)
            wish = None if asked is None else asked.asked
            if wish is not None and wish & (AE | CWR | ECE) == AE | CWR | ECE and reply & (AE | CWR):
                return "none" if reply == AE | CWR | ECE else "acc_ecn"
            wanted = wish is None or wish & (CWR | ECE) == CWR | ECE
            return "ecn" if reply == ECE and wanted else "none"
        return None
