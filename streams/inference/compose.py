"""Builds one state layout and one fused kernel out of the statistics that are switched on.

The composer orders statistics by what they need, refuses cycles, unknown names, two owners of a field or column and
writes to another's field, and writes the kernel as a Python file in the cache directory, named by a hash of everything
that it is made of (its text, the sources of all called files, the layout, numba's version): numba caches a file's
kernels by path and does not notice an edit in a *called* file, so the name must. Where nothing can be written the
kernel is compiled in memory, with a warning for the caller to show.
"""

import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numba
import numpy as np

from streams.inference.statistic import Statistic

PACKAGE = "streams.inference"
# Every statistic, in the order of a segment's way through them; the composer only reorders where a need demands it.
ALL = (
    "copies",
    "counters",
    "sequence",
    "lifecycle",
    "handshake",
    "acks",
    "sack",
    "rwnd",
    "rtt",
    "recovery",
    "flight",
    "pacing",
    "vantage",
    "settling",
    "events",
    "ledger",
)
# Scratch that the loop itself provides to every hook.
BASE = frozenset(
    [
        "table",
        "seg",
        "i",
        "c",
        "f",
        "g",
        "d",
        "t",
        "flags",
        "seq",
        "ack",
        "payload",
        "window",
        "options",
        "row",
        "end_ns",
    ]
)
# The loop's own fields.
CONNECTION: dict[str, str] = {
    "state": "u1",
    "half": "u1",
    "opener": "u1",
    "first_end": "u1",
    "a_port": "<u2",
    "b_port": "<u2",
    "source": "<i4",
    "tenant": "<u4",
    "home": "<i4",
    "shard": "<u2",
    "clock_steps": "<u2",
    "prev": "<i4",
    "next": "<i4",
    "a_hi": "<u8",
    "a_lo": "<u8",
    "b_hi": "<u8",
    "b_lo": "<u8",
    "last_ns": "<i8",
    "start_ns": "<i8",
    "conn_id": "<u8",
}
SHARD = np.dtype(
    [
        ("n", "<i4"),
        ("head", "<i4"),
        ("tail", "<i4"),
        ("half_n", "<i4"),
        ("half_head", "<i4"),
        ("half_tail", "<i4"),
        ("overflow_n", "<i4"),
        ("overflow_source", "<i4"),
        ("overflow_ns", "<i8"),
    ]
)
_MARK = "# " + "-" * 118


class CompositionError(Exception):
    """The statistics do not fit together; the message names them."""


@dataclass(frozen=True)
class Composition:
    """A ready engine core: layouts and kernels."""

    names: tuple[str, ...]
    conn: np.dtype[np.void]
    flow: np.dtype[np.void]
    flow_parts: tuple[int, int]  # where the front and the hot part of a flow record end, in bytes
    layout: str  # hash of names and layouts, for saved state
    process: Callable[..., Any]
    sweep: Callable[..., Any]
    overflow_events: Callable[..., Any]
    rehome: Callable[..., Any]
    cached: bool


def _load(names: Sequence[str]) -> dict[str, tuple[Statistic, ModuleType]]:
    found: dict[str, tuple[Statistic, ModuleType]] = {}
    for name in names:
        module = importlib.import_module(f"{PACKAGE}.{name}")
        found[name] = (module.STATISTIC, module)
    return found


def _source_function(hook: object) -> Callable[..., Any]:
    return cast(Callable[..., Any], getattr(hook, "py_func", hook))


def parameters(hook: object) -> tuple[str, ...]:
    """The names that a hook asks for."""
    return tuple(inspect.signature(_source_function(hook)).parameters)


def order(loaded: dict[str, tuple[Statistic, ModuleType]]) -> list[str]:
    """Statistics in an order in which every need is provided before it is used."""
    provider: dict[str, str] = {}
    for name, (statistic, _) in loaded.items():
        for value in statistic.provides:
            if value in provider or value in BASE:
                raise CompositionError(f"{name} and {provider.get(value, 'the loop')} both provide {value}")
            provider[value] = name
    needs: dict[str, set[str]] = {}
    for name, (_, module) in loaded.items():
        hook = getattr(module, "on_segment", None)
        wanted = set(parameters(hook)) - BASE if hook else set()
        unknown = wanted - set(provider)
        if unknown:
            raise CompositionError(f"{name} needs {', '.join(sorted(unknown))}, which no statistic provides")
        needs[name] = {provider[value] for value in wanted} - {name}
    result: list[str] = []
    waiting = list(loaded)
    while waiting:
        ready = next((name for name in waiting if needs[name] <= set(result)), None)
        if ready is None:
            raise CompositionError(f"{', '.join(waiting)} need one another")
        result.append(ready)
        waiting.remove(ready)
    return result


