"""The ledger's slots: where a flow's time can be booked, and the cause that each stands for.

Fewer than the causes: what differs only by a later look at the same time (a slow reader or a small buffer, say) shares
a slot and is told apart when the row is made.
"""

from schemas.causes import CAUSE, CAUSE_VERDICT

_SLOTS = (
    "idle",
    "handshake",
    "server_think",
    "slow_producer",
    "small_writes",
    "zero_window",
    "window_full",
    "delayed_ack",
    "slow_start",
    "congestion_window",
    "fast_recovery",
    "timeout",
    "tail_loss",
    "paced",
    "open_gap",
)
SLOTS = len(_SLOTS)
(
    IDLE,
    SETUP,
    THINK,
    PRODUCER,
    SMALL,
    ZERO_WINDOW,
    WINDOW_FULL,
    DELAYED_ACK,
    SLOW_START,
    CWND,
    FAST_RECOVERY,
    TIMEOUT,
    TAIL,
    PACED,
    OPEN_GAP,
) = range(SLOTS)
SLOT_CAUSE = tuple(CAUSE[name] for name in _SLOTS)
SLOT_VERDICT = tuple(CAUSE_VERDICT[CAUSE[name]] for name in _SLOTS)
