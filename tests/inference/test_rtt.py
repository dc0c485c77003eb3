"""Round trips at the tap: which ACK gives a sample, per leg, smoothed, percentiles (docs/rules.md "Round trips")."""

import pytest

from schemas.columns import ACK, PSH
from tests.inference.observed import observe
from tests.traffic.packets import MS, US, Conversation, S

OPENER_LEG, ACCEPTOR_LEG = 4 * MS, 6 * MS
RESOLUTION_NS = 16


def established() -> Conversation:
    """The client's leg takes 4 ms, the server's 6 ms."""
    talk = Conversation()
    talk.syn(0)
    talk.synack(ACCEPTOR_LEG)
    talk.client.ack(ACCEPTOR_LEG + OPENER_LEG)
    return talk


def samples(talk: Conversation, *delays_ns: int, start_ns: int = 20 * MS, spacing_ns: int = 20 * MS) -> None:
    """One segment after the other, each acknowledged after its delay."""
    for k, delay in enumerate(delays_ns):
        talk.data(start_ns + k * spacing_ns, 1000)
        talk.ack(start_ns + k * spacing_ns + delay)


def test_one_sample_is_the_receiver_s_leg_and_the_sender_s_is_added() -> None:
    talk = established()
    samples(talk, 8 * MS)
    row = observe(talk).flow(talk.client)
    assert row["rtt_samples"] == 1
    assert row["rtt_min_ns"] == row["srtt_ns"] == 8 * MS + OPENER_LEG
    assert row["near_rtt_min_ns"] == OPENER_LEG
    assert row["far_rtt_min_ns"] == ACCEPTOR_LEG  # of the handshake: smaller than the sample


def test_the_other_direction_s_samples_are_the_sender_s_leg() -> None:
    talk = established()
    talk.server.data(15 * MS, 100)
    talk.client.ack(15 * MS + 3 * MS)
    samples(talk, 8 * MS)
    row = observe(talk).flow(talk.client)
    assert row["near_rtt_min_ns"] == 3 * MS
    assert row["rtt_min_ns"] == 8 * MS + OPENER_LEG  # the smallest leg of handshake and echoes


def test_without_samples_the_round_trip_is_unknown() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    row = observe(talk).flow(talk.client)
    assert row["rtt_samples"] == 0
    assert [row[f"rtt_{name}_ns"] for name in ("min", "p50", "p95")] == [None] * 3
    assert row["srtt_ns"] is None


@pytest.mark.parametrize(
    ("upto", "sample"),
    [(1000, 10 * MS), (1500, None), (2000, 9 * MS), (3000, 8 * MS)],
)
def test_the_segment_whose_end_is_named_gives_the_sample(upto: int, sample: int | None) -> None:
    talk = established()
    for k in range(3):
        talk.data((20 + k) * MS, 1000)
    talk.ack(30 * MS, upto=upto)
    row = observe(talk).flow(talk.client)
    assert row["rtt_samples"] == (sample is not None)
    assert row["rtt_min_ns"] == (None if sample is None else sample + OPENER_LEG)


def test_nothing_sent_before_the_last_repetition_is_ever_sampled() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.data(21 * MS, 1000)
    talk.data(240 * MS, 1000, at=0)
    talk.ack(250 * MS, upto=1000)
    talk.ack(251 * MS, upto=2000)
    assert observe(talk).flow(talk.client)["rtt_samples"] == 0
    talk.data(260 * MS, 1000)
    talk.ack(269 * MS)
    row = observe(talk).flow(talk.client)
    assert row["rtt_samples"] == 1
    assert row["rtt_min_ns"] == 9 * MS + OPENER_LEG


def test_reordering_spoils_no_sample() -> None:
    talk = established()
    talk.data(20 * MS, 1000, ip_id=50)
    talk.data(21 * MS, 1000, at=2000, ip_id=52)
    talk.data(21 * MS + 10 * US, 1000, at=1000, ip_id=51)
    talk.ack(30 * MS, upto=3000)
    row = observe(talk).flow(talk.client)
    assert (row["rtt_samples"], row["rtt_min_ns"]) == (1, 9 * MS + OPENER_LEG)


