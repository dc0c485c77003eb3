"""The rows of the probes table in the embedded product: one for each tap of a capture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.capture.tallies import Tally
from schemas.rows import NULL_INT, Source, record_dtype

_COUNTS = ("packets", "segments", "wire_bytes", "not_tcp", "fragments", "cut", "malformed")


def probe_records(
    sources: Sequence[Source], probe: str, capture: str, tallies: Mapping[str, Tally]
) -> npt.NDArray[Any]:
    """Records of the probes table for the taps of one probe, all of which must stand among the sources."""
    records = np.zeros(len(tallies), record_dtype("probes"))
    for record, (tap, tally) in zip(records, tallies.items(), strict=True):
        record["source"] = sources.index(Source(probe, tap, capture))
        record["start_ns"] = NULL_INT if tally.first_ns is None else tally.first_ns
        record["end_ns"] = NULL_INT if tally.last_ns is None else tally.last_ns
        record["dropped"] = NULL_INT if tally.dropped is None else tally.dropped
        for name in _COUNTS:
            record[name] = getattr(tally, name)
    return records
