"""Emulator == XyloSim in every register, on compiled networks of every kind that compiles for a Xylo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.xylosim.backend import XyloSim
from neurodeploy.compiler import compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Conv2d, Linear
from tests.families.xylo.networks import biased, chain, data, integrating, population, recurrent, skipping

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("xylosim")]

RECORD = RunOptions(record=("spikes", "u", "v"))


def shaped(flat: Population, shape: tuple[int, ...]) -> Population:
    """Return a population whose neurons are all alike in another shape."""
    alike = {
        key: values.ravel()[:1].reshape(1)
        for key in Population.__slots__
        if isinstance(values := getattr(flat, key), np.ndarray)
    }
    return replace(flat, shape=shape, **alike)


def convolving() -> Network:
    """Return a convolution over a map of 4 by 4, whose weights are written out, and an output of its map."""
    rng = np.random.default_rng(2)
    kept = {"keep_syn": 0.8, "keep_mem": 0.9}
    hidden = shaped(population("conv", 8, **kept), (2, 2, 2))
    out = shaped(population("out", 2, **kept, most=1), (2, 1, 1))
    projections = (
        Projection("image", "conv", (Conv2d(rng.normal(0.15, 0.2, (2, 1, 3, 3))),)),
        Projection("conv", "out", (Conv2d(rng.normal(0.15, 0.2, (2, 2, 2, 2))),)),
    )
    return Network({"image": (1, 4, 4)}, (hidden, out), projections, ("out",), 1e-3, "test")


def two_inputs() -> Network:
    """Return a network with a second input, which reaches the second layer alone."""
    network = chain((6, 12, 8, 4), keep_syn=0.9, keep_mem=0.95)
    weight = np.random.default_rng(4).normal(0.1, 0.1, (8, 3))
    other = Projection("other", "layer1", (Linear(weight),))
    return replace(network, inputs={**network.inputs, "other": (3,)}, projections=(*network.projections, other))


KINDS: dict[str, Callable[[], Network]] = {
    "feed-forward": lambda: chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95),
    "two hidden layers": lambda: chain((6, 12, 8, 4), keep_syn=0.8, keep_mem=0.9),
    "recurrent": recurrent,
    "skips by relays": skipping,
    "biases": biased,
    "potentials": integrating,
    "two inputs": two_inputs,
    "convolution": convolving,
}


def assert_equal(program: Program, inputs: dict[str, np.ndarray]) -> None:
    """Hold all registers of all nodes to be equal, and every node to do something."""
    theirs, ours = XyloSim().run(program, inputs, RECORD), Emulator().run(program, inputs, RECORD)
    assert set(theirs.nodes) == set(ours.nodes) == set(program.nodes)
    for node, observed in theirs.nodes.items():
        assert set(observed) == set(ours.nodes[node])
        assert any(values.any() for values in observed.values()), node
        for key, values in observed.items():
            assert values.dtype == ours.nodes[node][key].dtype
            np.testing.assert_array_equal(values, ours.nodes[node][key], err_msg=f"{node} {key}")


@pytest.mark.parametrize("calibrated", [False, True], ids=["plain", "calibrated"])
@pytest.mark.parametrize("kind", KINDS)
def test_emulator_is_xylosim_and_plan_and_file_give_the_program_again(
    kind: str, calibrated: bool, tmp_path: Path
) -> None:
    network = KINDS[kind]()
    given = data(network, seed=6) if calibrated else None
    found = compile_with_plan(network, "xylo-audio3", calibrate=given, allow_silent=True)
    assert_equal(found.program, data(network))
    again = compile_with_plan(network, "xylo-audio3", plan=found.plan, calibrate=given, allow_silent=True)
    paths = [tmp_path / "first.npz", tmp_path / "again.npz"]
    for path, one in zip(paths, (found, again), strict=True):
        save_program(one.program, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert_equal(load_program(paths[0]), data(network))


@pytest.mark.parametrize("chip", ["xylo-audio2", "xylo-audio3", "xylo-imu"])
def test_emulator_is_xylosim_on_each_chip(chip: str) -> None:
    network = chain((6, 12, 8, 4), keep_syn=0.9, keep_mem=0.95)
    assert_equal(compile_with_plan(network, chip).program, data(network))


def test_counts_of_input_are_met() -> None:
    network = chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95)
    program = compile_with_plan(network, "xylo-audio2").program
    counts = np.random.default_rng(8).integers(0, 16, (30, 4, 6)).astype(np.int32)
    assert counts.max() == 15
    assert_equal(program, {"input": counts})


@pytest.mark.parametrize("value", [16, 300, -1, 0.5, np.nan, np.inf])
def test_what_is_no_count_is_refused_by_both(value: float) -> None:
    network = chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95)
    program = compile_with_plan(network, "xylo-audio2").program
    counts = np.zeros((30, 4, 6), np.float32)
    counts[3, 1, 2] = value
    for backend in (Emulator(), XyloSim()):
        with pytest.raises(DeployError, match=r"counts 0 to 15 spikes"):
            backend.run(program, {"input": counts}, RECORD)
