"""Moments and ranges of capture time."""

import pytest

from ingest.selection import SelectionError
from ingest.time_range import Moment, TimeRange
from tests.ingest import frames as f
from tests.ingest.reading import read

MOMENTS = {
    "0": Moment(0),
    "1700000000": Moment(1_700_000_000_000_000_000),
    "1700000000.5": Moment(1_700_000_000_500_000_000),
    "1700000000.000000001": Moment(1_700_000_000_000_000_001),
    "+90": Moment(90_000_000_000, relative=True),
    "+1.25s": Moment(1_250_000_000, relative=True),
    "1970-01-01T00:00:00Z": Moment(0),
    "2023-11-14T22:13:20Z": Moment(1_700_000_000_000_000_000),
    "2023-11-14t22:13:20.123456789z": Moment(1_700_000_000_123_456_789),
    "2023-11-15 00:13:20+02:00": Moment(1_700_000_000_000_000_000),
    "2023-11-14T17:43:20-04:30": Moment(1_700_000_000_000_000_000),
    "1969-12-31T23:59:59.5Z": Moment(-500_000_000),
}


@pytest.mark.parametrize("text", MOMENTS)
def test_moments(text):
    assert Moment.parse(text) == MOMENTS[text]


@pytest.mark.parametrize(
    "text", ["", "now", "-5", "1.", "1e9", "2023-11-14", "2023-11-14T22:13:20", "2023-02-30T00:00:00Z", "1.0000000001",
             "2023-11-14T25:00:00Z", "12345678901", "+", "\u0661"],
)  # fmt: skip
def test_what_is_no_time(text):
    with pytest.raises(SelectionError, match="is no time"):
        Moment.parse(text)


def test_ranges():
    segments, reader = read(f.pcap([f.ethernet(f.ip4(f.tcp()))] * 4, times=[(s, 0) for s in (10, 11, 12, 13)]))
    first = reader.first_ns

    def chosen(start, stop):
        moments = (None if text is None else Moment.parse(text) for text in (start, stop))
        return (segments.time_ns[TimeRange(*moments).mask(segments, first)] // 10**9).tolist()

    assert chosen(None, None) == [10, 11, 12, 13]
    assert chosen("11", None) == [11, 12, 13]
    assert chosen(None, "12") == [10, 11]
    assert chosen("+1", "+3") == [11, 12]
    assert chosen("1970-01-01T00:00:12Z", "+2.000000001") == [12]
