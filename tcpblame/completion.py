"""``tcpblame completion``."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


_EPILOG = """\b
Examples:
  eval "$(tcpblame completion bash)"
  tcpblame completion fish > ~/.config/fish/completions/tcpblame.fish
"""


@click.command(epilog=_EPILOG)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print a script that makes a shell complete tcpblame's commands and options."""
    from tcpblame.cli import cli  # noqa: PLC0415 - the group loads this module
    from tcpblame.messages import PROGRAM  # noqa: PLC0415

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has these three
    click.echo(found(cli, {}, PROGRAM, "_TCPBLAME_COMPLETE").source())
