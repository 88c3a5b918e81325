"""The form of the package's files: short files and functions, docstrings that say what a reader needs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "neurodeploy"
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

MOST_LINES = 500
MOST_LINES_P90 = 25
"""Of nine functions in ten, with their docstrings."""

FROM = 3
"""Parameters from which on a public function says what each is."""

BEGIN_WITH_WHAT = dict.fromkeys(
    (
        "analysis/__init__.py",
        "backends/host.py",
        "backends/lava/processes.py",
        "compiler/dump.py",
        "families/base.py",
        "families/loihi/check/__init__.py",
        "families/loihi/emulator/delivery.py",
        "families/loihi/finetuning/trainer.py",
        "families/xylo/activity.py",
        "families/xylo/losses.py",
        "ir/run_options.py",
    ),
    "is new or has just moved, and is still to be worded",
)
"""Files whose docstring may begin so, and why."""

WITHOUT_ARGS = {
    **dict.fromkeys(
        (
            "compiler/stages.py",
            "families/loihi/bounds.py",
            "families/loihi/check/observe.py",
            "families/loihi/check/remedies.py",
            "families/loihi/compile/cautions.py",
            "families/loihi/compile/changes.py",
            "families/loihi/compile/inputs.py",
            "families/loihi/definition.py",
            "families/loihi/emulator/delivery.py",
            "families/loihi/emulator/flags.py",
            "families/loihi/emulator/neuron_step.py",
            "families/loihi/emulator/tables.py",
            "families/loihi/exactness.py",
            "families/loihi/finetuning/integer.py",
            "families/loihi/fit.py",
            "families/loihi/membrane.py",
            "families/loihi/messages.py",
            "families/loihi/quantise/drive.py",
            "families/loihi/quantise/fit.py",
            "families/loihi/quantise/second_moments.py",
            "families/loihi/registers.py",
            "families/loihi/scale.py",
            "families/loihi/step.py",
            "families/loihi/weights.py",
            "families/options.py",
            "families/xylo/codes.py",
            "families/xylo/decays.py",
            "families/xylo/kernel.py",
            "families/xylo/quantise.py",
            "families/xylo/relays.py",
            "families/xylo/thresholds.py",
            "finetuning/checkpoint.py",
        ),
        "is new or has just moved, and is still to be written",
    ),
    **dict.fromkeys(
        (
            "backends/base.py",
            "backends/host.py",
            "backends/lava/processes.py",
            "backends/lava/worker.py",
            "backends/loihi.py",
            "backends/reference/neuron.py",
            "passes/torch_operations.py",
            "backends/run.py",
            "backends/simulator.py",
            "backends/xylosim/worker.py",
            "cli/compare.py",
            "comparison/answers.py",
            "comparison/compare.py",
            "comparison/equality.py",
            "comparison/measures.py",
            "comparison/question.py",
            "comparison/runner.py",
            "comparison/shown.py",
            "comparison/tallies.py",
            "comparison/vacuous.py",
            "comparison/verdict.py",
            "ir/decision.py",
            "ir/plan.py",
            "ir/run_options.py",
            "report/formats.py",
            "report/rasters.py",
            "report/sections.py",
        ),
        "is still to be written",
    ),
}
"""Files whose public functions may leave it out, and why."""


@cache
def parsed(file: str) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse((PACKAGE / file).read_text())


def functions(body: list[Any]) -> Iterator[ast.FunctionDef]:
    """Give the public functions of a module or class."""
    return (node for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"))


def classes(file: str) -> Iterator[ast.ClassDef]:
    """Give the public classes of a file."""
    return (node for node in parsed(file).body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))


def overrides(base: ast.expr, name: str) -> bool:
    """Tell whether a method's meaning is said where the class comes from: in a base of ours, or outside the package."""
    called = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
    own = [of for file in FILES for of in classes(file) if of.name == called]
    return any(method.name == name for of in own for method in functions(of.body)) or (not own and called != "Protocol")


def speaking(file: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Give the public functions and methods of a file that have to say their parameters themselves, with their names.

    Commands say them in their options, and a method that overrides another where that is.
    """
    for function in functions(parsed(file).body):
        if not any("click" in ast.unparse(decorator) for decorator in function.decorator_list):
            yield function.name, function
    for of in classes(file):
        for method in functions(of.body):
            if not any(overrides(base, method.name) for base in of.bases):
                yield f"{of.name}.{method.name}", method


def parameters(function: ast.FunctionDef) -> list[str]:
    """Return the names of a function's parameters."""
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


def without_args(file: str) -> list[str]:
    """Return the functions of a file that do not say what their parameters are."""
    return [
        name
        for name, function in speaking(file)
        if len(parameters(function)) >= FROM and "Args:" not in (ast.get_docstring(function) or "")
    ]


def begins_well(file: str) -> bool:
    """Tell whether a file's docstring says what is in it, and not "What ..."."""
    said = ast.get_docstring(parsed(file))
    return bool(said) and not str(said).startswith("What")


def n_lines(file: str) -> int:
    """Return the lines of a file."""
    return len((PACKAGE / file).read_text().splitlines())


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_short(file: str) -> None:
    assert n_lines(file) <= MOST_LINES


@pytest.mark.parametrize("file", FILES)
def test_a_files_docstring_says_what_is_in_it(file: str) -> None:
    assert begins_well(file) or file in BEGIN_WITH_WHAT


@pytest.mark.parametrize("file", FILES)
def test_public_functions_of_many_parameters_say_what_they_are(file: str) -> None:
    assert not without_args(file) or file in WITHOUT_ARGS


def test_nine_functions_in_ten_are_short() -> None:
    spans = sorted(
        int(node.end_lineno or 0) - node.lineno + 1
        for file in FILES
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.FunctionDef)
    )
    assert spans[9 * len(spans) // 10] <= MOST_LINES_P90


def test_no_exception_outlives_its_reason() -> None:
    assert {file for file in BEGIN_WITH_WHAT if file not in FILES or begins_well(file)} == set()
    assert {file for file in WITHOUT_ARGS if file not in FILES or not without_args(file)} == set()
