"""What README and the pages beside it say is true of what is there: commands, options, files, numbers of things."""

import re
import shlex

import click
import pytest

from sinks.clickhouse.queries import names
from tcpblame import exits
from tcpblame.cli import COMMANDS, cli
from tests.cli.running import DEMO, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "tests" / "bench" / "README.md"]


def commands(text: str) -> list[list[str]]:
    """The words of each tcpblame command in a page's code blocks."""
    found = []
    for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.S | re.M):
        for line in block.splitlines():
            match = re.search(r"(?:^|\| |\$\(|bin/)tcpblame (.*?)\)?(?:\s{2,}.*)?(?: &)?$", line.strip())
            if match:
                found.append(shlex.split(match[1].rstrip('")') if "$(" in line else match[1], comments=True))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_can_be_given(page):
    for words in commands(page.read_text()):
        command: click.Command | None = cli
        rest = words
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            command = command.get_command(click.Context(command), rest[0])
            assert command is not None, words
            rest = rest[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, words
        if words[0] == "query" and rest and rest[0].isidentifier():
            assert rest[0] in names(), words


def test_there_are_commands_to_look_at():
    readme = commands((ROOT / "README.md").read_text())
    assert ["query", "slow_hosts", "--store", "blame"] in readme
    assert ["completion", "bash"] in readme
    assert len(readme) >= 9


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "demo" / "README.md"], ids=lambda p: p.name)
def test_every_link_and_file_on_a_page_is_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target
    for path in re.findall(r"`((?:tcpblame|ingest|streams|sinks|schemas|infra|tests|docs|demo)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


def test_every_make_target_is_described_and_every_described_one_is_there():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets, page
    assert {"setup", "demo", "test", "lint", "bench", "help"} <= targets


def test_exit_statuses_are_the_same_everywhere():
    readme = (ROOT / "README.md").read_text()
    for status in (exits.OK, exits.PARTLY, exits.USAGE, exits.FAIL_ON, exits.INTERRUPTED, exits.CLOSED_PIPE):
        assert f"| {status} |" in readme
        assert re.search(rf"^{status} ", exits.__doc__ or "", re.M)


def test_the_changelog_counts_right():
    text = (ROOT / "CHANGELOG.md").read_text()
    numbers = {"sixteen": len(list(DEMO.glob("*.pcap"))), "eighteen": len(names())}
    assert numbers == {"sixteen": 16, "eighteen": 18}
    assert all(word in text for word in numbers)
    assert all(f"`{name}`" in text for name in COMMANDS)


def test_pages_speak_of_the_product_alone():
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        assert not re.search(r"/root/|/work/|localhost:\d|TODO|FIXME", page.read_text()), page
