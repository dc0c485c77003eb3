"""``tcpblame dev``: a broker that is started once, found, ended, and never confused with another process."""

import json
import socket

import pytest

from infra.kafka import broker, libraries, topics
from infra.kafka.libraries import DevError


def test_up_and_down_are_idempotent_and_keep_data(jars, tmp_path):
    state, started = broker.up(tmp_path, jars)
    try:
        assert started
        assert broker.up(tmp_path, jars) == (state, False)
        assert broker.running(tmp_path) == state
        assert topics.create(state.address, 4) == dict.fromkeys(
            ("tcpblame.segments", "tcpblame.windows", "tcpblame.dead-letters"), True
        )
        assert not any(topics.create(state.address, 4).values())
        with pytest.raises(DevError, match="has 4 partitions, not 2"):
            topics.create(state.address, 2)
        with pytest.raises(ValueError, match="divide 1024"):
            topics.create(state.address, 3)
    finally:
        assert broker.down(tmp_path)
    assert not broker.down(tmp_path)
    assert broker.running(tmp_path) is None
    again, started = broker.up(tmp_path, jars)
    try:
        assert started
        assert again.port == state.port
        assert topics.partitions_of(again.address)["tcpblame.segments"] == 4
    finally:
        broker.down(tmp_path)
    with pytest.raises(DevError, match="no Kafka broker answers"):
        topics.partitions_of(again.address, limit_s=1)


def test_a_reused_process_id_is_not_the_broker(tmp_path):
    """The state file names this very process with another start time: it must neither count nor be ended."""
    import os  # noqa: PLC0415

    state = {"pid": os.getpid(), "started_ticks": 1, "port": 1, "controller_port": 2}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert broker.running(tmp_path) is None
    assert not broker.down(tmp_path)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(DevError, match="tcpblame dev fetch"):
        broker.up(tmp_path, tmp_path / "no-jars")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevError, match="java is missing: apt-get install default-jre-headless"):
        broker.up(tmp_path, tmp_path / "no-jars")
    with pytest.raises(DevError, match="mvn is missing: apt-get install maven"):
        libraries.fetch(tmp_path / "no-jars")


def test_jars_are_fetched_once(jars):
    assert libraries.fetch(jars) == (jars, False)


def test_a_broken_state_file_is_told(tmp_path):
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DevError, match="unreadable"):
        broker.running(tmp_path)


def test_free_ports_are_free():
    port = broker._free_port(None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert broker._free_port(port) != port
