"""Answers of the store as a table or CSV, whatever was asked: the columns are the question's."""

from collections.abc import Iterator
from typing import Any

import orjson

from schemas.naming import valid_text, visible
from sinks.text.cells import csv_text
from sinks.text.layout import Column, Line, render

# The format that the store is asked for: names, types, then one line a row.
ANSWER_FORMAT = "JSONCompactEachRowWithNamesAndTypes"
_NUMBERS = ("Int", "UInt", "Float", "Decimal", "BFloat")


def answer_table(answer: bytes, *, width: int = 80, colour: bool = False) -> str:
    """The answer as a table; where the width does not do, the widest columns are cut. Empty if there are no columns."""
    lines = answer.splitlines()
    if len(lines) < 2:
        return ""
    names, types = orjson.loads(lines[0]), orjson.loads(lines[1])
    columns = [Column(visible(name), right=_is_number(kind)) for name, kind in zip(names, types, strict=True)]
    rows = [Line(tuple(visible(_text(value)) for value in orjson.loads(line))) for line in lines[2:]]
    return render(columns, rows, width=width, colour=colour)


def answer_csv(answer: bytes) -> Iterator[bytes]:
    """The answer as CSV (RFC 4180) with a header line; null is an empty cell, text is no formula."""
    for number, line in enumerate(answer.splitlines()):
        if number == 1:
            continue
        yield b",".join(csv_text(v) if isinstance(v, str) else _cell(v) for v in orjson.loads(line)) + b"\r\n"


def _is_number(kind: str) -> bool:
    inner = kind.removeprefix("LowCardinality(").removeprefix("Nullable(")
    return inner.startswith(_NUMBERS)


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    if value is None:
        return ""
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, list):
        return " ".join(_text(part) for part in value)
    if isinstance(value, bool | dict):
        return orjson.dumps(value).decode()
    return str(value)


def _cell(value: Any) -> bytes:  # noqa: ANN401 - whatever JSON holds
    return csv_text(_text(value)) if isinstance(value, list | dict) else _text(value).encode()
