"""Why a segment was sent again: what triggered it, and the episodes of repair."""

from dataclasses import dataclass

from tests.oracle.segment import Segment, distance

RTO_VARIANCE_NS = 200_000_000
RTO_FIRST_NS = 1_000_000_000


@dataclass
class Repetitions:
    """Triggers and episodes of one flow."""

    episode: str | None = None  # "fast" or "timeout"
    recover: int = 0
    fast: int = 0
    timeouts: int = 0
    tail_probes: int = 0
    spurious: int = 0
    near: int = 0
    far: int = 0
    needless_open: int = 0  # needless repetitions that no DSACK has named yet
    last_sent_ns: int | None = None
    progress_ns: int | None = None

    def progress(self, una: int, t: int) -> None:
        """una advanced or bytes were newly SACKed."""
        self.progress_ns = t
        if self.episode is not None and distance(una, self.recover) >= 0:
            self.episode = None

    def dsack(self) -> None:
        if self.needless_open:
            self.needless_open -= 1
        elif self.far:
            self.far -= 1
            self.spurious += 1

    def judge(self, s: Segment, t: int, *, repair: bool, una: int, nxt: int, duplicates: int, sack_reach: int,
              sacked: bool, mss: int, rtt_ns: int | None, rttvar_ns: int) -> str:  # fmt: skip
        """The trigger of a repeated segment (or a repair); counts it."""
        needless = distance(una, s.end) >= 0
        if needless:
            trigger = "needless"
        else:
            trigger = self._trigger(s, t, nxt, duplicates, sack_reach, sacked, mss, rtt_ns, rttvar_ns)
        if needless:
            self.spurious += 1
            self.needless_open += 1
        if repair:
            self.near += 1
        elif not needless:
            self.far += 1
        if trigger in ("fast", "timeout") or (trigger == "unknown" and not s.syn and not s.fin):
            self.episode = "timeout" if trigger == "timeout" else "fast"
            self.recover = nxt
            self.timeouts += trigger == "timeout"
            self.fast += trigger == "fast"
        elif trigger == "episode":
            self.fast += self.episode == "fast"
        elif trigger == "tail_probe":
            self.tail_probes += 1
        return trigger

    def _trigger(self, s: Segment, t: int, nxt: int, duplicates: int, sack_reach: int, sacked: bool, mss: int,
                 rtt_ns: int | None, rttvar_ns: int) -> str:  # fmt: skip
        rto = RTO_FIRST_NS if rtt_ns is None else rtt_ns + max(4 * rttvar_ns, RTO_VARIANCE_NS)
        silence = t - (self.last_sent_ns if self.last_sent_ns is not None else t)
        idle = t - (self.progress_ns if self.progress_ns is not None else -(1 << 62))
        quiet = 10 * silence >= 8 * rto and 10 * idle >= 8 * rto
        if self.episode is not None:
            return "timeout" if quiet else "episode"
        if duplicates >= 3 or (sacked and sack_reach >= 3 * mss):
            return "timeout" if quiet else "fast"
        if quiet:
            return "timeout"
        if sacked or duplicates:
            return "fast"
        if s.end == nxt and rtt_ns is not None and 2 * silence >= 3 * rtt_ns:
            return "tail_probe"
        if (s.syn or s.fin) and not s.payload:
            return "timeout"
        return "unknown"
