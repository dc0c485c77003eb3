"""Stalls, loss episodes, zero windows, resets and failed openings, each with its start, length and cause."""

import pytest

from tests.inference.observed import observe
from tests.traffic.packets import MS, START_NS, US, Conversation, S

MSS = 1460


def established(rtt_ns: int = 10 * MS) -> Conversation:
    talk = Conversation()
    talk.handshake(0, rtt_ns)
    return talk


def kinds(talk: Conversation) -> list[str]:
    return [event["kind"] for event in observe(talk).events()]


def test_an_undisturbed_life_has_none() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.ack(30 * MS)
    talk.close(40 * MS)
    assert kinds(talk) == []


def test_a_fast_episode_from_its_first_repetition_to_full_acknowledgement() -> None:
    talk = established()
    for k in range(10):
        talk.data(20 * MS + k, MSS)
    for k in range(3):
        talk.ack(30 * MS + k, upto=0)
    talk.data(31 * MS, MSS, at=0)
    talk.data(31 * MS + 10 * US, MSS, at=MSS)
    talk.ack(45 * MS)
    (event,) = observe(talk).events()
    assert (event["kind"], event["verdict"], event["cause"]) == ("loss", "network", "fast_recovery")
    assert (event["start_ns"], event["duration_ns"]) == (START_NS + 31 * MS, 14 * MS)
    assert (event["packets"], event["bytes"]) == (2, 2 * MSS)
    assert (event["src"], event["src_port"]) == (talk.client.address, talk.client.port)


def test_a_timeout_s_episode_says_so() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.data(1 * S, MSS, at=0)
    talk.ack(1 * S + 10 * MS)
    (event,) = observe(talk).events("loss")
    assert (event["cause"], event["packets"], event["duration_ns"]) == ("timeout", 1, 10 * MS)


def test_an_episode_open_at_the_end_lasts_to_the_last_segment() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.data(1 * S, MSS, at=0)
    talk.data(3 * S, MSS, at=0)
    (event,) = observe(talk).events("loss")
    assert (event["packets"], event["duration_ns"]) == (2, 2 * S)


def test_a_needless_repetition_is_an_episode_of_one_segment() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.ack(30 * MS)
    talk.data(40 * MS, MSS, at=0)
    (event,) = observe(talk).events("loss")
    assert (event["packets"], event["bytes"], event["duration_ns"]) == (1, MSS, 0)


def test_a_reset_is_told_once() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.server.rst(30 * MS)
    talk.server.rst(31 * MS)
    (event,) = observe(talk).events("reset")
    assert (event["start_ns"], event["duration_ns"], event["packets"]) == (START_NS + 30 * MS, 0, 1)
    assert event["src"] == talk.server.address


@pytest.mark.parametrize(("answer", "cause"), [("rst", "refused"), ("none", "no_answer"), ("synack", "no_answer")])
def test_an_opening_that_fails(answer: str, cause: str) -> None:
    talk = Conversation()
    talk.syn(0)
    talk.syn(1 * S)
    if answer == "rst":
        talk.server.rst(1 * S + 5 * MS, seq=0, upto=0)
    elif answer == "synack":
        talk.synack(1 * S + 5 * MS)
    (event,) = observe(talk).events("setup_failed")
    assert (event["verdict"], event["cause"]) == ("setup", cause)
    assert event["packets"] == 2  # the SYNs
    assert event["start_ns"] == START_NS
    assert event["duration_ns"] == (1 * S if answer == "none" else 1 * S + 5 * MS)
    assert event["src"] == talk.client.address


def test_a_refusal_is_no_reset_event() -> None:
    talk = Conversation()
    talk.syn(0)
    talk.server.rst(5 * MS, seq=0, upto=0)
    assert kinds(talk) == ["setup_failed"]


@pytest.mark.parametrize(("silence_ns", "stalls"), [(200 * MS, 0), (201 * MS, 1)])
def test_a_silence_with_data_in_flight_above_200_ms_is_a_stall(silence_ns: int, stalls: int) -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.data(20 * MS + silence_ns, MSS)
    found = observe(talk).events("stall")
    assert len(found) == stalls
    for event in found:
        assert (event["start_ns"], event["duration_ns"]) == (START_NS + 20 * MS, silence_ns)


def test_idleness_is_no_stall() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.ack(30 * MS)
    talk.data(5 * S, MSS)
    assert kinds(talk) == []


def test_a_late_answer_is_a_stall_of_the_side_that_was_asked() -> None:
    talk = established()
    talk.push(20 * MS, 100)
    talk.server.ack(25 * MS)
    talk.server.push(25 * MS + 10 * US, 100)
    talk.client.push(50 * MS, 100)
    talk.server.ack(55 * MS)
    talk.server.push(900 * MS, 100)
    (event,) = observe(talk).events("stall")
    assert event["src"] == talk.server.address
    assert event["verdict"] == "sender"


def test_events_carry_the_key_of_their_flow() -> None:
    talk = established()
    talk.data(20 * MS, MSS)
    talk.server.rst(30 * MS)
    seen = observe(talk)
    (event,) = seen.events()
    assert event["conn_id"] == seen.flow(talk.client)["conn_id"]
    assert (event["probe"], event["tap"], event["tenant"]) == ("probe", "tap0", 0)
