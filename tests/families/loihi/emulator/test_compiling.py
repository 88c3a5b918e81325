"""Loops that are compiled are kept for as long as none of the files that they are made of changes."""

import ast
import importlib.util
from pathlib import Path

import pytest

from neurodeploy.families.loihi.emulator import compiling

FOLDER = Path(compiling.__file__).parent
LOOPS = [
    path for path in sorted(FOLDER.glob("*.py")) if "@compiled" in path.read_text() or "@inlined" in path.read_text()
]
KERNEL = """
from neurodeploy.families.loihi.emulator.compiling import compiled

@compiled
def kernel(x):
    return x + 1
"""


def _compiled_in(path):
    spec = importlib.util.spec_from_file_location("loop_of_a_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.kernel(1)
    return module.kernel.stats


def test_a_loop_is_taken_from_the_cache_until_any_source_changes(tmp_path, monkeypatch):
    path = tmp_path / "loop_of_a_test.py"
    path.write_text(KERNEL)
    assert _compiled_in(path).cache_misses
    assert _compiled_in(path).cache_hits
    monkeypatch.setattr(compiling, "_STAMP", "of other files")
    assert _compiled_in(path).cache_misses


def test_the_stamp_follows_the_text_of_each_source(tmp_path, monkeypatch):
    for name in compiling._SOURCES:
        (tmp_path / name).write_text((FOLDER / name).read_text())
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    stamps = {compiling._stamp()}
    for name in compiling._SOURCES:
        (tmp_path / name).write_text((FOLDER / name).read_text() + "\n")
        stamps.add(compiling._stamp())
    assert len(stamps) == 1 + len(compiling._SOURCES)


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.name)
def test_each_file_that_loops_are_made_of_is_a_source(path):
    package = compiling.__name__.rpartition(".")[0]
    imported = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    needed = {f"{module.rpartition('.')[2]}.py" for module in imported if module.startswith(f"{package}.")}
    assert needed | {path.name} <= set(compiling._SOURCES)
