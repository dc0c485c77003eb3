"""``tcpblame query``: ask a store in SQL, or one of the named questions."""

import difflib
import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from tcpblame.exits import UserError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_EPILOG = """\b
Exit status: 0 answered; 1 the store could not be opened or did not understand
the question; 2 wrong usage.

\b
Examples:
  tcpblame query --list
  tcpblame query slow_hosts --store blame
  tcpblame query timeline --store blame --param conn=00c0ffee00c0ffee
  tcpblame query "SELECT verdict, count() FROM flows GROUP BY verdict" --store blame --format csv
"""


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    from sinks.clickhouse.queries import load, names  # noqa: PLC0415

    return [CompletionItem(name, help=load(name).title) for name in names() if name.startswith(incomplete)]


@click.command(epilog=_EPILOG)
@click.argument("question", metavar="SQL|NAME", required=False, shell_complete=_complete)
@click.option(
    "--store",
    "store",
    metavar="DIR",
    type=click.Path(),
    envvar="TCPBLAME_STORE",
    show_envvar=True,
    help="The store that 'tcpblame diagnose --store' wrote.",
)
@click.option(
    "--param",
    "given",
    metavar="NAME=VALUE",
    multiple=True,
    help="A value for {NAME:Type} in the question. May be repeated.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(("table", "json", "csv")),
    default="table",
    show_default=True,
    help="table: for people; json: one object a line; csv.",
)
@click.option("--list", "listing", is_flag=True, help="List the named questions and their parameters.")
@click.option("--sql", "show_sql", is_flag=True, help="Print a named question's SQL instead of asking it.")
@click.option("--write", is_flag=True, help="Allow statements that change the store (ALTER, DELETE, ...).")
def query(
    question: str | None,
    store: str | None,
    given: tuple[str, ...],
    style: str,
    listing: bool,
    show_sql: bool,
    write: bool,
) -> None:
    """Ask a store: SQL in ClickHouse's dialect, or the name of a question that comes with tcpblame.

    Tables: flows (read with FINAL), windows, events, probes, and by minute verdict_1m and pair_1m. 'DESCRIBE TABLE
    flows' explains each column.
    """
    if listing:
        click.echo(_listing(), nl=False)
        return
    if question is None:
        raise click.UsageError("say what to ask: SQL, or a name of 'tcpblame query --list'")
    sql, params = _resolve(question, _values(given))
    if show_sql:
        click.echo(sql)
        return
    if store is None:
        raise click.UsageError("say which store to ask: --store DIR")
    _answer(store, sql, params, style, write)


def _listing() -> str:
    from sinks.clickhouse.queries import load, names  # noqa: PLC0415

    parts = []
    for name in names():
        found = load(name)
        params = ", ".join(f"{key}={value}" if value else key for key, value in found.params.items())
        parts.append(f"{name}\n  {found.title}.\n" + (f"  parameters: {params}\n" if params else ""))
    return "".join(parts)


def _values(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"--param {text!r}: write NAME=VALUE")
        found[name] = value
    return found


def _resolve(question: str, given: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The SQL of a question and its parameters. Raises UsageError for a name that is none."""
    from sinks.clickhouse.queries import load, names  # noqa: PLC0415

    if not question.strip():
        raise click.UsageError("the question is empty")
    if question in names():
        found = load(question)
        for name in given:
            if name not in found.params:
                known = ", ".join(found.params) or "none"
                raise click.UsageError(f"{question} has no parameter {name!r} (it has: {known})")
        return found.sql, {**found.params, **given}
    if question.isidentifier():
        near = difflib.get_close_matches(question, names(), 1)
        hint = f"did you mean {near[0]!r}?" if near else "'tcpblame query --list' names them"
        raise click.UsageError(f"there is no question {question!r}: {hint}")
    return question, given


def _answer(path: str, sql: str, params: dict[str, str], style: str, write: bool) -> None:
    from sinks.clickhouse.embedded import EmbeddedStore  # noqa: PLC0415 - a second and 260 MB
    from sinks.clickhouse.errors import StoreError  # noqa: PLC0415
    from sinks.text.answers import ANSWER_FORMAT, answer_csv, answer_table  # noqa: PLC0415

    try:
        with EmbeddedStore(path, create=False) as store:
            if not write:
                store.execute("SET readonly = 2")  # 2: a question may still carry SETTINGS
            answer = store.query(sql, "JSONEachRow" if style == "json" else ANSWER_FORMAT, params)
    except StoreError as error:
        raise UserError(str(error)) from error
    if style == "table":
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size((80, 24)).columns if terminal else sys.maxsize
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        sys.stdout.write(answer_table(answer, width=width, colour=colour))
        return
    sys.stdout.buffer.writelines([answer] if style == "json" else answer_csv(answer))
    sys.stdout.buffer.flush()
