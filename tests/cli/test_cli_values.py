"""How durations, conditions, settings and probes are written."""

import pytest

import tcpblame.settings as settings_module
from streams.inference.engine import Settings as EngineSettings
from tcpblame.exits import UserError
from tcpblame.probe_ids import capture_name, probe_ids
from tcpblame.settings import VARIABLES, Settings
from tcpblame.values import FailOn, duration_ns, duration_text, fail_on


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [("1s", 10**9), ("100ms", 10**8), ("250us", 250_000), ("7ns", 7), ("1.5m", 90 * 10**9), ("2 h", 7200 * 10**9)],
)
def test_a_duration_is_read_and_written(text, value_ns):
    assert duration_ns(text) == value_ns
    assert duration_ns(duration_text(value_ns)) == value_ns


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1d", "0s", "0.1ns", "1e3s", "99999999999999h", "1s1s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"duration|range"):
        duration_ns(text)


def test_a_condition_names_a_class_and_a_share():
    assert fail_on("receiver:0.3") == FailOn("receiver", 0.3)
    assert fail_on("receiver:0.3").column == "time_active_receiver"
    assert fail_on("idle:1").column == "time_idle"


@pytest.mark.parametrize("text", ["", "receiver", "receiver:", "receiver:0", "receiver:1.1", "host:0.3", "sender:nan"])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ValueError, match="CLASS:SHARE"):
        fail_on(text)


def test_settings_come_from_the_environment_and_flags_win():
    environ = {"TCPBLAME_WINDOW": "100ms", "TCPBLAME_IDLE_TIMEOUT": "1h", "TCPBLAME_CONNECTIONS_PER_SHARD": "7"}
    settings = Settings.load(environ)
    assert (settings.window_ns, settings.idle_timeout_ns, settings.connections_per_shard) == (10**8, 3600 * 10**9, 7)
    assert Settings.load(environ, window_ns=2 * 10**9).window_ns == 2 * 10**9
    assert settings.engine().connections_per_shard == 7


def test_the_defaults_are_the_engines_own():
    assert Settings().engine() == EngineSettings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TCPBLAME_WINDOW", "soon"), ("TCPBLAME_WINDOW", "1ms"), ("TCPBLAME_WINDOW", "10500us"),
        ("TCPBLAME_IDLE_TIMEOUT", "9999h"), ("TCPBLAME_CONNECTIONS_PER_SHARD", "many"),
        ("TCPBLAME_HALF_OPEN_PER_SHARD", "0"), ("TCPBLAME_DEBUG", "yes"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_wrong_usage(variable, value):
    with pytest.raises(UserError) as caught:
        Settings.load({variable: value})
    assert caught.value.status == 2


def test_every_variable_is_documented():
    for variable in VARIABLES:
        assert f"| {variable} |" in (settings_module.__doc__ or "")


def test_each_capture_is_a_probe_of_its_own():
    assert probe_ids(["a/x.pcap", "b/x.pcap.gz", "x.pcap.zst", "-"]) == ["x.pcap", "x.pcap#2", "x.pcap#3", "stdin"]
    assert probe_ids(["a.pcap#2", "a.pcap", "b/a.pcap"]) == ["a.pcap#2", "a.pcap", "a.pcap#3"]
    assert probe_ids([".gz"]) == [".gz"]
    assert probe_ids(["x.pcap"], "edge") == ["edge"]


def test_a_name_that_is_no_text_becomes_text():
    assert capture_name("/tmp/\udcff.pcap") == "\ufffd.pcap"  # noqa: S108 - never opened
