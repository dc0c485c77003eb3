"""What must not change a row: batches, restarts, other connections, the sequence numbers' start, the way of feeding."""

import io
import itertools
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.capture.reader import CaptureReader
from schemas.columns import ACK, Segments, concatenate, take
from schemas.rows import NULL_INT
from tests.properties.engine_rows import differences, run, run_in_pieces, shares
from tests.properties.strategies import Traffic, anything, captures, examples
from tests.traffic.packets import MASK, to_segments
from tests.traffic.pcap_writer import pcap_bytes
from tests.traffic.simulated import random_capture

cut_places = st.lists(st.integers(1, 400), max_size=8)


@settings(max_examples=examples(40))
@given(anything, cut_places, st.booleans())
def test_batches_cut_anywhere_change_no_row(traffic: Traffic, cuts: list[int], advance: bool) -> None:
    segments = traffic.segments
    assert differences(run(segments), run_in_pieces(segments, cuts, advance=advance)) == []


def test_a_batch_for_every_segment_changes_no_row() -> None:
    segments = random_capture(12, connections=3, most_packets=80).segments()
    every = range(1, len(segments.time_ns))
    assert differences(run(segments), run_in_pieces(segments, every)) == []
    assert differences(run(segments), run_in_pieces(segments, every, advance=True)) == []


@settings(max_examples=examples(25))
@given(anything, cut_places, st.booleans())
def test_a_restart_anywhere_changes_no_row(traffic: Traffic, cuts: list[int], advance: bool) -> None:
    segments = traffic.segments
    assert differences(run(segments), run_in_pieces(segments, cuts, restart=True, advance=advance)) == []


@settings(max_examples=examples(25))
@given(st.lists(captures(connections=1, most_packets=60), min_size=2, max_size=4), st.integers(0, 1 << 32))
def test_other_connections_change_no_row(captured: list[Traffic], seed: int) -> None:
    parts = []
    for number, traffic in enumerate(captured):
        for packet in traffic.packets:  # another pair of ports for each
            toward_server = packet.src_port >= 40_000
            port = packet.src_port if toward_server else packet.dst_port
            fresh = 50_000 + number if port >= 40_000 else port
            packet.src_port, packet.dst_port = (fresh, packet.dst_port) if toward_server else (packet.src_port, fresh)
        parts.append(to_segments(traffic.packets))
    together = concatenate(parts)
    owner = np.concatenate([np.full(len(part.time_ns), number) for number, part in enumerate(parts)])
    order = owner.copy()
    random.Random(seed).shuffle(order)  # any interleaving that keeps each connection's order
    places = [iter(np.flatnonzero(owner == number)) for number in range(len(parts))]
    mixed = take(together, np.array([next(places[number]) for number in order], np.intp))
    assert differences(run(together), run(mixed)) == []


def shifted(segments: Segments, forward: int, backward: int) -> Segments:
    """The first segment's direction counts from another ISN, and so does the other one."""
    out = take(segments, np.ones(len(segments.time_ns), bool))
    first = (out.src_hi == out.src_hi[0]) & (out.src_lo == out.src_lo[0]) & (out.src_port == out.src_port[0])
    own = np.where(first, forward, backward)
    other = np.where(first, backward, forward)
    out.seq[:] = (out.seq.astype(np.int64) + own) & MASK
    acked = np.where(out.flags & ACK != 0, other, 0)
    out.ack[:] = (out.ack.astype(np.int64) + acked) & MASK
    out.sack[:] = (out.sack.astype(np.int64) + other[:, None]) & MASK
    return out


@settings(max_examples=examples(40))
@given(st.one_of(captures(connections=1), anything), st.integers(0, MASK), st.integers(0, MASK))
def test_the_start_of_the_sequence_numbers_changes_no_row(traffic: Traffic, forward: int, backward: int) -> None:
    ends = {(p.tenant, *sorted([(p.src, p.src_port), (p.dst, p.dst_port)])) for p in traffic.packets}
    segments = traffic.segments
    if len(ends) > 1:  # one pair of ends at a time
        mine = (segments.src_port == segments.src_port[0]) & (segments.dst_port == segments.dst_port[0])
        mine |= (segments.src_port == segments.dst_port[0]) & (segments.dst_port == segments.src_port[0])
        segments = take(segments, mine)
    assert differences(run(segments), run(shifted(segments, forward, backward))) == []


@settings(max_examples=examples(60))
@given(anything)
def test_shares_sum_to_one_and_no_value_is_impossible(traffic: Traffic) -> None:
    rows = run(traffic.segments)
    for name in ("flows", "windows"):
        records = rows.table(name)
        # A flow of no length has no time to share out: its row still sums to one.
        np.testing.assert_allclose(shares(records), 1.0, rtol=0, atol=1e-9)
        for column in records.dtype.names or ():
            if column.startswith("time_") and not column.startswith("time_active_"):
                assert ((records[column] >= 0) & (records[column] <= 1)).all()
            if column.endswith(("_bytes", "_packets", "_ns", "packets")) and records[column].dtype.kind == "i":
                known = records[column][records[column] != NULL_INT]
                assert (known >= 0).all(), column
    windows = rows.table("windows")
    assert (windows["covered_ns"] <= windows["window_ns"]).all()
    assert (windows["window_start_ns"] % windows["window_ns"] == 0).all()


def test_one_settled_row_for_a_key() -> None:
    for seed in range(6):
        windows = run(random_capture(seed, connections=3).segments()).table("windows")
        keys = list(zip(windows["conn_id"], windows["src_hi"], windows["src_lo"], windows["src_port"],
                        windows["window_start_ns"], strict=True))  # fmt: skip
        assert len(keys) == len(set(keys))


def test_a_capture_file_gives_the_rows_of_its_segments() -> None:
    for seed in range(8):
        packets = [p for p in random_capture(seed, connections=3).packets if p.payload_bytes < 60_000]
        for packet in packets:
            packet.tap = 0
        data = pcap_bytes(packets)
        reader = CaptureReader(io.BytesIO(data), max_segments=100)
        read = concatenate([take(block, np.ones(len(block.time_ns), bool)) for block in reader])
        assert reader.problem is None
        assert len(read.time_ns) == len(packets)
        assert differences(run(to_segments(packets)), run(read)) == []


def test_pieces_are_pieces() -> None:
    """The helper really cuts: the property above must not hold for want of cuts."""
    segments = random_capture(12, connections=2).segments()
    cuts = [5, 50]
    assert [stop - start for start, stop in itertools.pairwise([0, *cuts])] == [5, 45]
    assert len(run_in_pieces(segments, cuts, restart=True).table("flows")) == len(run(segments).table("flows")) > 0
