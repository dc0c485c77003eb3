"""The arrows between the folders: who may import whom (the design's layers, as a test)."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("tcpblame", "ingest", "schemas", "streams", "sinks", "infra")
# A part may import itself, the parts named here, the standard library and third-party packages.
ARROWS = {
    "tcpblame": {"ingest", "streams", "sinks", "infra", "schemas"},
    "ingest": {"schemas"},
    "streams": {"schemas"},
    "sinks": {"schemas"},
    "infra": {"schemas"},
    "schemas": set(),
}
# Inference is pure: no Kafka, no files but its kernel's, no clock.
# llvmlite is numba's own lower half: one intrinsic is written in it.
INFERENCE = {"numpy", "numba", "llvmlite", "schemas.columns", "schemas.rows", "schemas.causes", "streams.inference"}
IMPURE = {"time", "socket", "asyncio", "threading", "subprocess", "random", "datetime"}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            # `from streams import inference` imports a module too
            found |= {f"{node.module}.{alias.name}" for alias in node.names if _is_module(node.module, alias.name)}
    return found


def _is_module(package: str | None, name: str) -> bool:
    place = ROOT.joinpath(*(package or "").split("."), name)
    return place.is_dir() or place.with_suffix(".py").exists()


def files(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("part", PARTS)
def test_imports_follow_the_arrows(part):
    assert files(part)
    allowed = ARROWS[part] | {part}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(part)
        for name in imports(path)
        if name.split(".")[0] in PARTS and name.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_inference_is_pure():
    wrong = []
    for path in sorted((ROOT / "streams" / "inference").rglob("*.py")):
        for name in imports(path):
            top = name.split(".")[0]
            own = any(name == allowed or name.startswith(f"{allowed}.") for allowed in INFERENCE)
            if not own and (top not in sys.stdlib_module_names or top in IMPURE):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_nothing_outside_the_parts_is_imported_by_them():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for part in PARTS
        for path in files(part)
        for name in imports(path)
        if name.split(".")[0] in {"tests", "setup"}
    ]
    assert wrong == []


def test_the_walk_sees_imports_in_functions(tmp_path):
    path = tmp_path / "x.py"
    path.write_text("def f():\n    from streams.inference import engine\n    import ingest.capture.reader as r\n")
    assert imports(path) == {"streams.inference", "streams.inference.engine", "ingest.capture.reader"}
