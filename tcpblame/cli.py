"""The command line: which commands there are, and the one place where their errors become exit statuses.

A command's module is imported when the command runs, so that ``--help`` and shell completion load neither numba nor an
embedded database.
"""

import difflib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import click
from click.shell_completion import CompletionItem

from tcpblame.exits import CLOSED_PIPE, INTERRUPTED, OK, PARTLY, USAGE, ClosedPipeError, UserError
from tcpblame.messages import PROGRAM, fault, note


class Command(NamedTuple):
    """Where a command is, and its line in the overview."""

    module: str
    name: str
    summary: str


COMMANDS: dict[str, Command] = {
    "diagnose": Command("tcpblame.diagnose_command", "diagnose", "Say what limited each connection of a capture."),
    "query": Command("tcpblame.query", "query", "Ask a store in SQL, or one of the named questions."),
    "migrate": Command("tcpblame.migrate", "migrate", "Create a store's tables or bring them to this version."),
    "doctor": Command("tcpblame.doctor", "doctor", "Say what is missing on this machine."),
    "completion": Command("tcpblame.completion", "completion", "Print a shell's completion script."),
    "dev": Command("tcpblame.stream_commands", "dev", "Run a Kafka broker on this machine, for trying the stream."),
    "init": Command("tcpblame.stream_commands", "init", "Create the topics of the stream."),
    "probe": Command("tcpblame.stream_commands", "probe", "Publish a capture's segments to Kafka."),
    "worker": Command("tcpblame.stream_commands", "worker", "Diagnose the segments of Kafka, as windows in Kafka."),
    "sink": Command("tcpblame.stream_commands", "sink", "Write the windows of Kafka into a store."),
}

_EPILOG = """\b
Exit status: 0 done; 1 an input could not be read, or not to its end; 2 wrong
usage; 3 a --fail-on condition was met; 130 Ctrl-C; 141 the reader of the
output went away.

\b
Examples:
  tcpblame diagnose capture.pcap
  tcpblame diagnose capture.pcap --store blame && tcpblame query slow_hosts --store blame
  tcpblame doctor
"""


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        try:
            loaded = getattr(importlib.import_module(command.module), command.name)
        except ModuleNotFoundError as error:
            raise UserError(
                f"'{PROGRAM} {cmd_name}' needs the Python package {error.name!r}: install tcpblame[stream] "
                f"('make setup-stream' in a checkout); '{PROGRAM} doctor' says what else is missing"
            ) from error
        assert isinstance(loaded, click.Command)  # noqa: S101 - for the type checker
        return loaded

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            if not near and os.path.exists(args[0]):
                hint = f" To read a capture: {PROGRAM} diagnose {args[0]}"
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # click would end the process with status 1, as if something had gone wrong.
            raise ClosedPipeError from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(n, help=c.summary) for n, c in COMMANDS.items() if n.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(cls=LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    None, "-V", "--version", package_name="tcpblame", prog_name=PROGRAM, message="%(prog)s %(version)s"
)
def cli() -> None:
    """Say which side limits a TCP connection - sender, receiver or network - and what proves it."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The entry point: run a command and leave with its exit status."""
    if sys.stderr is None:  # closed by whoever started this
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    if sys.stdout is None:
        fault("standard output is closed")
        sys.exit(PARTLY)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a sign for an arrow gets a question mark
    warnings.showwarning = _warn
    status = run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = CLOSED_PIPE
    if status == CLOSED_PIPE:
        # Python flushes standard output once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run a command; every error becomes one line on standard error and an exit status, never a traceback."""
    try:
        return _status(cli.main(list(arguments), prog_name=PROGRAM, standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        fault(f"{error.format_message()} (see '{path} --help')")
        return USAGE
    except click.ClickException as error:
        fault(error.format_message())
        return PARTLY
    except (KeyboardInterrupt, click.Abort):
        fault("interrupted")
        return INTERRUPTED
    except ClosedPipeError:
        return CLOSED_PIPE
    except UserError as error:
        fault(str(error))
        return error.status
    except Exception as error:
        if os.environ.get("TCPBLAME_DEBUG") == "1":
            raise
        fault(_words(error))
        return PARTLY


def _warn(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """A warning as one line; where in the program it arose helps nobody who runs it."""
    note(f"{category.__name__}: {message}")


def _status(result: object) -> int:
    """The status of a command that returned normally: what it returned, if that is a number."""
    return result if isinstance(result, int) else OK


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"unexpected {type(error).__name__}: {str(error).partition(chr(10))[0]} (TCPBLAME_DEBUG=1 shows where)"


if __name__ == "__main__":
    main()
