"""The largest of currents, taken by rectifiers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import agreement
from neurodeploy.compiler import compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Conv2d, Flatten, Linear, MaxPool2d, Scale
from neurodeploy.passes.maxima import rectify, widest, with_realised_steps


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


def test_a_bound_without_data_is_twice_the_largest_kernel_and_data_gives_the_largest_window() -> None:
    kernel = np.zeros((3, 1, 3, 3), np.float32)
    kernel[0, 0, 0, :2] = 1.0, -2.0
    kernel[2, 0, 1, 1] = 1.0
    network = pooled(np.random.default_rng(0))
    (first, second) = network.projections
    first = replace(first, ops=(replace(first.ops[0], weight=kernel, bias=None), first.ops[1]))  # type: ignore[type-var]
    network = replace(network, projections=(first, second))
    assert widest(network, None) == {first: 6.0}
    x = np.zeros((4, 2, 1, 9, 9), np.float32)
    x[2, 1, 0, 0, 1] = 1.0  # channel 0 is -2 and 1 beside each other, channel 2 is 1 beside 0
    assert widest(network, {"input": x}) == {first: 3.0}


def test_rectifiers_leave_with_the_step_that_they_have_on_the_chip(rng: np.random.Generator) -> None:
    network = pooled(rng)
    made = rectify(network, widest(network, None)).network
    leaving = tuple(p for p in made.projections if p.source == "a.maximum.0")
    assert leaving
    found = with_realised_steps(made.projections, "a.maximum.0", 0.5, 0.25)
    assert tuple(found) == leaving
    for before, after in found.items():
        assert isinstance(before.ops[0], Scale)
        assert isinstance(after.ops[0], Scale)
        np.testing.assert_allclose(after.ops[0].scale, before.ops[0].scale / 2)
        assert after.ops[1:] == before.ops[1:]


@pytest.mark.parametrize(
    ("pools", "what"),
    [
        ((MaxPool2d((3, 3), (3, 3), (1, 1)),), "with padding"),
        ((MaxPool2d((2, 2), (1, 1)), MaxPool2d((2, 2), (2, 2))), "twice"),
    ],
)
def test_windows_with_padding_or_of_windows_are_refused(
    pools: tuple[MaxPool2d, ...], what: str, rng: np.random.Generator
) -> None:
    network = pooled(rng)
    (first, second) = network.projections
    first = replace(first, ops=(first.ops[0], *pools))
    with pytest.raises(DeployError, match=f"input -> a pools maxima of values {what}"):
        rectify(replace(network, projections=(first, second)), {first: 1.0})
