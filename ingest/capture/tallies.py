"""What is counted about each tap while its packets are read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Columns of the int64 array that the kernels count in, one row a tap.
(
    T_PACKETS,
    T_SEGMENTS,
    T_WIRE_BYTES,
    T_NOT_TCP,
    T_FRAGMENTS,
    T_CUT,
    T_CUT_LOST,
    T_MALFORMED,
    T_FIRST_NS,
    T_LAST_NS,
    T_DROPPED,
    T_SIZE,
) = range(12)

NO_FIRST_NS = 2**63 - 1
NO_LAST_NS = -(2**63)
DROPPED_UNKNOWN = -1


@dataclass(frozen=True)
class Tally:
    """The counts of one tap. packets = segments + not_tcp + fragments + cut_lost + malformed."""

    packets: int
    segments: int
    wire_bytes: int  # of the segments: link header and outermost IP datagram, without padding
    not_tcp: int  # packets without TCP
    fragments: int  # IP fragments other than the first
    cut: int  # packets whose headers the snap length cut: segments with cut options, and cut_lost
    cut_lost: int  # of them, those cut before the TCP header was of use: no segments
    malformed: int  # packets with impossible headers or times
    first_ns: int | None  # capture time of the first packet, Unix ns
    last_ns: int | None  # latest capture time
    dropped: int | None  # packets that the capture lost, as it says itself; None: it does not say


def new_tallies(taps: int) -> npt.NDArray[np.int64]:
    """Zeroed counters for some taps, int64[taps, T_SIZE]."""
    tallies = np.zeros((taps, T_SIZE), np.int64)
    tallies[:, T_FIRST_NS] = NO_FIRST_NS
    tallies[:, T_LAST_NS] = NO_LAST_NS
    tallies[:, T_DROPPED] = DROPPED_UNKNOWN
    return tallies


def tally_of(row: npt.NDArray[np.int64]) -> Tally:
    """The counts of one tap as a person reads them."""
    counts: list[int] = row.tolist()
    timed = counts[T_LAST_NS] != NO_LAST_NS
    return Tally(
        packets=counts[T_PACKETS],
        segments=counts[T_SEGMENTS],
        wire_bytes=counts[T_WIRE_BYTES],
        not_tcp=counts[T_NOT_TCP],
        fragments=counts[T_FRAGMENTS],
        cut=counts[T_CUT],
        cut_lost=counts[T_CUT_LOST],
        malformed=counts[T_MALFORMED],
        first_ns=counts[T_FIRST_NS] if timed else None,
        last_ns=counts[T_LAST_NS] if timed else None,
        dropped=None if counts[T_DROPPED] == DROPPED_UNKNOWN else counts[T_DROPPED],
    )