@pytest.mark.parametrize(("segment", "samples_taken"), [(8, 1), (9, 0)])
def test_eight_ends_are_remembered_the_oldest(segment: int, samples_taken: int) -> None:
    talk = established()
    for k in range(9):
        talk.data((20 + k) * MS, 1000)
    talk.ack(40 * MS, upto=1000 * segment)
    assert observe(talk).flow(talk.client)["rtt_samples"] == samples_taken


# 69 s and 138 s: times in the ring wrap after 68.7 s.
@pytest.mark.parametrize(("delay_ns", "samples_taken"), [(59 * S, 1), (60 * S + 1 * MS, 0), (69 * S, 0), (138 * S, 0)])
def test_a_minute_is_the_longest_round_trip(delay_ns: int, samples_taken: int) -> None:
    talk = established()
    samples(talk, delay_ns)
    assert observe(talk).flow(talk.client)["rtt_samples"] == samples_taken


def test_what_is_too_old_stays_so_however_often_the_ring_s_times_wrap() -> None:
    talk = established()
    for k in range(8):
        talk.data((1 + 20 * k) * S, 1000)
    for k in range(8):
        talk.ack(150 * S, upto=1000 * (k + 1))
    row = observe(talk).flow(talk.client)
    assert row["rtt_samples"] == 3  # sent 29, 49 and 9 s before
    assert row["rtt_min_ns"] == 9 * S + OPENER_LEG


def test_acks_that_carry_payload_sample_too() -> None:
    talk = established()
    talk.data(20 * MS, 1000)
    talk.server.data(27 * MS, 50, flags=ACK | PSH)
    assert observe(talk).flow(talk.client)["rtt_min_ns"] == 7 * MS + OPENER_LEG


def rfc6298(delays_ns: list[int]) -> tuple[int, int]:
    """(srtt, rttvar) by RFC 6298 section 2, on integers."""
    srtt, rttvar = delays_ns[0], delays_ns[0] // 2
    for r in delays_ns[1:]:
        rttvar = (3 * rttvar + abs(srtt - r)) // 4
        srtt = (7 * srtt + r) // 8
    return srtt, rttvar


def test_smoothing_follows_rfc_6298() -> None:
    delays = [8 * MS, 16 * MS, 9 * MS, 9 * MS, 12 * MS]
    talk = established()
    samples(talk, *delays)
    srtt, _ = rfc6298(delays)
    assert observe(talk).flow(talk.client)["srtt_ns"] == pytest.approx(srtt + OPENER_LEG, abs=len(delays))


def test_percentiles_come_from_a_histogram_of_quarter_octaves() -> None:
    delays = [10 * MS] * 50 + [18 * MS] * 45 + [70 * MS] * 5
    talk = established()
    samples(talk, *delays, spacing_ns=100 * MS)
    row = observe(talk).flow(talk.client)
    assert row["rtt_samples"] == 100
    assert row["rtt_min_ns"] == 10 * MS + OPENER_LEG
    assert row["rtt_p50_ns"] - OPENER_LEG == pytest.approx(10 * MS, rel=0.25)
    assert row["rtt_p95_ns"] - OPENER_LEG == pytest.approx(18 * MS, rel=0.25)


