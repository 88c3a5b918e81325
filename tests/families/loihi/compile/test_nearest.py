"""What a chip lacks is refused with the cost of the nearest form, measured."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.coding.data import Data
from neurodeploy.compiler import compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Conv2d, Flatten, Linear, MaxPool2d


def network(rng: np.random.Generator, *middle: MaxPool2d) -> Network:
    """Return 1x8x8 -> convolution -> neurons that subtract -> dense -> neurons that subtract."""
    rule = NeuronRule(reset="subtract", reset_delay=True)
    shape = (2, 3, 3) if middle else (2, 6, 6)
    into = (Conv2d(rng.normal(0, 0.5, (2, 1, 3, 3))), *middle)
    out = (Flatten(), Linear(rng.normal(0, 0.5, (4, int(np.prod(shape))))))
    populations = (
        Population("a", shape, rule, decay_mem=np.full(shape, 0.9), threshold=np.ones(shape)),
        Population("b", (4,), rule, decay_mem=np.full(4, 0.9), threshold=np.ones(4)),
    )
    projections = (Projection("input", "a", into), Projection("a", "b", out))
    return Network({"input": (1, 8, 8)}, populations, projections, ("b",), 1e-3, "snntorch")


@pytest.mark.parametrize("is_real", [False, True])
@pytest.mark.parametrize("pools", [(), (MaxPool2d((2, 2), (2, 2)),)])
def test_refusal_says_what_the_nearest_form_costs(
    pools: tuple[MaxPool2d, ...], is_real: bool, rng: np.random.Generator
) -> None:
    x = rng.random((10, 6, 1, 8, 8)).astype(np.float32)
    data = Data({"input": x if is_real else (x < 0.4).astype(np.uint8)}, None, "calibration")
    with pytest.raises(DeployError) as caught:
        compile_with_plan(network(rng, *pools), "loihi1", calibrate=data)
    said = "--host auto --approximate" if is_real else "(--approximate)"
    assert said in caught.value.fix
    assert "What the nearest form costs before any training" in caught.value.fix
    assert "calibration samples spikes in common: " in caught.value.fix
    assert ("averages currents" in caught.value.fix) == (bool(pools) and not is_real)
