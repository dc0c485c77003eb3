"""The named questions: one SQL file each, runnable on any store.

A file begins with its ``-- title:``, one or more lines ``-- about:``, and a line ``-- param name=default`` for each
``{name:Type}`` in its text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Query:
    """A named question."""

    name: str
    sql: str
    title: str
    about: str
    params: Mapping[str, str]  # name to default


@cache
def names() -> tuple[str, ...]:
    """The names of all questions, sorted."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".sql") for name in entries if name.endswith(".sql")))


@cache
def load(name: str) -> Query:
    """A question by its name. Raises KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    title, about = "", []
    params: dict[str, str] = {}
    body = []
    for line in text.splitlines():
        if line.startswith("-- title:"):
            title = line.partition(":")[2].strip()
        elif line.startswith("-- about:"):
            about.append(line.partition(":")[2].strip())
        elif line.startswith("-- param "):
            key, _, default = line.removeprefix("-- param ").partition("=")
            params[key.strip()] = default.strip()
        else:
            body.append(line)
    return Query(name, "\n".join(body).strip(), title, " ".join(about), params)