def check_writers(loaded: dict[str, tuple[Statistic, ModuleType]]) -> None:
    """Refuse two owners of a field or a column, and writes to a field of a statistic that is not extended."""
    owner: dict[str, str] = dict.fromkeys(CONNECTION, "the loop")
    columns: dict[tuple[str, str], str] = {}
    for name, (statistic, _) in loaded.items():
        for state_field in (*statistic.connection, *statistic.flow):
            if state_field in owner:
                raise CompositionError(f"{name} and {owner[state_field]} both own the field {state_field}")
            owner[state_field] = name
        for table in ("windows", "flows"):
            for column in getattr(statistic, table):
                if (table, column) in columns:
                    raise CompositionError(f"{name} and {columns[table, column]} both fill {table}.{column}")
                columns[table, column] = name
    for name, (statistic, module) in loaded.items():
        allowed = {name, *statistic.extends}
        for state_field in written_fields(Path(inspect.getsourcefile(module) or "").read_text()):
            # The loop's `state` and `opener` are lifecycle's to set; it is the loop's only statistic.
            if owner.get(state_field, name) not in allowed and not (name == "lifecycle" and state_field in CONNECTION):
                raise CompositionError(f"{name} writes {state_field}, which {owner[state_field]} owns")


def written_fields(source: str) -> set[str]:
    """Names of the state fields that a file's functions assign to, as ``c["name"]``, ``f["name"]`` or ``g["name"]``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        for target in targets:
            for part in ast.walk(target):
                if (
                    isinstance(part, ast.Subscript)
                    and isinstance(part.value, ast.Name)
                    and part.value.id in ("c", "f", "g")
                    and isinstance(part.slice, ast.Constant)
                    and isinstance(part.slice.value, str)
                ):
                    found.add(part.slice.value)
    return found


def hot_fields(source: str) -> set[str]:
    """Names of the fields that a file's inlined functions touch: those that every segment needs."""
    found = set()
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and any(
            isinstance(decorator, ast.Name) and decorator.id == "inlined" for decorator in function.decorator_list
        ):
            for part in ast.walk(function):
                if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Constant):
                    found.add(str(part.slice.value))
    return found


def layouts(
    loaded: dict[str, tuple[Statistic, ModuleType]],
) -> tuple[np.dtype[np.void], np.dtype[np.void], tuple[int, int]]:
    """The connection and flow records, and where the front and the hot part of a flow record end, in bytes.

    What every segment touches in both flows comes first, then what it touches in the flow that sends data, then the
    rest, so that few cache lines are needed; within each part wide fields come first, so that every field is aligned.
    """
    conn = dict(CONNECTION)
    flow: dict[str, str] = {}
    hot = set(CONNECTION)
    front: set[str] = set()
    for statistic, module in loaded.values():
        conn.update(statistic.connection)
        flow.update(statistic.flow)
        hot |= hot_fields(Path(inspect.getsourcefile(module) or "").read_text()) | set(statistic.hot)
        front |= set(statistic.front)

    def packed(fields: dict[str, str]) -> np.dtype[np.void]:
        def place(name: str) -> tuple[bool, bool, int, bool]:
            dtype = np.dtype(fields[name])
            return name not in front, name not in hot, -dtype.base.itemsize, bool(dtype.shape)

        names = sorted(fields, key=place)
        offsets, at = [], 0
        for name in names:
            dtype = np.dtype(fields[name])
            at = (at + dtype.base.itemsize - 1) // dtype.base.itemsize * dtype.base.itemsize
            offsets.append(at)
            at += dtype.itemsize
        size = (at + 7) // 8 * 8
        return np.dtype(
            {"names": names, "formats": [fields[name] for name in names], "offsets": offsets, "itemsize": size}
        )

    record = packed(flow)
    fields: Mapping[str, Any] = record.fields or {}
    ends = {name: int(fields[name][1]) + fields[name][0].itemsize for name in fields}
    front_end = max((end for name, end in ends.items() if name in front), default=0)
    return packed(conn), record, (front_end, max(end for name, end in ends.items() if name in hot))


