"""One weight, or channels of very different size, take nothing from the other neurons; and what is given up is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.coding.data_file import load_data
from neurodeploy.coding.scoring import agreement
from neurodeploy.compiler import compile_with_plan
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Conv2d, Linear, Sparse
from tests.conftest import SHARED, told

CASE = SHARED / "cases" / "chip" / "channels-1000x"
RESETS = {"zero": NeuronRule(), "subtract": NeuronRule(reset="subtract")}


def layer(op: Any, threshold: Any = 1.0, reset: str = "zero", inputs: tuple[int, ...] = (100,)) -> Network:
    """Return one layer behind an input, of neurons that keep 0.9 of v."""
    n = (op.weight.shape[0],) if not isinstance(op, Conv2d) else op.output_shape(inputs)
    population = Population("a", n, RESETS[reset], np.float32(0.9), np.asarray(threshold, np.float32))
    return Network({"in": inputs}, (population,), (Projection("in", "a", (op,)),), ("a",), 1e-3, "nir")


def weights(n: int = 50, n_in: int = 100, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.02, 0.3, (n, n_in)).astype(np.float32)


def shared(network: Network, program: Program, which: Any = slice(None), seed: int = 1) -> float:
    """Return the share of spikes that the chip has in common with the model, of some channels."""
    shape = network.inputs["in"]
    x = {"in": (np.random.default_rng(seed).random((60, 8, *shape)) < 0.13).astype(np.uint8)}
    reference, chip = (
        run(subject, x, backend=backend).spikes("a")
        for backend, subject in (("reference", network), ("emulator", program))
    )
    return agreement(reference[:, :, which], chip[:, :, which])


def said(program: Program) -> str:
    return " ".join(text for text in program.warnings if "scale of its own" in text or "clipped" in text)


OTHERS = [i for i in range(50) if i != 3]


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("outlier", [9.0, 30.0, 300.0, 1e4, -30.0, -300.0])
def test_one_outlier_takes_nothing_from_the_other_neurons(outlier: float, reset: str) -> None:
    weight = weights()
    weight[3, 7] = outlier
    network = layer(Linear(weight), reset=reset)
    whole = told(layer(Linear(weights()), reset=reset), "loihi2", scale="range", per_channel=False)
    program = told(network, "loihi2", allow_silent=True)
    assert shared(network, program, OTHERS) > 0.95
    assert shared(network, program, OTHERS) > shared(layer(Linear(weights()), reset=reset), whole, OTHERS) - 0.02
    assert "each channel has a scale of its own" in said(program)
    as_it_was = told(network, "loihi2", scale="range", per_channel=False, allow_silent=True)
    assert np.abs(as_it_was.projections[0].weight).argmax() == 3 * 100 + 7
    assert not said(as_it_was)


@pytest.mark.parametrize("outlier", [30.0, 300.0])
def test_a_neuron_whose_outlier_decides_alone_keeps_its_other_weights(outlier: float) -> None:
    weight = weights()
    weight[3, 7] = outlier
    network = layer(Linear(weight))
    program = told(network, "loihi2")
    assert "a weight" in said(program)
    assert "is clipped" in said(program)
    assert shared(network, program, [3]) > 0.9


@pytest.mark.parametrize("bits", [8, 4])
def test_with_one_scale_for_all_an_outlier_is_clipped_where_that_is_smaller_in_error(bits: int) -> None:
    weight = weights()
    weight[3, 7] = 300.0
    network = layer(Linear(weight))
    ranged, clipped = (
        told(network, "loihi2", weight_bits=bits, per_channel=False, scale=scale, allow_silent=True)
        for scale in ("range", None)
    )
    assert shared(network, ranged, OTHERS) < 0.1
    assert shared(network, clipped, OTHERS) > (0.9 if bits == 8 else 0.7)
    assert "clipped; if they were kept (--scale range)" in said(clipped)


def test_an_outlier_in_sparse_synapses_and_in_a_kernel_is_withstood() -> None:
    there = weights(64, 100) * (np.random.default_rng(5).random((64, 100)) < 0.2) * 2
    there[3, 7] = 300.0
    network = layer(Sparse(sparse.csc_array(there)))
    assert shared(network, told(network, "loihi2"), [i for i in range(64) if i != 3]) > 0.95
    kernels = np.random.default_rng(6).normal(0.03, 0.3, (6, 4, 3, 3)).astype(np.float32)
    kernels[2, 1, 0, 0] = 300.0
    network = layer(Conv2d(kernels, padding=(1, 1)), inputs=(4, 6, 6))
    assert shared(network, told(network, "loihi2"), [0, 1, 3, 4, 5]) > 0.95


@pytest.mark.parametrize("smallest", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("per_channel", [None, True])
def test_channels_of_any_size_fill_their_codes(smallest: float, per_channel: bool | None) -> None:
    size = np.geomspace(1, smallest, 50)
    network = layer(Linear(weights() * size[:, np.newaxis].astype(np.float32)), size)
    assert shared(network, told(network, "loihi2", per_channel=False, allow_silent=True)) < 0.9
    program = told(network, "loihi2", per_channel=per_channel)
    assert shared(network, program) > 0.96
    assert ("each channel" in said(program)) is (per_channel is None)


def test_a_channel_that_no_register_stretches_spoils_no_other() -> None:
    weight, threshold = weights(), np.ones(50)
    weight[3] *= 1e-6
    weight[4] *= 1e-3
    threshold[4] = 1e-3
    network = layer(Linear(weight), threshold)
    program = told(network, "loihi2", per_channel=True)
    assert shared(network, program, OTHERS) > 0.95
    assert program.populations[0].threshold_code.max() < 2**17


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_without_outliers_keep_one_scale(bits: int) -> None:
    network = layer(Linear(weights()))
    usual = compile_with_plan(network, "loihi2", weight_bits=bits)
    plain = compile_with_plan(
        network, "loihi2", weight_bits=bits, scale="range" if bits == 8 else "mse", per_channel=False
    )
    assert usual.plan == plain.plan
    assert not said(replace(usual.program, warnings=usual.said))


def test_the_plan_of_clipped_and_stretched_weights_gives_the_program_back() -> None:
    weight = weights()
    weight[3, 7] = 300.0
    one = compile_with_plan(layer(Linear(weight)), "loihi2")
    two = compile_with_plan(layer(Linear(weight)), "loihi2", plan=one.plan)
    assert two.plan == one.plan
    np.testing.assert_array_equal(two.program.projections[0].weight, one.program.projections[0].weight)
    assert one.said
    assert two.program.warnings == one.program.warnings


@pytest.mark.parametrize("per_channel", [None, True])
def test_the_case_of_channels_that_differ_a_thousandfold_shares_its_spikes(per_channel: bool | None) -> None:
    if not CASE.is_dir():
        pytest.skip("no cases of chips beside the repository (shared/data/cases)")
    network = read_network(CASE / "model.nir", "nir,dt=1,gain=unit")[0]
    x = load_data(CASE / "data.npz", network.inputs).x
    program = told(network, "loihi2", per_channel=per_channel)
    reference, chip = run(network, x).spikes("lif1"), run(program, x, backend="emulator").spikes("lif1")
    assert agreement(reference, chip) > 0.97


def test_calibration_makes_up_for_nothing_that_was_given_up() -> None:
    weight = weights()
    weight[3, 7] = 300.0
    network = layer(Linear(weight))
    data = Data({"in": (np.random.default_rng(4).random((60, 16, 100)) < 0.13).astype(np.uint8)}, None, "")
    options: dict[str, Any] = {"rounding": "learned", "scale": "mse", "correct": ("bias", "threshold")}
    program = told(network, "loihi2", calibrate=data, per_channel=True, **options)
    assert "is clipped" in said(program)
    assert shared(network, program, OTHERS) > 0.95
    assert shared(network, program, [3]) > 0.9
