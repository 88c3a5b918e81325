"""The first layers on the host in float: the chip gets their spikes, and everything else is as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from neurodeploy.backends.host import run_float, spike_inputs
from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.ir.host import data_inputs, entering, from_arrays, split, to_arrays
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.synapses import Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Sparse
from tests.families.loihi.test_exactness import ZERO

RNG = np.random.default_rng(4)


def network(hidden: Any = ZERO) -> Network:
    """Return a convolution with a maximum of currents, a loop, and a layer that is read."""
    first = Population("a", (3, 3, 3), hidden, np.float32(0.9), np.float32(1.0))
    second = Population("b", (12,), ZERO, np.float32(0.5), np.float32(1.0))
    third = Population("c", (4,), ZERO, np.float32(0.5), np.float32(1.0))
    conv = Conv2d(RNG.normal(0, 1, (3, 2, 3, 3)), RNG.normal(0, 0.1, 3), padding=(1, 1))
    full = Sparse(sparse.csc_array(RNG.normal(0, 0.2, (12, 12)) * (RNG.random((12, 12)) < 0.5)))
    projections = (
        Projection("in", "a", (conv, MaxPool2d((2, 2), (2, 2)))),
        Projection("a", "b", (Flatten(), Linear(RNG.normal(0.1, 0.4, (12, 27)), RNG.normal(0, 0.1, 12)))),
        Projection("b", "b", (full,), 1),
        Projection("b", "c", (Linear(RNG.normal(0.1, 0.4, (4, 12))),)),
    )
    return Network({"in": (2, 6, 6)}, (first, second, third), projections, ("c",), 1e-3, "snntorch")


def data() -> Data:
    return Data({"in": RNG.normal(0, 1, (15, 6, 2, 6, 6)).astype(np.float32)}, None, "test")


@pytest.mark.parametrize(("layers", "left"), [(1, ["b", "c"]), (2, ["c"]), ("auto", ["b", "c"])])
def test_the_parts_together_compute_what_the_whole_does(layers: int | str, left: list[str]) -> None:
    whole, x = network(), data().x
    host, chip = split(whole, layers)
    assert [population.name for population in chip.populations] == left
    expected, found = run(whole, x), run(chip, entering(host, chip.inputs, x, run_float))
    assert expected.spikes("c").any()
    for node in left:
        np.testing.assert_array_equal(found.spikes(node), expected.spikes(node))


@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
def test_a_program_takes_the_models_input_and_says_what_the_host_does(target: str, tmp_path: Path) -> None:
    whole = network()
    program = compile(whole, target, host="auto", calibrate=data())
    assert data_inputs(program) == whole.inputs
    assert list(program.inputs) == ["a"]
    assert program.message_bits == {}
    assert program.provenance["host"] == ["a"]
    assert program.provenance["network_sha256"] == whole.digest()
    assert "the host runs a in float" in program.warnings[0]
    x = data().x
    reference = run(whole, x)
    np.testing.assert_array_equal(spike_inputs(program, x)["a"], reference.spikes("a"))
    chip = run(program, x, backend="emulator")
    assert np.mean(chip.spikes("b") == reference.spikes("b")) > 0.97
    save_program(program, tmp_path / "p.npz")
    again = run(load_program(tmp_path / "p.npz"), x, backend="emulator")
    np.testing.assert_array_equal(again.spikes("c"), chip.spikes("c"))


def test_counts_of_the_host_are_messages() -> None:
    whole = network(replace(ZERO, reset="subtract", max_spikes=None))
    program = compile(whole, "loihi2", host=1, calibrate=data())
    x = data().x
    reference = run(whole, x)
    assert reference.spikes("a").max() > 1
    scaled = spike_inputs(program, x)["a"] / program.input_scale["a"]
    np.testing.assert_array_equal(scaled, reference.spikes("a"))


def test_spikes_need_no_host() -> None:
    whole = network()
    projection = replace(whole.projections[0], ops=(whole.projections[0].ops[0], Pool2d((2, 2), (2, 2))))
    whole = replace(whole, projections=(projection, *whole.projections[1:]))
    spikes = Data({"in": (RNG.random((10, 4, 2, 6, 6)) < 0.3).astype(np.uint8)}, None, "test")
    assert compile(whole, "loihi1", host="auto", calibrate=spikes).host is None
    assert compile(whole, "loihi1", host=1, calibrate=spikes).host is not None


@pytest.mark.parametrize("layers", [0, 3, -1, "all"])
def test_numbers_of_layers_that_there_are_not_are_refused(layers: int | str) -> None:
    with pytest.raises(DeployError, match="but the network has 3 layers"):
        split(network(), layers)


def test_an_output_stays_on_the_chip() -> None:
    with pytest.raises(DeployError, match="output a would run on the host"):
        split(replace(network(), outputs=("a", "c")), 1)


def test_what_files_hold_is_the_same_network() -> None:
    host, _ = split(network(), 2)
    assert from_arrays(*to_arrays(host)).digest() == host.digest()
