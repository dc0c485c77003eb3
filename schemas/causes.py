"""The words of a diagnosis: verdicts, causes and the one static table that maps each cause to its verdict.

Numbers are stored (records, Avro, Enum8), so lists only grow at their end. Meanings: the documentation's page of each
cause. Verdicts follow the sending kernel's view: data that waits for the congestion window, pacing or repair is
network; nothing more to send, a full send buffer or Nagle's last partial segment is sender.
"""

VERDICTS = ("sender", "receiver", "network", "setup", "idle", "unknown")
SENDER, RECEIVER, NETWORK, SETUP, IDLE, UNKNOWN = range(len(VERDICTS))

# (name, verdict, one line for people)
_CAUSES = (
    ("unexplained", UNKNOWN, "no rule applies"),
    ("handshake", SETUP, "the connection is being set up"),
    ("syn_lost", SETUP, "the opener's SYN was sent again"),
    ("synack_lost", SETUP, "the SYN-ACK was sent again and no answer to it was seen"),
    ("accept_queue", SETUP, "the SYN-ACK was sent again although the opener had answered it"),
    ("refused", SETUP, "the connection was refused by a reset"),
    ("no_answer", SETUP, "nothing answered the SYN"),
    ("slow_setup", SETUP, "the handshake took far longer than the round trip"),
    ("idle", IDLE, "nothing in flight, nothing requested"),
    ("await_request", IDLE, "waiting for the peer's next request"),
    ("server_think", SENDER, "the peer's request is answered late"),
    ("slow_producer", SENDER, "the application writes more slowly than the path carries"),
    ("small_writes", SENDER, "small writes, each sent and waited for"),
    ("send_buffer", SENDER, "a constant flight below window and path: send buffer or clamp"),
    ("zero_window", RECEIVER, "the receiver closed its window"),
    ("window_full", RECEIVER, "the sender filled the receiver's window"),
    ("slow_reader", RECEIVER, "the receiving application reads slowly"),
    ("small_buffer", RECEIVER, "the receive buffer is smaller than the path needs"),
    ("delayed_ack", RECEIVER, "the receiver delays the ACK that the sender waits for"),
    ("silly_window", RECEIVER, "the window opens by less than a segment at a time"),
    ("slow_start", NETWORK, "the congestion window is still growing from its start"),
    ("initial_window", NETWORK, "the answer fits within the first congestion windows"),
    ("idle_restart", NETWORK, "the congestion window restarted after idleness"),
    ("congestion_window", NETWORK, "each ACK releases data: the congestion window is the limit"),
    ("fast_recovery", NETWORK, "losses are being repaired"),
    ("timeout", NETWORK, "a retransmission timeout was waited for"),
    ("tail_loss", NETWORK, "the last segments were lost and probed for"),
    ("queueing", NETWORK, "a standing queue lengthens the round trip"),
    ("bandwidth", NETWORK, "the delivery rate has met the path's capacity"),
    ("policer", NETWORK, "a rate limit drops packets without queueing"),
    ("ecn_marks", NETWORK, "congestion marks hold the sender back"),
    ("paced", NETWORK, "the sender paces its segments at the path's rate"),
    ("open_gap", UNKNOWN, "the silence had not ended when the window was settled"),
    ("unseen_reverse", UNKNOWN, "only one direction was captured"),
    ("capture_loss", UNKNOWN, "the capture lost segments"),
    ("too_little", UNKNOWN, "too few segments to tell"),
    ("ambiguous", UNKNOWN, "two explanations are about equally likely"),
    ("host_leg", UNKNOWN, "the guest beside the tap answers late (secondary only)"),
)

CAUSES = tuple(name for name, _, _ in _CAUSES)
CAUSE_VERDICT = tuple(verdict for _, verdict, _ in _CAUSES)
CAUSE_TEXT = {name: text for name, _, text in _CAUSES}
CAUSE = {name: number for number, name in enumerate(CAUSES)}
