"""Lines for the user on standard error."""

import click

PROGRAM = "tcpblame"


def fault(message: str) -> None:
    """Something that was not done or not read."""
    click.echo(f"{PROGRAM}: error: {one_line(message)}", err=True)


def note(message: str) -> None:
    """Something to know beside the output."""
    click.echo(f"{PROGRAM}: {one_line(message)}", err=True)


def one_line(message: str) -> str:
    """A message on one line, harmless for a terminal: it may name a hostile file."""
    message = " ".join(message.split())
    if message.isascii() and message.isprintable():
        return message
    from schemas.naming import valid_text, visible  # noqa: PLC0415 - loads numba

    return visible(valid_text(message))