def hooks_text(names: Sequence[str], loaded: dict[str, tuple[Statistic, ModuleType]]) -> str:
    """The generated hooks: each calls the statistics' own, in order."""
    lines = [
        "",
        "@inlined",
        "def hook_segment(table, seg, i, c, f, g, d, t, flags, seq, ack, payload, window, options):",
    ]
    for name in names:
        statistic, module = loaded[name]
        if hasattr(module, "on_segment"):
            call = f"_{name}.on_segment({', '.join(parameters(module.on_segment))})"
            lines.append(f"    {', '.join(statistic.provides)} = {call}" if statistic.provides else f"    {call}")
            if statistic.gate:
                lines += [f"    if {statistic.gate}:", "        return"]
    for hook, signature, attribute in (
        ("hook_window", "f, g, c, row, end_ns", "on_window_close"),
        ("hook_flow", "c, f, g, d, row", "on_close"),
        ("hook_end", "table, c, f, g, d", "on_end"),
    ):
        lines += ["", "", "@plain", f"def {hook}({signature}):"]
        body = [
            f"    _{name}.{attribute}({', '.join(parameters(getattr(loaded[name][1], attribute)))})"
            for name in names
            if hasattr(loaded[name][1], attribute)
        ]
        lines += body or ["    pass"]
    lines += ["", "", "@plain", "def hook_reset(f):"]
    for name in names:
        for state_field, dtype in loaded[name][0].flow.items():
            if state_field.startswith("w_"):
                shape = np.dtype(dtype).shape
                if shape:
                    lines += [f"    for k in range({shape[0]}):", f'        f["{state_field}"][k] = 0']
                else:
                    lines.append(f'    f["{state_field}"] = 0')
    return "\n".join(lines) + "\n\n"


def compose(names: Sequence[str] = ALL) -> Composition:
    """The engine core of the named statistics, composed once in a process; raises CompositionError."""
    return _compose(tuple(names), cache_directory())


@functools.lru_cache(maxsize=8)
def _compose(names: tuple[str, ...], _cache: Path) -> Composition:
    loaded = _load(names)
    ordered = order(loaded)
    check_writers(loaded)
    conn, flow, parts = layouts(loaded)
    skeleton = Path(__file__).with_name("skeleton.py").read_text()
    head, _, body = skeleton.partition(_MARK)
    imports = "\n".join(f"from {PACKAGE} import {name} as _{name}" for name in ordered)
    text = f"{head}\nfrom schemas.columns import inlined\n{imports}\n\n{hooks_text(ordered, loaded)}{body}"
    digest = hashlib.sha256()
    for part in (text, repr(conn), repr(flow), numba.__version__, np.__version__, sys.version, *_sources()):
        digest.update(part.encode())
    module, cached = _import(f"composed_{digest.hexdigest()[:24]}", text)
    layout = hashlib.sha256(repr((ordered, conn, flow)).encode()).hexdigest()[:16]
    return Composition(
        tuple(ordered),
        conn,
        flow,
        parts,
        layout,
        module.process,
        module.sweep,
        module.overflow_events,
        module.rehome,
        cached,
    )


def _sources() -> list[str]:
    """Text of every file that the kernel may call into."""
    here = Path(__file__).parent
    schemas = here.parent.parent / "schemas"
    return [path.read_text() for folder in (here, schemas) for path in sorted(folder.glob("*.py"))]


def cache_directory() -> Path:
    """Where composed kernels lie: TCPBLAME_CACHE_DIR, else the user's cache directory."""
    named = os.environ.get("TCPBLAME_CACHE_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tcpblame"


def _import(name: str, text: str) -> tuple[ModuleType, bool]:
    """Import the composed file from the cache directory, or compile its text in memory."""
    if name in sys.modules:
        return sys.modules[name], True
    path = cache_directory() / "kernels" / f"{name}.py"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(temporary).replace(path)
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise OSError(f"cannot import {path}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except OSError as error:
        sys.modules.pop(name, None)
        warnings.warn(f"the kernel cache is not writable ({error}); compiling in memory", RuntimeWarning, stacklevel=3)
        return _in_memory(name, text), False
    return module, True


def _in_memory(name: str, text: str) -> ModuleType:
    module = ModuleType(name)
    plain_text = text.replace("@kernel\n", "@plain\n")  # numba refuses to cache what has no file
    exec(compile(plain_text, f"<{name}>", "exec"), module.__dict__)  # noqa: S102  (our own generated text)
    return module
