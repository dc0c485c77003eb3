"""The demo that ships with the product: each capture beside its truth."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.lab.demo import TRUTH_FILE
from infra.lab.scenarios import ALL, by_name
from infra.lab.truth import CLASSES
from tests.lab.lab_captures import flows_of

DEMO = Path(__file__).resolve().parents[2] / "demo"
TRUTH: dict[str, dict[str, Any]] = json.loads((DEMO / TRUTH_FILE).read_text())
SECOND_NS = 1_000_000_000


def test_it_is_complete_and_small() -> None:
    assert list(TRUTH) == [scenario.name for scenario in ALL]
    assert {path.name for path in DEMO.glob("*.pcap")} == {entry["capture"] for entry in TRUTH.values()}
    readme = (DEMO / "README.md").read_text()
    for entry in TRUTH.values():
        assert f"| `{entry['capture']}` |" in readme
        assert f"| {entry['sentence']} |" in readme
    sizes = [path.stat().st_size for path in DEMO.iterdir()]
    assert max(sizes) < 300_000
    assert sum(sizes) < 2_000_000


def test_every_side_limits_at_least_one_connection() -> None:
    verdicts = {flow["verdict"] for entry in TRUTH.values() for flow in entry["flows"]}
    assert verdicts == set(CLASSES)


@pytest.mark.parametrize("name", TRUTH)
def test_the_truth_says_what_the_scenario_was_built_for(name: str) -> None:
    entry, scenario = TRUTH[name], by_name(name)
    assert entry["sentence"] == scenario.sentence
    assert entry["captured_beside"] == scenario.capture_at
    assert entry["met_midstream"] == (scenario.capture_from_s is not None)
    assert entry["origin"] == "made by infra/lab"
    assert entry["kernel"]
    assert len(entry["date"]) == len("2000-01-01")
    built_for = [flow.verdict for flow in scenario.flows if flow.verdict]
    said = [flow["verdict"] for flow in entry["flows"]]
    assert all(verdict in said for verdict in built_for)
    for flow in entry["flows"]:
        assert set(flow["shares"]) == set(CLASSES)
        assert sum(flow["shares"].values()) == pytest.approx(1, abs=0.001)
        assert flow["shares"][flow["verdict"]] == max(flow["shares"].values())


@pytest.mark.parametrize("name", TRUTH)
def test_the_capture_holds_the_flows_that_the_truth_speaks_of(name: str) -> None:
    entry = TRUTH[name]
    captured = flows_of(DEMO / entry["capture"])
    for flow in entry["flows"]:
        seen = captured[flow["src"], flow["src_port"], flow["dst"], flow["dst_port"]]
        assert flow["start_ns"] - SECOND_NS < seen.times_ns[-1]
        assert seen.times_ns[0] < flow["end_ns"] + SECOND_NS
        if entry["met_midstream"]:
            assert not seen.syns
            # the kernel's counters are known every 5 ms, and the capture began between two samples
            assert seen.distinct_bytes == pytest.approx(flow["payload_bytes"], rel=0.02)
        else:
            assert seen.syns
            assert seen.distinct_bytes == flow["payload_bytes"]
    both_ways = {key for flow in entry["flows"] for key in _directions(flow)}
    assert set(captured) <= both_ways, "the capture holds connections that the truth does not know"


def _directions(flow: dict[str, Any]) -> tuple[tuple[str, int, str, int], tuple[str, int, str, int]]:
    src, dst = (flow["src"], flow["src_port"]), (flow["dst"], flow["dst_port"])
    return (*src, *dst), (*dst, *src)


def test_the_captures_show_what_their_sentences_say() -> None:
    def sender(name: str) -> tuple[Any, Any]:
        flow = TRUTH[name]["flows"][0]
        forth, back = _directions(flow)
        captured = flows_of(DEMO / TRUTH[name]["capture"])
        return captured[forth], captured[back]

    lost_syn, _ = sender("setup-lost-syn")
    assert lost_syn.syns == 3
    refused, answer = sender("setup-refused")
    assert (refused.syns, refused.payload_bytes, answer.resets) == (1, 0, 1)
    super_segments, _ = sender("network-super-segments")
    assert super_segments.largest_bytes > 2 * TRUTH["network-super-segments"]["flows"][0]["mss"]
    loss, _ = sender("network-loss")
    assert loss.payload_bytes > loss.distinct_bytes
    assert ":" in TRUTH["network-bbr-ipv6"]["flows"][0]["src"]
    assert TRUTH["network-bbr-ipv6"]["flows"][0]["congestion_control"] == "bbr"
