"""What the receiving end of a flow says: duplicate ACKs, SACK, its window and the window's scale."""

from dataclasses import dataclass, field

from tests.oracle.segment import FAR, MASK, Segment, distance

MOST_SHIFT = 14  # RFC 7323
EDGE_HITS = 8


@dataclass
class Duplicates:
    """Duplicate ACKs (RFC 5681)."""

    in_a_row: int = 0
    total: int = 0
    triples: int = 0
    last_window: int | None = None

    def judge(self, s: Segment, step: int | None, una: int, nxt: int) -> None:
        """step: what Sequence.acknowledge said of this ACK; una, nxt: after it."""
        same = self.last_window is not None and s.window == self.last_window
        if step:
            self.in_a_row = 0
        elif step == 0 and distance(nxt, una) > 0 and s.length == 0 and (same or s.sack):
            self.in_a_row += 1
            self.total += 1
            self.triples += self.in_a_row == 3
        if s.ack == una:
            self.last_window = s.window


@dataclass
class Sacked:
    """What SACK blocks reported above una, and DSACKs."""

    blocks: list[tuple[int, int]] = field(default_factory=list)  # raw, above una

    def take(self, s: Segment, una: int, nxt: int) -> tuple[int, bool]:
        """(bytes newly SACKed, the segment carries a DSACK)."""
        blocks = [b for b in s.sack if 0 < distance(b[1], b[0]) <= FAR]
        duplicate = False
        if blocks:
            left, right = blocks[0]
            below = distance(right, s.ack) <= 0
            inside = len(blocks) > 1 and distance(left, blocks[1][0]) >= 0 and distance(right, blocks[1][1]) <= 0
            duplicate = below or inside
        before = self.bytes(una)
        for left, right in blocks[1:] if duplicate else blocks:
            if distance(left, una) >= 0 and distance(right, nxt) <= 0:
                self._add(left, right)
        self.blocks = [b for b in self.blocks if distance(b[1], una) > 0]
        return self.bytes(una) - before, duplicate

    def _add(self, left: int, right: int) -> None:
        for block in list(self.blocks):
            if distance(left, block[1]) <= 0 and distance(block[0], right) <= 0:
                self.blocks.remove(block)
                left = left if distance(left, block[0]) < 0 else block[0]
                right = right if distance(right, block[1]) > 0 else block[1]
        self.blocks.append((left, right))

    def bytes(self, una: int) -> int:
        return sum(distance(b, a if distance(a, una) > 0 else una) for a, b in self.blocks if distance(b, una) > 0)

    def reach(self, above: int) -> int:
        """How far the highest SACKed byte lies above a sequence number."""
        return max((distance(b, above) for _, b in self.blocks), default=0)


@dataclass
class Window:
    """The windows that the receiver advertises."""

    shift: int | None = None
    provenance: str = "unknown"
    zero_since: int | None = None
    zeros: int = 0
    zero_ns: int = 0
    raw: int | None = None
    edge: int | None = None  # highest raw number that the sender might send up to, as the shift is known so far
    near_edge: int = 0
    smallest: int | None = None
    largest: int | None = None

    def advertise(self, s: Segment, t: int, *, acceptable: bool) -> None:
        """A segment with ACK of the receiver; acceptable: its ACK is una now (RFC 9293, 3.10.7.4)."""
        self.zeros += not s.syn and s.window == 0
        if not acceptable:
            return
        self.raw = s.window
        edge = (s.ack + (s.window << (0 if s.syn else self.shift or 0))) & MASK
        if self.edge is None or distance(edge, self.edge) > 0:
            self.edge = edge
        if s.syn:
            return
        if s.window == 0:
            if self.zero_since is None:
                self.zero_since = t
        elif self.zero_since is not None:
            self.zero_ns += t - self.zero_since
            self.zero_since = None
        if s.window == 0:
            self.smallest = 0
        if self.shift is not None:
            value = s.window << self.shift
            self.smallest = value if self.smallest is None else min(self.smallest, value)
            self.largest = value if self.largest is None else max(self.largest, value)

    def finish(self, t: int) -> None:
        if self.largest is None and self.shift is not None:
            self.largest = self.smallest  # zero is the one window that needs no scale
        if self.zero_since is not None:
            self.zero_ns += t - self.zero_since
            self.zero_since = None

    def passed(self, una: int, nxt: int, mss: int) -> None:
        """New data up to nxt: where the shift was not seen, it must have been at least what allows that."""
        if self.provenance == "seen" or self.edge is None or self.raw is None:
            return
        over = distance(nxt, self.edge)
        if over > 0 and self.raw:
            shift = self.shift or 0
            while shift < MOST_SHIFT and self.raw << shift < distance(nxt, una):
                shift += 1
            self.shift, self.provenance = shift, "inferred"
            self.edge = (una + (self.raw << shift)) & MASK
        elif over > -mss and (self.provenance == "inferred" or self.raw >= 2 * mss):
            self.near_edge += 1
            if self.near_edge == EDGE_HITS:
                self.shift, self.provenance = self.shift or 0, "inferred"
