"""Where on a flow's path the tap is: decided by the two legs' smallest round trips, never assumed.

Beside an end when that end's leg is below a fifth of the whole or below 0.5 ms and the other is larger; in the middle
when both are known and neither is small; null when a leg is unknown.
"""

from schemas.columns import inlined, plain
from streams.inference.rtt import near_leg
from streams.inference.serial import i64
from streams.inference.statistic import Statistic

NEAR_SENDER, MIDDLE, NEAR_RECEIVER, UNKNOWN = range(4)
_SMALL_NS = 500_000

STATISTIC = Statistic(name="vantage", flows=("vantage",))


@inlined
def vantage_of(near_ns, far_ns):
    """NEAR_SENDER, MIDDLE, NEAR_RECEIVER, or UNKNOWN where a leg (0) is not known."""
    if near_ns == 0 or far_ns == 0:
        return UNKNOWN
    total = near_ns + far_ns
    if near_ns < far_ns and (near_ns * 5 < total or near_ns < _SMALL_NS):
        return NEAR_SENDER
    if far_ns < near_ns and (far_ns * 5 < total or far_ns < _SMALL_NS):
        return NEAR_RECEIVER
    return MIDDLE


@plain
def far_leg(f, g):
    """Smallest known RTT tap - receiver - tap of flow f (g: the reverse flow), 0 if unknown."""
    far = i64(f["rtt_min_ns"])
    echo = near_leg(g)
    return echo if echo and (far == 0 or echo < far) else far


@plain
def on_close(f, g, row):
    where = vantage_of(near_leg(f), far_leg(f, g))
    if where != UNKNOWN:
        row["vantage"] = where
