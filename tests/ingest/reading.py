"""Reading what a test has built, and looking at the result."""

import io
import ipaddress
from pathlib import Path

import numpy as np

from ingest.capture import CaptureReader
from schemas.columns import Segments, concatenate, take

SHARED_CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"


def read(data, **options):
    """(segments, reader) of a capture given as bytes."""
    reader = CaptureReader(io.BytesIO(data), **options)
    return concatenate(list(reader)), reader


def row(segments, i=0):
    """One segment as a dict of Python numbers, addresses as text; SACK edges as far as they mean anything."""
    values = {name: column[i].tolist() for name, column in segments._asdict().items()}
    for end in ("src", "dst"):
        values[end] = address(values[f"{end}_hi"], values[f"{end}_lo"])
    values["sack"] = values["sack"][: 2 * values["sack_n"]]
    return values


def address(high, low):
    found = ipaddress.IPv6Address(int(high) << 64 | int(low))
    return str(found.ipv4_mapped or found)


def defined(segments):
    """A copy whose undefined SACK edges are zero, so that two readings can be compared."""
    copy = take(segments, np.arange(len(segments.seq)))
    copy.sack[np.arange(8)[None, :] >= 2 * copy.sack_n[:, None].astype(int)] = 0
    return copy


def assert_same(a: Segments, b: Segments):
    for name, left, right in zip(Segments._fields, defined(a), defined(b), strict=True):
        np.testing.assert_array_equal(left, right, name)
