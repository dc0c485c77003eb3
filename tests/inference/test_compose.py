"""The composer: order by need, what it refuses, and a composed file whose name changes with all that it is made of."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from streams.inference import compose
from streams.inference.compose import ALL, CompositionError, check_writers, order

ROOT = Path(__file__).parents[2]


class Workshop:
    """Statistics written as files, loaded as the composer loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded: dict[str, tuple[object, ModuleType]] = {}

    def add(self, name: str, declared: str = "", hook: str = "") -> None:
        path = self.folder / f"{name}.py"
        path.write_text(
            "from streams.inference.statistic import Statistic\n\n"
            f'STATISTIC = Statistic(name="{name}", {declared})\n\n\n{hook}'
        )
        spec = importlib.util.spec_from_file_location(f"workshop_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.loaded[name] = (module.STATISTIC, module)

    def order(self) -> list[str]:
        return order(self.loaded)  # type: ignore[arg-type]

    def check(self) -> None:
        check_writers(self.loaded)  # type: ignore[arg-type]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_who_needs_comes_after_who_provides(workshop: Workshop) -> None:
    workshop.add("third", hook="def on_segment(c, second_value): pass\n")
    workshop.add("second", 'provides=("second_value",)', "def on_segment(f, first_value): return first_value\n")
    workshop.add("first", 'provides=("first_value",)', "def on_segment(t): return t\n")
    assert workshop.order() == ["first", "second", "third"]


def test_without_needs_the_given_order_stays(workshop: Workshop) -> None:
    for name in ("one", "two", "three"):
        workshop.add(name, hook="def on_segment(table, seg, i, c, f, g, d, t): pass\n")
    assert workshop.order() == ["one", "two", "three"]


def test_a_circle_of_needs_is_refused(workshop: Workshop) -> None:
    workshop.add("hen", 'provides=("hen_value",)', "def on_segment(egg_value): return egg_value\n")
    workshop.add("egg", 'provides=("egg_value",)', "def on_segment(hen_value): return hen_value\n")
    with pytest.raises(CompositionError, match=r"hen.*egg"):
        workshop.order()


@pytest.mark.parametrize("value", ["made_twice", "payload"])  # the loop itself provides `payload`
def test_two_providers_of_a_value_are_refused(workshop: Workshop, value: str) -> None:
    workshop.add("one", f'provides=("{value}",)', "def on_segment(t): return t\n")
    workshop.add("other", f'provides=("{value}",)', "def on_segment(t): return t\n")
    with pytest.raises(CompositionError, match=value):
        workshop.order()


def test_a_need_that_nobody_provides_is_refused(workshop: Workshop) -> None:
    workshop.add("one", hook="def on_segment(t, unheard_of): pass\n")
    with pytest.raises(CompositionError, match="one needs unheard_of"):
        workshop.order()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('flow={"shared": "u1"}', 'flow={"shared": "u4"}'),
        ('connection={"shared": "u1"}', 'connection={"shared": "u1"}'),
        ('flow={"shared": "u1"}', 'connection={"shared": "u1"}'),
    ],
)
def test_two_owners_of_a_field_are_refused(workshop: Workshop, one: str, other: str) -> None:
    workshop.add("one", one)
    workshop.add("other", other)
    with pytest.raises(CompositionError, match="other and one both own the field shared"):
        workshop.check()


def test_a_field_of_the_loop_is_not_to_be_owned(workshop: Workshop) -> None:
    workshop.add("one", 'connection={"last_ns": "i8"}')
    with pytest.raises(CompositionError, match="last_ns"):
        workshop.check()


@pytest.mark.parametrize("table", ["windows", "flows"])
def test_two_that_fill_a_column_are_refused(workshop: Workshop, table: str) -> None:
    workshop.add("one", f'{table}=("mss",)')
    workshop.add("other", f'{table}=("mss",)')
    with pytest.raises(CompositionError, match=f"both fill {table}.mss"):
        workshop.check()


WRITES = {
    "assignment": '    f["owned"] = 1\n',
    "sum": '    g["owned"] += 1\n',
    "element": '    f["owned"][2] = 1\n',
    "tuple": '    a, f["owned"] = 1, 2\n',
    "helper": "    helper(f)\n\n\ndef helper(f):\n" + '    f["owned"] = 1\n',
}


