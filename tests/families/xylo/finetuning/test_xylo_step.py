"""The torch forward pass is the definition: all registers of random configurations of every kind are equal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurodeploy.families.xylo import definition, kernel  # noqa: E402
from neurodeploy.families.xylo.codes import NO_ALIAS, STATE_MAX, XyloCodes, XyloRun  # noqa: E402
from neurodeploy.families.xylo.finetuning import step as step_module  # noqa: E402
from neurodeploy.families.xylo.finetuning.step import Rows, run  # noqa: E402
from tests.families.xylo.configurations import KINDS, Case, draw, reached  # noqa: E402

CASES = 40
LACKING = ("an alias", "a chain of aliases", "a threshold of 0 or below", "v at its top")
"""What needs an alias, or a threshold below 1: v at its top would have fired."""


def trainable(seed: int) -> Case:
    """Return a random configuration without what no program has: aliases, and thresholds of 0 or below."""
    case = draw(seed)
    codes = case.codes
    hidden, outputs = (
        replace(neurons, threshold_code=np.maximum(neurons.threshold_code, 1))
        for neurons in (codes.hidden, codes.outputs)
    )
    alias = np.full(codes.hidden.size, NO_ALIAS)
    return replace(case, codes=replace(codes, hidden=hidden, outputs=outputs, alias=alias))


def in_torch(codes: XyloCodes, inputs: np.ndarray) -> XyloRun:
    with torch.no_grad():
        hidden, outputs = run(codes, torch.as_tensor(inputs.astype(np.float64)))

    def arrays(rows: Rows) -> list[np.ndarray]:
        whole = (rows.fired, rows.i, rows.v)
        assert all(bool((one == one.round()).all()) for one in whole)
        return [one.numpy() for one in whole]

    return XyloRun(*arrays(hidden), *arrays(outputs))


@pytest.mark.parametrize("seed", range(CASES))
def test_random_configurations_run_as_compiled(seed: int) -> None:
    case = trainable(seed)
    assert not in_torch(case.codes, case.inputs).differences(kernel.run(case.codes, case.inputs))


@pytest.mark.parametrize("seed", range(len(KINDS)))
def test_one_configuration_of_each_kind_runs_as_defined(seed: int) -> None:
    case = trainable(seed)
    assert not in_torch(case.codes, case.inputs).differences(definition.run(case.codes, case.inputs))


def test_random_configurations_reach_all_that_a_program_can() -> None:
    cases = [trainable(seed) for seed in range(CASES)]
    found = [reached(case, kernel.run(case.codes, case.inputs)) for case in cases]
    missed = {what for what in found[0] if not any(one[what] for one in found)}
    assert {what for what in missed if not what.startswith(LACKING)} == set()


def test_sums_that_saturate_on_the_way_are_added_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in map(trainable, range(CASES)) if case.kind == "saturating")
    expected = kernel.run(case.codes, case.inputs)
    monkeypatch.setattr(step_module, "STATE_MAX", 2.0 * STATE_MAX * len(case.codes.weight_in) * 255)
    assert in_torch(case.codes, case.inputs).differences(expected)


@pytest.mark.parametrize("wrong", ["alias", "threshold"])
def test_what_no_program_has_is_refused(wrong: str) -> None:
    codes = trainable(0).codes
    if wrong == "alias":
        codes = replace(codes, alias=np.zeros(codes.hidden.size, np.int64))
    else:
        codes = replace(codes, hidden=replace(codes.hidden, threshold_code=np.zeros(codes.hidden.size, np.int64)))
    with pytest.raises(ValueError, match="cannot be trained with"):
        run(codes, torch.zeros((3, 2, codes.n_in), dtype=torch.float64))
