"""The torch forward pass is the emulator: spikes, u and v of random programs of every kind are equal."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurodeploy.families.loihi import definition  # noqa: E402
from neurodeploy.families.loihi.arithmetic import LAVA, LOIHI, Arithmetic  # noqa: E402
from neurodeploy.families.loihi.finetuning.integer import IntegerNetwork  # noqa: E402
from tests.conformance.programs import census, draw  # noqa: E402


def unequal(seed: int, n_programs: int, arithmetic: Arithmetic) -> list[str]:
    program, inputs = draw(seed, n_programs)
    expected = definition.run(program, {name: values.astype(np.int64) for name, values in inputs.items()}, arithmetic)
    with torch.no_grad():
        network = IntegerNetwork(program, arithmetic.name)
        found = network.run({name: torch.as_tensor(values.astype(np.float64)) for name, values in inputs.items()})
    wrong = []
    for name, trace in found.items():
        for key, ours, theirs in (
            ("spikes", trace.fired, expected.spikes),
            ("u", trace.u, expected.u),
            ("v", trace.v, expected.v),
        ):
            if not np.array_equal(ours.numpy(), theirs[name]):
                wrong.append(f"{name} {key}")
    return wrong


@pytest.mark.parametrize("arithmetic", [LAVA, LOIHI], ids=lambda a: a.name)
def test_random_programs_run_as_in_the_emulator(arithmetic: Arithmetic) -> None:
    assert not unequal(0, 60, arithmetic)


def test_random_programs_are_of_all_kinds() -> None:
    kinds = census(draw(0, 60)[0])
    for kind in ("LIF", "LIFReset", "TernaryLIF", "custom", "dense", "sparse", "conv", "delayed", "graded"):
        assert kinds[kind] > 4, kinds


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2000, 2500, 100))
def test_hundreds_of_random_programs_run_as_in_the_emulator(seed: int) -> None:
    assert not unequal(seed, 100, LOIHI)
