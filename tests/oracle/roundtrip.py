"""Round trips: Karn's rule, RFC 6298, and the sender's leg from handshake and timestamps."""

from dataclasses import dataclass, field

from tests.oracle.segment import Segment, distance

RING = 8
OLDEST_NS = 60_000_000_000
RESOLUTION_NS = 16


@dataclass
class RoundTrips:
    """Receiver-leg samples of one flow."""

    ring: list[tuple[int, int]] = field(default_factory=list)  # (end, time sent)
    last_repeat_ns: int | None = None
    samples: list[int] = field(default_factory=list)
    srtt: int = 0
    rttvar: int = 0

    def sent(self, end: int, t: int) -> None:
        if len(self.ring) < RING:
            self.ring.append((end, t))

    def repeated(self, t: int) -> None:
        self.last_repeat_ns = t

    def advanced(self, una: int, t: int) -> int | None:
        """una is new: the sample that it gives, if any."""
        gone = [entry for entry in self.ring if distance(entry[0], una) <= 0]
        self.ring = [entry for entry in self.ring if distance(entry[0], una) > 0]
        for end, sent_ns in gone:
            last = self.last_repeat_ns
            ambiguous = last is not None and sent_ns // RESOLUTION_NS <= last // RESOLUTION_NS
            if end == una and t - sent_ns < OLDEST_NS and not ambiguous:
                return self._sample(max(1, (t // RESOLUTION_NS - sent_ns // RESOLUTION_NS) * RESOLUTION_NS))
        return None

    def _sample(self, r: int) -> int:
        if not self.samples:
            self.srtt, self.rttvar = r, r // 2
        else:
            self.rttvar = (3 * self.rttvar + abs(self.srtt - r)) // 4
            self.srtt = (7 * self.srtt + r) // 8
        self.samples.append(r)
        return r

    @property
    def smallest(self) -> int | None:
        return min(self.samples, default=None)


@dataclass
class Echo:
    """The sender's leg: a TSval that passed towards the sender until it comes back as TSecr."""

    newest: int | None = None
    watched: tuple[int, int] | None = None

    def towards(self, s: Segment, t: int) -> None:
        if s.tsval is None:
            return
        if self.newest is None:
            self.newest = s.tsval  # it may have been sent before the capture began
        elif distance(s.tsval, self.newest) > 0:
            self.newest = s.tsval
            if self.watched is None:
                self.watched = (s.tsval, t)

    def back(self, s: Segment, t: int) -> int | None:
        if s.tsecr is None or not s.has_ack or self.watched is None:
            return None
        step = distance(s.tsecr, self.watched[0])
        if step < 0:
            return None
        since = self.watched[1]
        self.watched = None
        return t - since if step == 0 else None
