"""Draw docs/diagnose.svg, the README's picture, from a real run: ``python docs/picture.py`` in a checkout."""

import inspect
import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from sinks.text.table import flows_table
from tcpblame.diagnosis import collect

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("network-loss", "receiver-small-buffer", "receiver-zero-window", "sender-server-think", "setup-lost-syn")
WIDTH = 104


def main() -> None:
    """Run the product over some of its demo captures and keep what it prints."""
    captures = [f"demo/{name}.pcap" for name in SHOWN]
    rows, _ = collect([str(ROOT / capture) for capture in captures])
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ tcpblame diagnose demo/*.pcap --limit 5", style="bold"))
    console.print(Text.from_ansi(flows_table(rows, width=WIDTH, colour=True, limit=5)), end="")
    # No fonts from elsewhere: the reader's own monospace one will do.
    form = str(inspect.signature(Console.export_svg).parameters["code_format"].default)
    form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", form, flags=re.S).replace("Fira Code, ", "")
    console.save_svg(str(ROOT / "docs" / "diagnose.svg"), title="tcpblame", theme=DIMMED_MONOKAI, code_format=form)


if __name__ == "__main__":
    main()
