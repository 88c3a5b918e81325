"""Options of compiling: what functions show of them, what they refuse, and the bits where nobody says."""

from __future__ import annotations

import dataclasses
import inspect
import pydoc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import neurodeploy
from neurodeploy.compiler import compile_with_plan
from neurodeploy.compiler.keywords import Compiling, Quantising
from neurodeploy.families.options import CompileOptions
from neurodeploy.finetuning.finetune import begin
from neurodeploy.importers.lower import read_network
from neurodeploy.search.bits import run_search
from tests.conftest import ROOT

FIELDS = {field.name: field for field in dataclasses.fields(CompileOptions)}
WHOLE = FIELDS.keys() - {"host", "weight_bits"}
FUNCTIONS: dict[Callable[..., Any], set[str]] = {
    neurodeploy.compile: set(FIELDS),
    compile_with_plan: set(FIELDS),
    neurodeploy.compare: set(FIELDS),
    neurodeploy.finetune: WHOLE | {"weight_bits"},
    run_search: WHOLE,
}
"""What each takes of the fields."""


def test_keywords_are_the_fields_with_their_types() -> None:
    hints = get_type_hints(CompileOptions)
    assert get_type_hints(Compiling) == hints
    assert get_type_hints(Quantising) == {name: hints[name] for name in WHOLE}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_options_are_arguments_with_names_types_and_defaults(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    assert FIELDS.keys() & parameters.keys() == FUNCTIONS[function]
    for name in WHOLE:
        assert (parameters[name].annotation, parameters[name].default) == (FIELDS[name].type, FIELDS[name].default)
        assert f"\n    {name}: " in function.__doc__ or f"\n        {name}: " in function.__doc__


def test_help_shows_them() -> None:
    text = pydoc.plain(pydoc.render_doc(neurodeploy.compare))
    assert "scale: 'str | None' = None" in text
    assert "allow_silent: compile a network even if one of its populations never fires." in text


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda one: one.__name__)
def test_a_misspelt_option_is_refused_with_the_nearest(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) has no argument 'roundin'; did you mean 'rounding'"):
        function("m.nir", "loihi2", roundin="learned")
    with pytest.raises(TypeError, match=r"has no argument 'zzz'; it has .*message_bits.*model"):
        function("m.nir", "loihi2", zzz=1)


@pytest.mark.slow
def test_mypy_refuses_a_misspelt_option_and_a_wrong_type(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="types are checked with mypy")
    lines = ["import neurodeploy", "from neurodeploy.search import run_search"]
    calls = ("compile(m, t, {})", "compare(m, t, m, {})", "finetune(m, m, t, {})", "run_search(m, t, m, budget=m, {})")
    right, wrong = ('scale="mse", message_bits=8',), ("scales=None", 'message_bits="8"')
    lines.append("def f(m: str, t: str) -> None:")
    for call in calls:
        prefix = "" if call.startswith("run") else "neurodeploy."
        # Data of fine-tuning is no path, which is an error of its own kind.
        lines += [f"    {prefix}{call.format(one)}  # type: ignore[arg-type]" for one in right if "finetune" in call]
        lines += [f"    {prefix}{call.format(one)}" for one in right if "finetune" not in call]
        lines += [f"    {prefix}{call.format(one)}  # wrong" for one in wrong]
    (tmp_path / "use.py").write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", tmp_path / "use.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if "use.py:" in line and "error" in line}
    assert found == {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}, done.stdout


def test_a_program_takes_no_options_of_compiling(fc_model: Path) -> None:
    data = np.ones((3, 2, 12), np.uint8)
    program = neurodeploy.compile(fc_model, "loihi2", allow_silent=True)
    for option in ({"scale": "mse"}, {"weight_bits": 4}, {"calibrate": data}):
        with pytest.raises(neurodeploy.DeployError, match=rf"compiled already\n  where: {next(iter(option))}\n"):
            neurodeploy.compare(fc_model, "loihi2", data, program=program, **option)


def test_bits_that_nobody_says_are_those_that_the_target_stores(fc_model: Path, tmp_path: Path) -> None:
    (tmp_path / "narrow.toml").write_text('extends = "loihi2"\nnumber_formats.weight_bits_max = 4\n')
    for target, bits in ((tmp_path / "narrow.toml", 4), ("loihi2", 8)):
        program = neurodeploy.compile(fc_model, target, allow_silent=True)
        assert {p.weight_bits for p in program.projections} == {bits}
        assert {one.weight_bits for one in begin(read_network(fc_model)[0], target).program.projections} == {bits}
    with pytest.raises(neurodeploy.DeployError, match=r"weight_bits is 8; .* stores 1 to 4 bits"):
        neurodeploy.compile(fc_model, tmp_path / "narrow.toml", weight_bits=8)
