from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.families.xylo import definition, kernel
from neurodeploy.families.xylo.codes import XyloCodes, XyloNeurons
from tests.families.xylo.configurations import KINDS, draw


@pytest.mark.parametrize("kind", KINDS)
def test_kernel_is_the_definition(kind: str) -> None:
    for seed in range(KINDS.index(kind), 80, len(KINDS)):
        case = draw(seed)
        found = kernel.run(case.codes, case.inputs)
        assert found.differences(definition.run(case.codes, case.inputs)) == {}, f"seed {seed}"


def test_threads_change_nothing() -> None:
    case = draw(5)
    many = np.repeat(case.inputs, 20, axis=1)
    assert kernel.run(case.codes, many, threads=1).differences(kernel.run(case.codes, many, threads=4)) == {}


@pytest.mark.parametrize(
    ("n_steps", "n_samples", "n_in", "n_out"), [(0, 2, 3, 2), (5, 0, 3, 2), (5, 2, 0, 2), (5, 1, 3, 0)]
)
def test_nothing_of_a_kind_is_no_trouble(n_steps: int, n_samples: int, n_in: int, n_out: int) -> None:
    hidden = XyloNeurons(np.full((2, 4), 3), np.full(4, 2), np.full(4, 50), np.full(4, 20))
    outputs = XyloNeurons(np.full((1, n_out), 3), np.full(n_out, 2), np.full(n_out, 50), np.full(n_out, 0))
    codes = XyloCodes(
        np.full((n_in, 2, 4), 9), np.full((4, 2, 4), 9), np.full((4, 1, n_out), 9), 1, 1, 1, hidden, outputs, [-1] * 4
    )
    inputs = np.ones((n_steps, n_samples, n_in), np.uint8)
    assert kernel.run(codes, inputs).differences(definition.run(codes, inputs)) == {}
