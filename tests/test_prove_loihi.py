"""The comparison with nengo-loihi and brian2-loihi: what it draws, excuses and finds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LOIHI

ROOT = Path(__file__).parents[1]
JUDGES_PYTHON = ROOT / ".venv-loihi" / "bin" / "python"


@pytest.fixture(scope="module")
def prove() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prove_loihi", ROOT / "tools" / "prove_loihi.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prove_loihi"] = module
    spec.loader.exec_module(module)
    return module


def traced(prove: ModuleType, seed: int, judge: str) -> tuple[Any, dict[str, np.ndarray], dict[str, int]]:
    """Return a drawn program's twin as a judge's traces, and the known differences that it meets."""
    program, x = prove.draw(seed, judge)
    traces = definition.run(program, {"in": x[:, np.newaxis]}, LOIHI)
    own = {f"{p.name}/{k}": getattr(traces, k)[p.name][:, 0] for p in program.populations for k in ("spikes", "u", "v")}
    return traces, own, prove.limits_met(program, traces, judge)


@pytest.mark.parametrize("judge", ["nengo", "brian"])
def test_most_programs_meet_no_known_difference_and_some_do(prove: ModuleType, judge: str) -> None:
    met = [bool(traced(prove, seed, judge)[2]) for seed in range(40)]
    assert 1 <= sum(met) <= 20


def test_a_judge_that_differs_is_excused_from_the_limit_on_and_not_before(
    prove: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = next(s for s in range(100) if (met := traced(prove, s, "nengo")[2]) and 0 < min(met.values()) < 70)
    _, own, met = traced(prove, seed, "nengo")
    row = min(met.values())
    for changed, unexplained in ((None, 0), (row, 0), (row - 1, 1)):
        theirs = {f"{seed}/{key}": values.copy() for key, values in own.items()}
        if changed is not None:
            theirs[f"{seed}/p0/v"][changed, 0] += 1
        monkeypatch.setattr(prove, "judged", lambda *_, theirs=theirs: theirs)
        counts, wrong = prove.compare(Path("none"), "nengo", range(seed, seed + 1))
        assert len(wrong) == unexplained
        assert counts["equal"] == (changed is None)
        assert counts.total() == 1 - unexplained


@pytest.mark.parametrize("judge", ["nengo", "brian"])
def test_the_judges_compute_what_we_do(prove: ModuleType, judge: str) -> None:
    if not JUDGES_PYTHON.exists():
        pytest.skip("no environment of nengo-loihi and brian2-loihi; tools/prove-loihi makes it")
    counts, wrong = prove.compare(JUDGES_PYTHON, judge, range(5))
    assert not wrong
    assert counts["equal"] > 0
