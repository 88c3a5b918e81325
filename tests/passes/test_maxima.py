"""The largest of currents, taken by rectifiers."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.compiler import compile_with_plan
from neurodeploy.data import Data
from neurodeploy.errors import DeployError
from neurodeploy.network import Network, Population, Projection
from neurodeploy.passes.maxima import rectify, widest
from neurodeploy.rule import NeuronRule
from neurodeploy.scoring import agreement
from neurodeploy.synapses import Conv2d, Flatten, Linear, MaxPool2d


def pooled(rng: np.random.Generator, kernel: tuple[int, int] = (2, 2), stride: tuple[int, int] = (2, 2)) -> Network:
    """Return 1x9x9 -> convolution, maxima -> LIF -> dense -> LIF."""
    rule = NeuronRule(reset="value")
    pool = MaxPool2d(kernel, stride)
    shape = pool.output_shape((3, 7, 7))
    size = int(np.prod(shape))
    conv = Conv2d(rng.normal(0, 0.5, (3, 1, 3, 3)), rng.normal(0, 0.1, 3).astype(np.float32))
    return Network(
        {"input": (1, 9, 9)},
        (
            Population("a", shape, rule, decay_mem=np.full(shape, 0.5), threshold=np.ones(shape)),
            Population("b", (5,), rule, decay_mem=np.full(5, 0.5), threshold=np.ones(5)),
        ),
        (
            Projection("input", "a", (conv, pool)),
            Projection("a", "b", (Flatten(), Linear(rng.normal(0, 0.4, (5, size))))),
        ),
        ("b",),
        1e-3,
        "snntorch",
    )


@pytest.mark.parametrize(("kernel", "stride"), [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 2)), ((1, 5), (1, 1))])
def test_rectified_network_computes_the_maxima(
    kernel: tuple[int, int], stride: tuple[int, int], rng: np.random.Generator
) -> None:
    network = pooled(rng, kernel, stride)
    x = {"input": rng.random((12, 4, 1, 9, 9)).astype(np.float32)}
    spikes = Reference().run(network, x, RunOptions())
    made = rectify(network, widest(network, x))
    assert len(made.steps) == kernel[0] * kernel[1] - 1
    ours = Reference().run(made.network, x, RunOptions())
    assert agreement(spikes.spikes("a"), ours.spikes("a")) > 0.97


def test_chip_takes_maxima_with_populations_that_help(rng: np.random.Generator) -> None:
    network = pooled(rng)
    x = {"input": rng.random((12, 8, 1, 9, 9)).astype(np.float32)}
    options = {"rounding": "learned", "per_channel": True, "correct": ("bias", "threshold")}
    program = compile_with_plan(network, "loihi2", calibrate=Data(x, None, "random"), **options).program
    assert [p.name for p in program.populations if p.helps.startswith("takes the largest")] == [
        "a.maximum.0", "a.maximum.1", "a.maximum.2",
    ]  # fmt: skip
    emulated = Emulator().run(program, x, RunOptions())
    assert set(emulated.nodes) == {"a", "b"}
    reference = Reference().run(network, x, RunOptions())
    assert agreement(reference.spikes("a"), emulated.spikes("a")) > 0.95


def test_chip_without_counts_is_refused_with_the_nearest(rng: np.random.Generator) -> None:
    with pytest.raises(DeployError, match=r"pools maxima of currents(?s:.*)target loihi2(?s:.*)AvgPool2d"):
        compile_with_plan(pooled(rng), "loihi1")
