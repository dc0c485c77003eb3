"""How durations and conditions are written on the command line and in the environment.

Every parser raises ValueError with a message for the user.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from schemas.causes import VERDICTS

SECOND_NS = 1_000_000_000
_UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": SECOND_NS, "m": 60 * SECOND_NS, "h": 3600 * SECOND_NS}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h)")
_LAST_NS = 2**63 - 1


def duration_ns(text: str) -> int:
    """``1s``, ``100ms``, ``1.5m`` as nanoseconds; more than zero."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a duration: write a number with ns, us, ms, s, m or h, as in 100ms")
    value = int(Decimal(found[1]) * _UNITS_NS[found[2]])
    if not 0 < value <= _LAST_NS:
        raise ValueError(f"{text!r} is out of range")
    return value


def duration_text(value_ns: int) -> str:
    """The shortest way to write a duration that :func:`duration_ns` reads back exactly."""
    for unit in ("h", "m", "s", "ms", "us"):
        if value_ns % _UNITS_NS[unit] == 0:
            return f"{value_ns // _UNITS_NS[unit]}{unit}"
    return f"{value_ns}ns"


@dataclass(frozen=True)
class FailOn:
    """A condition on flows: a class of :data:`schemas.causes.VERDICTS` holds at least this share of the active time."""

    verdict: str
    share: float

    @property
    def column(self) -> str:
        """The flows column that is compared: shares of the active time; idle is a share of all time."""
        return "time_idle" if self.verdict == "idle" else f"time_active_{self.verdict}"

    def __str__(self) -> str:
        return f"{self.verdict}:{self.share:g}"


def fail_on(text: str) -> FailOn:
    """``receiver:0.3``."""
    verdict, colon, share = text.strip().partition(":")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if verdict not in VERDICTS or not colon or not 0 < value <= 1:
        raise ValueError(
            f"{text!r} is not CLASS:SHARE: a class of {', '.join(VERDICTS)} and a share above 0 and up to 1, "
            "as in receiver:0.3"
        )
    return FailOn(verdict, value)
