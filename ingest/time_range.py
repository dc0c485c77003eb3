"""The time range of ``--from`` and ``--to``: RFC 3339, seconds since the epoch, or seconds from the first packet."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from ingest.selection import SelectionError
from schemas.columns import Segments

_SECONDS = re.compile(r"(\+?)(\d{1,10})(?:\.(\d{1,9}))?s?", re.ASCII)
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Moment:
    """A point in capture time: Unix ns, or ns after the first packet."""

    ns: int
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> "Moment":
        """``2026-05-01T12:00:00.5Z``, ``1777636800.5`` or ``+90`` (``+90s``). Raises SelectionError."""
        stripped = text.strip()
        if match := _SECONDS.fullmatch(stripped):
            sign, seconds, fraction = match.groups()
            return cls(int(seconds) * _SECOND_NS + _fraction_ns(fraction), bool(sign))
        if match := _RFC_3339.fullmatch(stripped):
            day, clock, fraction, zone = match.groups()
            try:
                moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
            except ValueError:
                raise SelectionError(f'"{text}" is no time: no such day or hour') from None
            since = moment - _EPOCH
            return cls((since.days * 86400 + since.seconds) * _SECOND_NS + _fraction_ns(fraction))
        raise SelectionError(
            f'"{text}" is no time: 2026-05-01T12:00:00Z (with its zone), seconds since 1970, or +seconds from the start'
        )

    def at(self, first_ns: int) -> int:
        """The moment in Unix ns, given the capture time of the first packet."""
        return self.ns + first_ns if self.relative else self.ns


@dataclass(frozen=True)
class TimeRange:
    """From a moment (included) to another (excluded); None: open."""

    start: Moment | None = None
    stop: Moment | None = None

    def mask(self, segments: Segments, first_ns: int) -> npt.NDArray[np.bool_]:
        """Which segments lie within; first_ns: capture time of the capture's first packet."""
        mask = np.ones(len(segments.time_ns), np.bool_)
        if self.start is not None:
            mask &= segments.time_ns >= self.start.at(first_ns)
        if self.stop is not None:
            mask &= segments.time_ns < self.stop.at(first_ns)
        return mask


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "").ljust(9, "0"))
