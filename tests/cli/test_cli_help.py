"""Help, version, completion, the surface of the command line, and what a start costs."""

import importlib.metadata
import importlib.util
import os
import pty
import re
import shlex
import subprocess
import sys

import click
import pytest
import zstandard

from tcpblame.cli import COMMANDS, cli
from tcpblame.demo import QUESTION
from tests.cli.running import COMMAND, DEMO, LIMIT_S, ROOT, ZERO_WINDOW, apart, here, one_line

HEAVY = ("numba", "numpy", "chdb", "confluent_kafka", "faust", "rich.console")


def loaded(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def every_command():
    """(words, command) of all commands, those of groups too."""
    for name in COMMANDS:
        command = loaded(name)
        yield [name], command
        if isinstance(command, click.Group):
            for inner, below in command.commands.items():
                yield [name, inner], below


def test_the_commands_are_these():
    assert list(COMMANDS) == [
        "diagnose", "query", "migrate", "doctor", "completion", "dev", "init", "probe", "worker", "sink",
    ]  # fmt: skip


def test_the_entry_point_is_installed():
    entry = next(e for e in importlib.metadata.entry_points(group="console_scripts") if e.name == "tcpblame")
    assert entry.value == "tcpblame.cli:main"
    assert importlib.metadata.version("tcpblame") in here("--version").out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    shown = here(name, "--help")
    assert shown.status == 0 and shown.err == ""
    assert "Usage: " in shown.out
    summary, own = COMMANDS[name].summary, loaded(name).help or ""
    assert summary.split()[0] == own.split()[0], "the overview's line and the command's own begin with the same verb"
    assert len(summary) <= 60 and summary.endswith(".")


@pytest.mark.parametrize("name", ["diagnose", "query", "migrate", "doctor", "completion"])
def test_every_help_has_examples_and_statuses_where_there_are_any(name):
    shown = here(name, "--help").out
    assert "Examples:" in shown
    assert f"tcpblame {name}" in shown.partition("Examples:")[2]


def test_every_option_has_a_help_text():
    missing = [
        f"{' '.join(words)} {parameter.opts[0]}"
        for words, command in every_command()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert missing == []


def examples(text: str) -> list[str]:
    """The command lines of a help text or a page, continuation lines joined."""
    return re.findall(r"^\s*(?:\$ )?((?:tcpdump .*\| )?tcpblame .+)$", text, re.M)


def test_the_examples_of_diagnose_run(tmp_path):
    capture = tmp_path / "capture.pcap"
    capture.write_bytes(ZERO_WINDOW.read_bytes())
    (tmp_path / "capture.pcapng.zst").write_bytes(zstandard.compress(capture.read_bytes()))
    for number in range(3):
        (tmp_path / f"ring.pcap{number}").write_bytes(capture.read_bytes())
    lines = examples(here("diagnose", "--help").out.partition("Examples:")[2])
    assert len(lines) >= 6
    for line in lines:
        if line.startswith("tcpdump"):
            continue  # it captures; the part behind the pipe is tested with standard input
        words = shlex.split(line)[1:]
        done = subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, timeout=LIMIT_S, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
        assert done.returncode == (3 if "--fail-on" in words else 0), (line, done.stderr)


def test_no_arguments_show_the_overview():
    ran = apart()
    assert ran.status == 2
    assert "Commands:" in ran.err and "diagnose" in ran.err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["diagnose", "--help"], ["completion", "bash"], ["x"]]
)
def test_words_alone_load_nothing_heavy(arguments):
    script = (
        "import sys, tcpblame.cli as c; c.run(sys.argv[1:]); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=ROOT,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_json_rows_load_neither_a_database_nor_a_terminal_library():
    script = (
        "import sys, tcpblame.cli as c; c.run(sys.argv[1:]); "
        "print([m for m in ('chdb', 'pyarrow', 'confluent_kafka', 'faust', 'rich.console') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "diagnose", str(ZERO_WINDOW), "--format", "json"],
        capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell):
    shown = here("completion", shell)
    assert shown.status == 0 and "_TCPBLAME_COMPLETE" in shown.out


def test_completion_offers_commands_and_options():
    environ = {"_TCPBLAME_COMPLETE": "bash_complete", "COMP_WORDS": "tcpblame di", "COMP_CWORD": "1"}
    assert apart(**environ).out.split() == ["plain,diagnose"]
    environ |= {"COMP_WORDS": "tcpblame diagnose --fo", "COMP_CWORD": "2"}
    assert apart(**environ).out.split() == ["plain,--format"]


def on_a_terminal(*arguments, **environ):
    """A run whose output goes to a terminal."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=follower, stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", **environ}, cwd=ROOT,
    )  # fmt: skip
    os.close(follower)
    parts = []
    try:
        while part := os.read(leader, 65536):
            parts.append(part)
    except OSError:
        pass  # how a terminal says that its other end is closed
    os.close(leader)
    with child.stderr:
        assert b"Traceback" not in child.stderr.read()
    assert child.wait(LIMIT_S) == 0
    return b"".join(parts).decode()


def test_a_terminal_gets_colours_unless_it_asks_for_none():
    assert "\x1b[" in on_a_terminal("diagnose", ZERO_WINDOW, NO_COLOR="")
    assert "\x1b[" not in on_a_terminal("diagnose", ZERO_WINDOW, NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("diagnose", ZERO_WINDOW, TERM="dumb", NO_COLOR="")


def test_a_terminal_without_the_signs_gets_others():
    ran = apart("diagnose", ZERO_WINDOW, PYTHONIOENCODING="ascii")
    assert ran.status == 0 and "10.77.0.11:40400 ? 10.77.1.4:8000" in ran.out


def test_an_unexpected_error_is_one_line_and_shows_more_when_asked(monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("the flux\nis gone")

    monkeypatch.setattr("tcpblame.diagnosis.Engine", broken)
    monkeypatch.delenv("TCPBLAME_DEBUG", raising=False)
    ran = here("diagnose", ZERO_WINDOW)
    assert ran.status == 1
    assert one_line(ran) == "tcpblame: error: unexpected RuntimeError: the flux (TCPBLAME_DEBUG=1 shows where)"
    monkeypatch.setenv("TCPBLAME_DEBUG", "1")
    with pytest.raises(RuntimeError, match="flux"):
        here("diagnose", ZERO_WINDOW)


def test_doctor_says_how_it_stands():
    ran = here("doctor")
    assert ran.status == 0
    names = [line.split()[1].rstrip(":") for line in ran.out.splitlines()]
    assert {"python", "numpy", "numba", "chdb", "cache", "kernels", "java", "kafka", "capture"} <= set(names)
    lacking = [line for line in ran.out.splitlines() if not line.startswith("ok ")]
    assert all(" - " in line for line in lacking), "what is missing comes with the way out"
    assert here("doctor", "--quiet").out.splitlines() == lacking


def test_doctor_fails_where_the_embedded_product_cannot_work(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "chdb" else real(name))
    ran = here("doctor")
    assert ran.status == 1
    assert "missing   chdb: the embedded store - reinstall tcpblame" in ran.out


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    ran = apart("doctor", TCPBLAME_CACHE_DIR=str(blocked / "cache"))
    assert ran.status == 0
    assert "set TCPBLAME_CACHE_DIR to a directory of yours" in ran.out


def test_missing_stream_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tcpblame.stream_commands", None)
    ran = here("worker", "--help")
    assert ran.status == 1
    assert "install tcpblame[stream]" in one_line(ran)


def test_the_demo_shows_each_verdict_beside_the_truth(tmp_path):
    command = [sys.executable, "-m", "tcpblame.demo", str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=True)
    for capture in DEMO.glob("*.pcap"):
        assert f"\n{capture.stem}  " in done.stdout
    agree, count = re.search(r"\n(\d+) of (\d+) flows: the verdict is", done.stdout).groups()
    assert done.stdout.count(" agree\n") == int(agree)
    assert done.stdout.count(" truth ") == int(count)
    assert f"$ tcpblame query {QUESTION} --store " in done.stdout
    assert "\nhost " in done.stdout and "\n10.77.1.3 " in done.stdout, "the store was asked"