@pytest.mark.parametrize("how", WRITES)
def test_a_foreign_writer_is_refused(workshop: Workshop, how: str) -> None:
    workshop.add("owner", 'flow={"owned": "u4"}')
    workshop.add("stranger", hook="def on_segment(f, g):\n" + WRITES[how])
    with pytest.raises(CompositionError, match="stranger writes owned, which owner owns"):
        workshop.check()


def test_who_extends_a_statistic_may_write_its_fields(workshop: Workshop) -> None:
    workshop.add("owner", 'flow={"owned": "u4"}')
    workshop.add("heir", 'extends=("owner",)', 'def on_segment(f):\n    f["owned"] = 1\n')
    workshop.check()


def test_reading_is_anyone_s(workshop: Workshop) -> None:
    workshop.add("owner", 'flow={"owned": "u4"}')
    workshop.add("reader", 'flow={"own": "u4"}', 'def on_segment(f, g):\n    f["own"] = g["owned"]\n')
    workshop.check()


def test_the_product_s_own_statistics_fit_together() -> None:
    loaded = compose._load(ALL)
    check_writers(loaded)
    ordered = order(loaded)
    assert sorted(ordered) == sorted(ALL)
    seen: set[str] = set()
    for name in ordered:
        statistic, module = loaded[name]
        wanted = set(compose.parameters(module.on_segment)) if hasattr(module, "on_segment") else set()
        assert wanted - compose.BASE <= seen
        seen |= set(statistic.provides)


def test_every_column_of_a_statistic_is_one_of_the_row_s() -> None:
    from schemas.rows import FLOWS, WINDOWS  # noqa: PLC0415

    for table, columns in (("flows", FLOWS), ("windows", WINDOWS)):
        names = {column.name for column in columns}
        for name, (statistic, _) in compose._load(ALL).items():
            assert set(getattr(statistic, table)) <= names, name


# --------------------------------------------------------------------------------------------------------- cache

TINY = "from schemas.columns import kernel, plain\n\n\n@kernel\ndef answer(x):\n    return x + 1\n"


def test_the_composed_file_lies_in_the_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPBLAME_CACHE_DIR", str(tmp_path))
    module, cached = compose._import("composed_tiny_cached", TINY)
    assert cached
    assert Path(str(module.__file__)).is_relative_to(tmp_path)
    assert Path(str(module.__file__)).read_text() == TINY
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"] == []
    assert module.answer(1) == 2


def test_where_nothing_can_be_written_it_is_compiled_in_memory_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a directory")
    monkeypatch.setenv("TCPBLAME_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="cache is not writable"):
        module, cached = compose._import("composed_tiny_in_memory", TINY)
    assert not cached
    assert module.answer(1) == 2


ENGINE_RUN = """
import sys
from streams.inference.engine import Engine
engine = Engine()
print([name for name in sys.modules if name.startswith("composed_")], engine.composition.cached)
"""


def run(code: str, tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tree), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tree, capture_output=True, text=True, timeout=120, check=False
    )


def test_an_engine_without_a_cache_directory_warns_and_works(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    done = run(ENGINE_RUN, ROOT, TCPBLAME_CACHE_DIR=str(tmp_path / "file"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] False"
    assert done.stderr.count("cache is not writable") == 1


def test_an_edit_in_a_statistic_changes_the_composed_file_s_name(tmp_path: Path) -> None:
    """numba notices no edit in a called file and would run the old code."""
    for package in ("streams", "schemas"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def name() -> str:
        done = run(ENGINE_RUN, tmp_path, TCPBLAME_CACHE_DIR=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = name()
    assert "composed_" in before
    assert name() == before
    statistic = tmp_path / "streams" / "inference" / "counters.py"
    text = statistic.read_text()
    statistic.write_text(text.replace("_CE = 3", "_CE = 2"))
    edited = name()
    assert edited != before
    statistic.write_text(text)
    assert name() == before
    decorators = tmp_path / "schemas" / "jit.py"
    decorators.write_text(decorators.read_text() + "# options have changed\n")
    assert name() not in (before, edited)
