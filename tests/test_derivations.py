"""The page of derivations names functions that exist, all that it explains, and states formulas that are theirs."""

import ast
import importlib
import re
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.families.loihi import bounds
from neurodeploy.families.loihi.arithmetic import decay

PAGE = Path(__file__).parent.parent / "docs" / "derivations.md"
MODULES = {
    "bounds": "neurodeploy.families.loihi.bounds",
    "step": "neurodeploy.families.loihi.step",
    "equality": "neurodeploy.comparison.equality",
    "program_check": "neurodeploy.families.loihi.check.program_check",
    "ties": "neurodeploy.comparison.ties",
}
NAMED = sorted(set(re.findall(rf"\b((?:{'|'.join(MODULES)})\.[A-Za-z_][\w.]*\w)", PAGE.read_text(encoding="utf-8"))))
NAMED = [name for name in NAMED if not name.endswith(".py")]


@pytest.mark.parametrize("name", NAMED)
def test_what_the_page_names_exists(name: str) -> None:
    module, *path = name.split(".")
    assert reduce(getattr, path, importlib.import_module(MODULES[module])) is not None


@pytest.mark.parametrize("module", ["bounds", "ties"])
def test_the_page_names_every_function_that_it_explains(module: str) -> None:
    source = importlib.import_module(MODULES[module]).__file__
    assert source is not None
    found = set()
    for node in ast.parse(Path(source).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(f"{module}.{node.name}")
        if isinstance(node, ast.ClassDef):
            methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
            found |= {f"{module}.{node.name}.{method}" for method in methods}
    plumbing = {"ties._size_of_gain", "ties._currents", "ties._stream"}
    assert found - plumbing <= set(NAMED)


@pytest.mark.parametrize("lost", [1, 7, 410, 4095, 4096])
def test_the_limit_is_the_highest_of_many_steps(lost: int) -> None:
    start, entering = (
        axis.ravel() for axis in np.meshgrid([-200_000, -1, 0, 1, 77, 200_000], [-900, -1, 0, 1, 2, 63, 5000])
    )
    x, highest = start, np.full(len(start), -(2**62))
    for _ in range(40 * 4096 // lost):
        x = decay(x, np.full_like(x, lost)) + entering
        highest = np.maximum(highest, x)
    limit = bounds._limit(start, entering, np.full_like(start, lost))
    assert (highest <= limit).all()
    reached = highest == limit
    assert reached.all() if lost > 7 else reached[entering <= 2].any()


def test_what_does_not_leak_climbs_for_ever() -> None:
    limit = bounds._limit(np.array([5, 5]), np.array([1, -1]), np.array([0, 0]))
    assert limit.tolist() == [bounds.BEYOND_REGISTERS, 4]
