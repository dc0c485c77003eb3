"""One end of a simulated TCP connection: sender and receiver of a small, honest stack (RFC 9293, 5681, 6298, 8985).

It is not meant to be fast or complete; it makes the packets that real stacks make, for the reasons that real stacks
have, and notes the reason of every packet in ``Packet.truth["why"]``. Positions count stream bytes from 0 (the FIN is
one more); raw numbers are ISN + 1 + position.
"""

import random
from collections.abc import Callable

from schemas.columns import ACK, CWR, ECE, FIN, PSH, RST, SYN
from tests.traffic.packets import MASK, MS, Packet, S
from tests.traffic.stack import Stack, Turn, merged

Schedule = Callable[[int, Callable[[], None]], None]
Emit = Callable[["Host", Packet], None]


class Host:
    """One end. The simulation calls :meth:`receive` and runs what :attr:`schedule` was given."""

    def __init__(self, address: str, port: int, stack: Stack, turns: list[Turn], rng: random.Random,
                 clock: Callable[[], int], schedule: Schedule, emit: Emit) -> None:  # fmt: skip
        self.address, self.port, self.stack, self.turns, self.rng = address, port, stack, list(turns), rng
        self.clock, self.schedule, self.emit = clock, schedule, emit
        self.peer: Host = self
        self.state = "closed"
        self.opened = False
        self.ends_with = "fin"  # or "rst", "silence"
        self.answers = "accept"  # or "refuse", "ignore"
        # sender
        self.una = self.nxt = self.top = 0
        self.written = 0
        self.boundaries: list[int] = []  # ends of writes: PSH
        self.fin_at: int | None = None
        self.full = stack.mss  # payload of a full segment: the options are taken off once they are known
        self.cwnd, self.ssthresh = stack.initial_window * stack.mss, 1 << 30
        self.peer_window, self.peer_scale, self.peer_irs = 0, 0, 0
        self.sacked: list[tuple[int, int]] = []
        self.dupacks, self.recover, self.hole = 0, -1, 0
        self.srtt = self.rttvar = 0
        self.rto, self.backoff = 1 * S, 0
        self.timed: tuple[int, int] | None = None
        self.timer = 0
        self.probe_sent = False
        self.use_sack = self.use_ts = self.use_scale = self.use_ecn = False
        self.cwr = False
        # receiver
        self.rcv_nxt = 0
        self.above: list[tuple[int, int]] = []
        self.unread = 0
        self.last_read_ns = 0
        self.advertised = 0
        self.ack_pending = 0
        self.ack_timer = 0
        self.ts_recent = 0
        self.ece = False
        self.peer_fin_at: int | None = None
        self.ip_id = rng.randrange(0x10000)
        self.last_active_ns = 0
        self.keepalives_left = 5

    # -- packets -----------------------------------------------------------------------------------------------------
    def packet(self, flags: int, at: int, payload: int, why: str) -> Packet:
        syn = bool(flags & SYN)
        self.ip_id = (self.ip_id + 1) & 0xFFFF
        out = Packet(
            self.clock(), self.address, self.port, self.peer.address, self.peer.port,
            seq=(self.stack.isn + 1 + at) & MASK,
            ack=(self.peer_irs + 1 + self.rcv_nxt) & MASK if flags & ACK else 0,
            payload_bytes=payload, flags=flags, window=self.window_field(syn),
            ip_id=0 if ":" in self.address else self.ip_id, truth={"why": why},
        )  # fmt: skip
        answering = syn and bool(flags & ACK) and not self.opened  # in a simultaneous open the SYN itself is repeated
        if syn:
            out.mss = self.stack.mss
            out.wscale = self.stack.wscale if not answering or self.use_scale else None
            out.sack_permitted = self.stack.sack and (not answering or self.use_sack)
            if self.stack.ecn and (not answering or self.use_ecn):
                out.flags |= ECE if answering else ECE | CWR
        if self.use_ts or (syn and not answering and self.stack.timestamps):
            out.timestamps = ((self.clock() // MS + self.stack.isn) & MASK, self.ts_recent if flags & ACK else 0)
        if self.use_sack and self.above and flags & ACK and not syn:
            room = 3 if self.use_ts else 4
            out.sack = tuple(
                ((self.peer_irs + 1 + a) & MASK, (self.peer_irs + 1 + b) & MASK) for a, b in self.above[-room:][::-1]
            )
        if self.use_ecn and not syn:
            if payload:
                out.ecn = 2
                if self.cwr:
                    out.flags |= CWR
                    self.cwr = False
            if self.ece:
                out.flags |= ECE
        self.ack_pending = 0
        self.ack_timer += 1
        self.last_active_ns = self.clock()
        return out

    def window_field(self, syn: bool) -> int:
        if self.stack.read_bps is not None:
            elapsed = self.clock() - self.last_read_ns
            self.unread = max(0, self.unread - int(self.stack.read_bps / 8 * elapsed / S))
            self.last_read_ns = self.clock()
        held = self.unread + sum(b - a for a, b in self.above)
        free = max(0, self.stack.buffer_bytes - held)
        if free < min(self.stack.mss, self.stack.buffer_bytes // 2):
            free = 0  # silly window avoidance (RFC 1122)
        edge = max(self.advertised, self.rcv_nxt + free)  # the right edge never moves back
        shift = 0 if syn or not self.use_scale else self.stack.wscale or 0
        raw = min(0xFFFF, (edge - self.rcv_nxt) >> shift)
        self.advertised = max(self.advertised, self.rcv_nxt + (raw << shift))
        return raw

    def send(self, flags: int, at: int, payload: int, why: str) -> None:
        self.emit(self, self.packet(flags, at, payload, why))

    # -- opening -----------------------------------------------------------------------------------------------------
    def open(self) -> None:
        self.state = "syn_sent"
        self.opened = True
        self._syn(0)

    def _syn(self, attempt: int) -> None:
        if self.state not in ("syn_sent", "syn_received") or attempt > 5:
            return
        flags = SYN if self.state == "syn_sent" else SYN | ACK
        self.send(flags, -1, 0, "open" if attempt == 0 else "open_again")
        self.schedule(S << attempt, lambda: self._syn(attempt + 1))

    def learn(self, packet: Packet) -> None:
        self.peer_irs = packet.seq
        stack = self.stack
        self.use_scale = packet.wscale is not None and stack.wscale is not None
        self.peer_scale = packet.wscale or 0 if self.use_scale else 0
        self.use_sack = packet.sack_permitted and stack.sack
        self.use_ts = packet.timestamps is not None and stack.timestamps
        self.full = stack.mss - (12 if self.use_ts else 0)
        self.use_ecn = bool(packet.flags & ECE) and stack.ecn
        if packet.timestamps is not None:
            self.ts_recent = packet.timestamps[0]
        self.peer_window = packet.window

    def establish(self) -> None:
        self.state = "open"
        self.last_read_ns = self.clock()
        self._next_turn()
        if self.stack.keepalive_ns is not None:
            self.schedule(self.stack.keepalive_ns, self._keepalive)

    # -- receiving ---------------------------------------------------------------------------------------------------
    def receive(self, packet: Packet) -> None:
        if self.state == "closed":
            if packet.flags & SYN and not packet.flags & ACK:
                if self.answers == "refuse":
                    self.peer_irs = packet.seq
                    self.send(RST | ACK, -1, 0, "refuse")
                elif self.answers == "accept":
                    self.learn(packet)
                    self.state = "syn_received"
                    self._syn(0)
            return
        if self.state == "dead":
            return
        if packet.flags & RST:
            self.state = "dead"
            return
        if packet.flags & SYN:
            if self.state == "syn_sent":
                self.learn(packet)
                if packet.flags & ACK:
                    self.establish()
                    self.send(ACK, 0, 0, "handshake")
                    self.pump()
                else:  # simultaneous open
                    self.state = "syn_received"
                    self.send(SYN | ACK, -1, 0, "open_again")
            elif self.state == "open":
                self.send(ACK, self.nxt, 0, "ack")
            return
        if self.state == "syn_received" and packet.flags & ACK:
            self.establish()
        if self.state in ("open", "closing"):
            self._take_ack(packet)
            self._take_data(packet)

    def _position(self, raw: int, base: int, near: int) -> int:
        """The stream position that a raw number means, nearest to `near`."""
        delta = (raw - (base + 1 + near)) & MASK
        return near + (delta - (1 << 32) if delta >> 31 else delta)

    def _take_data(self, packet: Packet) -> None:
        if packet.timestamps is not None and self.use_ts:
            self.ts_recent = packet.timestamps[0]
        length = packet.payload_bytes + bool(packet.flags & FIN)
        start = self._position(packet.seq, self.peer_irs, self.rcv_nxt)
        if self.use_ecn and packet.ecn == 3:
            self.ece = True
        if packet.flags & CWR:
            self.ece = packet.ecn == 3
        if length == 0:
            if start < self.rcv_nxt:  # keep-alive or window probe
                self.send(ACK, self.nxt, 0, "ack")
            return
        end = start + length
        if packet.flags & FIN:
            self.peer_fin_at = end
        edge = self.advertised
        if (start >= edge and end > self.rcv_nxt) or end <= self.rcv_nxt:
            self.send(ACK, self.nxt, 0, "ack")  # outside the window, or old
            return
        end = min(end, max(edge, self.rcv_nxt + 1)) if packet.payload_bytes else end
        before = self.rcv_nxt
        in_order = start <= self.rcv_nxt and not self.above
        self.above = merged([*self.above, (max(start, before), end)], newest=(max(start, before), end))
        for block in sorted(self.above):
            if block[0] <= self.rcv_nxt < block[1]:
                self.rcv_nxt = block[1]
        self.above = [block for block in self.above if block[0] > self.rcv_nxt]
        self.unread += self.rcv_nxt - before if self.stack.read_bps is not None else 0
        self._next_turn()
        if self.rcv_nxt == self.peer_fin_at and not self.turns and self.una == self.written:
            self._finish()
        self.ack_pending += packet.payload_bytes
        if not in_order or self.ack_pending >= 2 * self.full or packet.flags & FIN:
            self.send(ACK, self.nxt, 0, "ack")
        else:
            self.ack_timer += 1
            number = self.ack_timer
            self.schedule(self.stack.delayed_ack_ns, lambda: self._delayed_ack(number))
        if self.stack.read_bps is not None:
            self.schedule(20 * MS, self._window_update)
        self.pump()

    def _delayed_ack(self, number: int) -> None:
        if number == self.ack_timer and self.ack_pending and self.state in ("open", "closing"):
            self.send(ACK, self.nxt, 0, "ack")

    def _window_update(self) -> None:
        """Tell the peer when the application has read enough (two segments or half the buffer)."""
        if self.state not in ("open", "closing"):
            return
        known = self.advertised - self.rcv_nxt
        before = self.advertised, self.ip_id
        self.window_field(False)
        opened = self.advertised - self.rcv_nxt - known
        self.advertised = before[0]
        if opened >= min(2 * self.full, self.stack.buffer_bytes // 2):
            self.send(ACK, self.nxt, 0, "window_update")
        if self.unread:
            self.schedule(20 * MS, self._window_update)

    # -- the application ---------------------------------------------------------------------------------------------
    def _next_turn(self) -> None:
        if not self.turns or self.rcv_nxt < self.turns[0].after:
            return
        turn = self.turns.pop(0)
        for number, size in enumerate(turn.writes):
            self.schedule(turn.think_ns + number * turn.gap_ns, lambda size=size: self._write(size))
        if not self.turns:
            self.schedule(turn.think_ns + len(turn.writes) * turn.gap_ns + 1, self._finish)

    def _write(self, size: int) -> None:
        self.written += size
        self.boundaries.append(self.written)
        self._next_turn()
        self.pump()

    def _finish(self) -> None:
        if self.ends_with == "fin" and self.fin_at is None:
            self.fin_at = self.written
            self.pump()
        elif self.ends_with == "rst" and self.state == "open":
            self.send(RST | ACK, self.nxt, 0, "abort")
            self.state = "dead"

    def _keepalive(self) -> None:
        if self.state != "open" or self.stack.keepalive_ns is None or self.keepalives_left == 0:
            return
        if self.una == self.top and self.clock() - self.last_active_ns >= self.stack.keepalive_ns:
            self.keepalives_left -= 1
            self.send(ACK, self.nxt - 1, min(self.stack.probe_bytes, self.nxt), "keepalive")
        self.schedule(self.stack.keepalive_ns, self._keepalive)

    # -- sending -----------------------------------------------------------------------------------------------------
    def limit(self) -> int:
        return self.written if self.fin_at is None else self.fin_at + 1

    def _segment(self, at: int, most: int, why: str) -> int:
        """Send up to `most` bytes from `at`; returns the position after them."""
        payload = max(0, min(most, self.written - at))
        end = at + payload
        flags = ACK
        if payload and (end in self.boundaries):
            flags |= PSH
        if self.fin_at is not None and end == self.fin_at and payload < most:
            flags |= FIN
            end += 1
        if end == at:
            return at
        if end <= self.top or at < self.top:
            self.timed = None  # Karn
        elif self.timed is None:
            self.timed = (end, self.clock())
        self.send(flags, at, payload, why)
        self.top = max(self.top, end)
        return end

    def pump(self) -> None:
        """Send what the windows allow."""
        if self.state not in ("open", "closing"):
            return
        while self.nxt < self.limit():
            for left, right in self.sacked:  # after a timeout: what has arrived is not sent again
                if left <= self.nxt < right:
                    self.nxt = right
            if self.nxt >= self.limit():
                break
            flight = self.nxt - self.una - sum(b - a for a, b in self.sacked if b <= self.nxt)
            usable = self.una + self.peer_window - self.nxt
            size = min(self.full * self.stack.super_segments, max(0, self.cwnd - flight), max(0, usable))
            if size < min(self.full, self.limit() - self.nxt):
                break
            again = self.nxt < self.top
            if again:
                size = min(size, self.full)
            self.nxt = self._segment(self.nxt, size, "after_timeout" if again else "data")
        self._arm()

    def _arm(self) -> None:
        """Start the timer that the present state calls for."""
        self.timer += 1
        number = self.timer
        if self.una < self.top:
            probe = self.stack.tail_probes and self.use_sack and not self.probe_sent and self.recover < self.una
            # A lone segment may wait for the peer's delayed ACK (RFC 8985, 7.2).
            wait = 2 * self.srtt + 2 * MS + (50 * MS if self.top - self.una <= self.full else 0)
            if probe and self.srtt and self.nxt == self.top and wait < self.rto << self.backoff:
                self.schedule(wait, lambda: self._tail_probe(number))
            else:
                self.schedule(min(self.rto << self.backoff, 60 * S), lambda: self._timeout(number))
        elif self.nxt < self.limit():
            self.schedule(min(self.rto << self.backoff, 60 * S), lambda: self._window_probe(number))

    def _tail_probe(self, number: int) -> None:
        if number != self.timer or self.state not in ("open", "closing"):
            return
        self.probe_sent = True
        usable = self.una + self.peer_window - self.nxt
        if self.nxt < self.limit() and usable >= min(self.full, self.limit() - self.nxt):
            self.nxt = self._segment(self.nxt, self.full, "tail_probe_new")
        else:
            at = max(self.una, self.top - self.full)
            self._segment(at, self.top - at, "tail_probe")
        self._arm()

    def _timeout(self, number: int) -> None:
        if number != self.timer or self.state not in ("open", "closing") or self.backoff > 6:
            return
        self.ssthresh = max((self.nxt - self.una) // 2, 2 * self.full)
        self.cwnd = self.full
        self.backoff += 1
        self.dupacks, self.recover, self.hole = 0, self.top, 0
        self.nxt = self._segment(self.una, min(self.full, self.top - self.una), "timeout")
        self._arm()

    def _window_probe(self, number: int) -> None:
        if number != self.timer or self.state not in ("open", "closing") or self.backoff > 6:
            return
        self.backoff += 1
        if self.stack.probe_bytes and self.nxt < self.written:
            self.send(ACK, self.nxt, 1, "window_probe")
        else:
            self.send(ACK, self.nxt - 1, 0, "window_probe")
        self._arm()

    def _take_ack(self, packet: Packet) -> None:
        ack = self._position(packet.ack, self.stack.isn, self.una)
        if ack > self.top + 1:
            return
        self.top = max(self.top, ack)  # a probe's byte was taken
        window = packet.window << self.peer_scale
        duplicate = (
            ack == self.una and self.una < self.top and not packet.payload_bytes and window == self.peer_window
            and not packet.flags & FIN
        )  # fmt: skip
        if ack >= self.una:
            self.peer_window = window
        if self.use_sack:
            blocks = [
                (self._position(a, self.stack.isn, self.una), self._position(b, self.stack.isn, self.una))
                for a, b in packet.sack
            ]
            self.sacked = merged([*self.sacked, *(block for block in blocks if block[0] >= max(ack, self.una))])
        if ack > self.una:
            self._advance(ack)
        elif duplicate:
            self.dupacks += 1
            if self.dupacks == 3 and self.recover < self.una:
                self.recover, self.hole = self.top, self.una
                self.ssthresh = max((self.nxt - self.una) // 2, 2 * self.full)
                self.cwnd = self.ssthresh + 3 * self.full
                self.hole = self._segment(self.una, self.full, "fast")
            elif self.dupacks > 3:
                self.cwnd += self.full
                self._repair()
        if packet.flags & ECE and self.use_ecn and self.recover < self.una and not packet.flags & SYN:
            self.ssthresh = self.cwnd = max(self.cwnd // 2, 2 * self.full)
            self.recover, self.cwr = self.top, True
        self.pump()

    def _repair(self) -> None:
        """With SACK: the next hole below what has arrived."""
        for left, right in sorted(self.sacked):
            if self.hole < left and self.recover >= self.una and self.hole >= self.una:
                self.hole = self._segment(self.hole, min(self.full, left - self.hole), "fast")
                return
            self.hole = max(self.hole, right) if left <= self.hole else self.hole

    def _advance(self, ack: int) -> None:
        if self.timed is not None and ack >= self.timed[0]:
            sample = self.clock() - self.timed[1]
            self.timed = None
            if self.srtt == 0:
                self.srtt, self.rttvar = sample, sample // 2
            else:
                self.rttvar += (abs(sample - self.srtt) - self.rttvar) // 4
                self.srtt += (sample - self.srtt) // 8
            self.rto = self.srtt + max(self.stack.rto_min_ns, 4 * self.rttvar)
        newly = ack - self.una
        self.una = ack
        self.nxt = max(self.nxt, ack)
        self.sacked = [block for block in self.sacked if block[1] > ack]
        self.dupacks, self.backoff, self.probe_sent = 0, 0, False
        if self.recover > ack and self.hole:  # partial ACK (RFC 6582)
            self.hole = self._segment(self.una, min(self.full, self.top - self.una), "fast")
        elif self.recover >= 0 and self.recover <= ack:
            self.recover, self.hole = -1, 0
            self.cwnd = max(min(self.cwnd, self.ssthresh), self.full)
        elif self.cwnd < self.ssthresh:
            self.cwnd += newly
        else:
            self.cwnd += max(1, self.full * self.full // self.cwnd)
