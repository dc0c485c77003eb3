"""What a segment is to its flow: new, repeated, reordered, a repair, a probe; and which bytes nobody saw."""

from dataclasses import dataclass, field

from tests.oracle.segment import FAR, MASK, Segment, distance

HOLES_KEPT = 4
REORDER_NS = 3_000_000

# Kinds of segment. NONE: takes no sequence number, or no effect.
NONE, NEW, STRAY, WINDOW_PROBE, KEEPALIVE, REPEAT, REORDERED, REPAIR = (
    "none", "new", "stray", "window_probe", "keepalive", "repeat", "reordered", "repair",
)  # fmt: skip


@dataclass
class Hole:
    """Sequence numbers [left, right) that were passed over and not seen."""

    left: int
    right: int
    since_ns: int


@dataclass
class Sequence:
    """una, snd_nxt and holes of one flow."""

    known: bool = False
    una: int = 0
    nxt: int = 0
    begun: bool = False  # a segment of the direction was seen, not ACKs for it alone
    first_ack_done: bool = False
    holes: list[Hole] = field(default_factory=list)
    unseen: int = 0
    probe_at: int | None = None  # an outstanding one-byte window probe
    newest_tsval: int | None = None
    last_ip_id: int = 0
    first_seq: int | None = None

    def judge(self, s: Segment, t: int, *, late_syn: bool, zero_window: bool, rtt_min_ns: int | None) -> str:
        """The segment's kind; moves snd_nxt and the holes."""
        kind = NONE
        if not s.rst:
            kind = self._judge(s, t, late_syn, zero_window, rtt_min_ns)
            if self.first_seq is None and kind != STRAY:
                self.first_seq = s.seq
        if s.tsval is not None and (self.newest_tsval is None or distance(s.tsval, self.newest_tsval) > 0):
            self.newest_tsval = s.tsval
        if kind in (NEW, REPEAT, REPAIR):
            self.last_ip_id = s.ip_id
        return kind

    def _judge(self, s: Segment, t: int, late_syn: bool, zero_window: bool, rtt_min_ns: int | None) -> str:
        if not self.known:
            self.known = True
            self.una, self.nxt = s.seq, s.end
            self.begun = True
            return NEW if s.length else NONE
        if not self.begun:  # ACKs came before: what lies between them and this was never ours to see
            if abs(distance(s.seq, self.nxt)) > FAR:
                return STRAY
            self.begun = True
            if 0 < distance(s.end, self.nxt) <= FAR:
                self.nxt = s.end
                return NEW if s.length else NONE
            return NONE
        ahead = distance(s.seq, self.nxt)
        if late_syn and -FAR <= distance(s.end, self.nxt) <= 0:
            return NONE  # captured after what follows it
        tiny = s.payload <= 1 and not s.syn and not s.fin
        if ahead == 0 and s.length:
            if zero_window and tiny:
                self.probe_at = self.nxt
                return WINDOW_PROBE
            self.nxt = s.end
            return NEW
        if abs(ahead) > FAR:
            return STRAY
        if tiny and ahead == -1:
            if zero_window:
                return WINDOW_PROBE
            if self.una == self.nxt:
                return KEEPALIVE
        if not s.length:
            return NONE
        if ahead > 0:
            self._open_hole(self.nxt, s.seq, t)
            self.nxt = s.end
            return NEW
        if distance(s.end, self.nxt) > 0:
            self._fill(s.seq, s.end)
            self.nxt = s.end
            return REPEAT
        touched = [h for h in self.holes if distance(s.end, h.left) > 0 and distance(h.right, s.seq) > 0]
        if not touched:
            return REPEAT
        opened_ns = max(h.since_ns for h in self.holes)
        return self._filled(s, t, opened_ns, rtt_min_ns)

    def _filled(self, s: Segment, t: int, opened_ns: int, rtt_min_ns: int | None) -> str:
        late_bytes, bytes_ = self._fill(s.seq, s.end)
        if late_bytes == bytes_:
            return REORDERED
        if s.tsval is not None and self.newest_tsval is not None and s.tsval != self.newest_tsval:
            return REORDERED if distance(s.tsval, self.newest_tsval) < 0 else REPAIR
        if s.ip_id and self.last_ip_id and s.ip_id != self.last_ip_id:
            step = (s.ip_id - self.last_ip_id) & 0xFFFF
            return REORDERED if step >= 0x8000 else REPAIR
        within = max((rtt_min_ns or 0) // 4, REORDER_NS)
        return REORDERED if t - opened_ns < within else REPAIR

    def _open_hole(self, left: int, right: int, t: int) -> None:
        self.holes.append(Hole(left, right, t))
        if len(self.holes) > HOLES_KEPT:
            self.holes.remove(min(self.holes, key=lambda h: distance(h.left, self.nxt)))

    def _fill(self, left: int, right: int) -> tuple[int, int]:
        """Take [left, right) out of the holes: (bytes that had been acknowledged unseen, all filled bytes)."""
        late = filled = 0
        kept: list[Hole] = []
        for h in self.holes:
            a = h.left if distance(h.left, left) > 0 else left
            b = h.right if distance(h.right, right) < 0 else right
            if distance(b, a) <= 0:
                kept.append(h)
                continue
            filled += distance(b, a)
            acked = min(distance(b, a), max(0, distance(self.una, a)))
            late += acked
            if distance(a, h.left) > 0:
                kept.append(Hole(h.left, a, h.since_ns))
            if distance(h.right, b) > 0:
                kept.append(Hole(b, h.right, h.since_ns))
        while len(kept) > HOLES_KEPT:
            kept.remove(min(kept, key=lambda h: distance(h.left, self.nxt)))
        self.holes = kept
        self.unseen -= late
        return late, filled

    def acknowledge(self, ack: int, t: int, *, midstream: bool) -> int | None:
        """An ACK from the receiver: by how much una advanced (0: it equals una), None if it is ignored."""
        if not self.known:
            self.known = self.first_ack_done = True
            self.una = self.nxt = ack
            return None
        first, self.first_ack_done = not self.first_ack_done, True
        step = distance(ack, self.una)
        if abs(step) > FAR:
            return None
        if not self.begun:
            if step > 0:
                self.una = self.nxt = ack
            return max(step, 0)
        if step < 0:
            if first and midstream:
                self.una = ack
            return None
        if step == 0:
            return 0
        beyond = distance(ack, self.nxt)
        if beyond > 0:
            if beyond == 1 and self.probe_at == self.nxt:  # the probe's byte was taken
                self.nxt = (self.nxt + 1) & MASK
                beyond -= 1
            if beyond > 0:
                self._open_hole(self.nxt, ack, t)
                self.nxt = ack
        self.unseen += sum(
            distance(b, a)
            for h in self.holes
            for a in [h.left if distance(h.left, self.una) > 0 else self.una]
            for b in [h.right if distance(h.right, ack) < 0 else ack]
            if distance(b, a) > 0
        )
        self.una = ack
        return step
