"""Lines of a table within a width: columns that do not fit are left out, remarks are wrapped below their row."""

import re
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.color import ColorSystem
from rich.style import Style

GAP = "  "
# A remark beside its row needs at least this much room; with less it stands below, indented.
BESIDE = 56
INDENT = "    "
# A space that may end a line: not the one between a number and its unit.
_BREAK = re.compile(r"(?<!\d) | (?!%|[KMGTPE]?B\b|[kMGTPE]?bit/s|(?:n|u|m)?s\b|min\b|h\b)")


@dataclass(frozen=True)
class Column:
    """A column: its title, its side, and how readily it is left out (0: never, 1: last, ...)."""

    title: str
    right: bool = False
    spare: int = 0


@dataclass(frozen=True)
class Line:
    """One row: a text a column, and a remark whose first word has a style."""

    cells: tuple[str, ...]
    word: str = ""
    remark: str = ""
    style: str = ""
    below: tuple[str, ...] = ()  # further lines of the cell `below_at`
    below_at: int = 0


def paint(text: str, style: str, colour: bool) -> str:
    """Text in a rich style's colours, or as it is."""
    return Style.parse(style).render(text, color_system=ColorSystem.STANDARD) if colour and style and text else text


def wrap(text: str, width: int) -> list[str]:
    """Words in lines of at most `width` cells; a word longer than that is cut into pieces."""
    lines: list[str] = []
    current = ""
    for word in _BREAK.split(text):
        while cell_len(word) > width > 0:
            if current:
                lines.append(current)
                current = ""
            head = set_cell_size(word, width).rstrip() or word[:1]
            lines.append(head)
            word = word[len(head) :]  # noqa: PLW2901 - the rest of it
        joined = f"{current} {word}" if current else word
        if cell_len(joined) > width:
            lines.append(current)
            current = word
        else:
            current = joined
    return [*lines, current] if current or not lines else lines


def render(columns: list[Column], lines: list[Line], *, width: int, colour: bool, remark: str = "") -> str:
    """The table as text with a title line; `remark` is the title of the remarks. Every line ends with a newline."""
    shown, sizes = _fitting(columns, lines, width)
    used = sum(sizes[index] for index in shown) + len(GAP) * (len(shown) - 1)
    longest = max((cell_len(_remark(line)) for line in lines), default=0)
    beside = longest > 0 and width - used - len(GAP) >= min(BESIDE, longest)
    head = _join(columns, shown, sizes, [column.title for column in columns])
    out = [paint((head + (GAP + remark if beside else "")).rstrip(), "bold", colour)]
    for line in lines:
        start = _join(columns, shown, sizes, list(line.cells))
        text = _remark(line)
        room = width - used - len(GAP) if beside else width - len(INDENT)
        parts = wrap(text, max(room, 10)) if text else []
        painted = [_painted(part, line, number == 0, colour) for number, part in enumerate(parts)]
        before = shown[: shown.index(line.below_at)]
        offset = " " * sum(sizes[index] + len(GAP) for index in before)
        more = [(offset + _cut(part, sizes[line.below_at])).rstrip() for part in line.below]
        if beside:
            out.append((start + GAP + painted[0] if painted else start).rstrip())
            count = max(len(painted) - 1, len(more))
            for number in range(count):
                left = more[number] if number < len(more) else ""
                right = painted[number + 1] if number + 1 < len(painted) else ""
                out.append((set_cell_size(left, used) + GAP + right).rstrip())
        else:
            out += [start.rstrip(), *more, *(INDENT + part for part in painted)]
    return "".join(f"{line}\n" for line in out)


def _fitting(columns: list[Column], lines: list[Line], width: int) -> tuple[list[int], list[int]]:
    """Which columns are shown, and every column's width."""
    sizes = [
        max([cell_len(column.title), *(cell_len(line.cells[index]) for line in lines)])
        for index, column in enumerate(columns)
    ]
    for line in lines:
        sizes[line.below_at] = max([sizes[line.below_at], *(cell_len(part) for part in line.below)])
    shown = list(range(len(columns)))

    def used() -> int:
        return sum(sizes[index] for index in shown) + len(GAP) * (len(shown) - 1)

    while used() > width and any(columns[index].spare for index in shown):
        shown.remove(max(shown, key=lambda index: columns[index].spare))
    if used() > width:
        # What is left must stay: the widest columns give way.
        while used() > width and max(sizes[index] for index in shown) > 8:
            sizes[max(shown, key=lambda index: sizes[index])] -= 1
    return shown, sizes


def _cut(text: str, room: int) -> str:
    return text if cell_len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"


def _remark(line: Line) -> str:
    return f"{line.word}: {line.remark}" if line.word and line.remark else line.word or line.remark


def _join(columns: list[Column], shown: list[int], sizes: list[int], cells: list[str]) -> str:
    parts = []
    for index in shown:
        text, room = cells[index], sizes[index]
        text = _cut(text, room)
        fill = " " * (room - cell_len(text))
        parts.append(fill + text if columns[index].right else text + fill)
    return GAP.join(parts)


def _painted(text: str, line: Line, first: bool, colour: bool) -> str:
    if first and line.word and text.startswith(line.word):
        return paint(line.word, line.style, colour) + text[len(line.word) :]
    return text