def test_more_samples_than_a_bucket_counts() -> None:
    talk = established()
    samples(talk, *([10 * MS] * 600 + [40 * MS] * 200), spacing_ns=50 * MS)
    row = observe(talk).flow(talk.client)
    assert row["rtt_samples"] == 800
    assert row["rtt_p50_ns"] - OPENER_LEG == pytest.approx(10 * MS, rel=0.25)
    assert row["rtt_p95_ns"] - OPENER_LEG == pytest.approx(40 * MS, rel=0.25)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_window_s_median_of_up_to_eight_samples_is_exact(count: int) -> None:
    delays = [11 * MS, 5 * MS, 9 * MS, 7 * MS, 14 * MS, 6 * MS, 12 * MS, 8 * MS][:count]
    talk = established()
    samples(talk, *delays, spacing_ns=30 * MS)
    (row,) = observe(talk).windows(talk.client)
    ordered = sorted(delays)
    median = (ordered[(count - 1) // 2] + ordered[count // 2]) // 2
    assert row["rtt_samples"] == count
    assert row["rtt_min_ns"] == min(delays) + OPENER_LEG
    assert row["rtt_p50_ns"] == pytest.approx(median + OPENER_LEG, abs=RESOLUTION_NS)
    assert row["queue_delay_ns"] == pytest.approx(median - min(delays), abs=RESOLUTION_NS)


@pytest.mark.parametrize("count", [9, 16, 40])
def test_the_median_of_more_comes_from_an_even_choice_of_them(count: int) -> None:
    delays = [(5 + k % 2 * 10) * MS for k in range(count)] if count < 40 else [(5 + k / 10) * MS for k in range(count)]
    talk = established()
    samples(talk, *(int(delay) for delay in delays), spacing_ns=20 * MS)
    row = observe(talk).windows(talk.client)[0]
    assert row["rtt_samples"] == count
    assert min(delays) <= row["rtt_p50_ns"] - OPENER_LEG <= max(delays)
    if count == 40:  # a ramp: every second, fourth, eighth sample of it has nearly the same median
        assert row["rtt_p50_ns"] - OPENER_LEG == pytest.approx(sorted(delays)[count // 2], rel=0.1)


def test_each_window_has_its_own_samples() -> None:
    talk = established()
    samples(talk, 8 * MS)
    samples(talk, 20 * MS, 30 * MS, start_ns=1 * S, spacing_ns=50 * MS)
    first, second = observe(talk).windows(talk.client)
    assert (first["rtt_samples"], second["rtt_samples"]) == (1, 2)
    assert second["rtt_min_ns"] == 20 * MS + OPENER_LEG
    assert second["queue_delay_ns"] == 25 * MS - 8 * MS  # beyond the smallest of the flow


def echoing() -> Conversation:
    """Met mid-stream; the server's timestamps tick each millisecond and the client echoes them."""
    talk = Conversation()
    talk.server.send(0, timestamps=(1000, 500))  # it may be older than the capture: not watched
    talk.client.ack(1 * MS, timestamps=(500, 1000))
    return talk


def test_a_timestamp_s_echo_measures_the_sender_s_leg() -> None:
    talk = echoing()
    talk.server.send(10 * MS, timestamps=(1010, 500))
    talk.server.send(11 * MS, timestamps=(1011, 500))  # one at a time is watched
    talk.client.data(13 * MS, 1000, timestamps=(513, 1010))
    row = observe(talk).flow(talk.client)
    assert row["near_rtt_min_ns"] == 3 * MS


def test_a_newer_echo_ends_the_watch_without_a_sample() -> None:
    talk = echoing()
    talk.server.send(10 * MS, timestamps=(1010, 500))
    talk.server.send(11 * MS, timestamps=(1011, 500))
    talk.client.data(13 * MS, 1000, timestamps=(513, 1011))
    assert observe(talk).flow(talk.client)["near_rtt_min_ns"] is None
    talk.server.send(20 * MS, timestamps=(1020, 513))
    talk.client.data(22 * MS, 1000, timestamps=(522, 1020))
    assert observe(talk).flow(talk.client)["near_rtt_min_ns"] == 2 * MS


def test_a_timestamp_that_is_not_newer_is_not_watched() -> None:
    talk = echoing()
    talk.server.send(10 * MS, timestamps=(1000, 500))  # the same tick again
    talk.client.data(13 * MS, 1000, timestamps=(513, 1000))
    assert observe(talk).flow(talk.client)["near_rtt_min_ns"] is None


def test_the_smallest_echo_counts_and_timestamps_wrap() -> None:
    talk = Conversation()
    talk.server.send(0, timestamps=(0xFFFF_FFF0, 500))
    talk.client.send(1 * MS, timestamps=(500, 0xFFFF_FFF0))
    for k, delay in enumerate((5, 2, 4)):
        value = (0xFFFF_FFF0 + 10 * (k + 1)) & 0xFFFFFFFF
        talk.server.send((10 + 20 * k) * MS, timestamps=(value, 500))
        talk.client.data((10 + 20 * k + delay) * MS, 1000, timestamps=(510, value))
    assert observe(talk).flow(talk.client)["near_rtt_min_ns"] == 2 * MS
