"""The laboratory's scenarios are data: what every one of them must hold to."""

import pytest

from infra.lab.endpoint import ports
from infra.lab.scenarios import ALL, MIN_QUEUE_BYTES, Scenario, by_name
from infra.lab.topology import SIDES, addresses
from schemas.causes import VERDICTS

NAMES = [scenario.name for scenario in ALL]


@pytest.mark.parametrize("scenario", ALL, ids=NAMES)
def test_a_scenario_is_bounded_and_says_what_it_is(scenario: Scenario) -> None:
    assert scenario.sentence.endswith(".")
    assert len(scenario.sentence) <= 120
    assert 0 < scenario.seconds <= 10
    assert scenario.capture_at in SIDES
    assert scenario.capture_from_s is None or 0 < scenario.capture_from_s < scenario.seconds
    assert scenario.flows
    for direction in (scenario.forward, scenario.backward):
        assert 0 < direction.delay_s < 1
        assert direction.queue_bytes >= MIN_QUEUE_BYTES
        assert 0 <= direction.loss < 0.5
    for flow in scenario.flows:
        assert flow.verdict is None or flow.verdict in VERDICTS
        assert 0 <= flow.start_s < scenario.seconds


def test_no_two_connections_share_an_address_and_port() -> None:
    tuples = [
        (addresses(scenario)["far"], port["near"], port["far"])
        for scenario in ALL
        for port in (ports(scenario, index) for index in range(len(scenario.flows)))
    ]
    assert len(set(tuples)) == len(tuples)
    assert len(set(NAMES)) == len(NAMES)
    assert all(len(scenario.flows) <= 100 for scenario in ALL)  # the room that a scenario's ports have


def test_every_side_is_the_cause_somewhere() -> None:
    assert {"sender", "receiver", "network", "setup", None} == {flow.verdict for one in ALL for flow in one.flows}


def test_a_scenario_is_found_by_its_name() -> None:
    assert [by_name(name) for name in NAMES] == list(ALL)
    with pytest.raises(KeyError, match="no scenario is called nothing"):
        by_name("nothing")
