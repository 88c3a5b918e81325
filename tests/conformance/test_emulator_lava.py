"""Emulator == Lava on compiled networks of every kind that compiles, through Lava's real runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.compiler import compile
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import SAME_STEP, chain_edges, cuba, lif, save_nir, spikes

RECORD = RunOptions(record=("spikes", "u", "v"))


def hetero_model(path: Path, rng: np.random.Generator) -> Path:
    """Return a net whose neurons all differ in decay and threshold, with large biases of both signs."""
    neuron = cuba((7,))
    neuron.tau_mem = neuron.tau_mem * rng.uniform(0.6, 3, 7)
    neuron.r = neuron.tau_mem / 1e-4
    neuron.v_threshold = rng.uniform(0.5, 2, 7)
    nodes = {
        "input": nir.Input({"input": np.array([5])}),
        "fc1": nir.Affine(rng.normal(0, 0.7, (7, 5)).astype(np.float32), rng.normal(0, 0.3, 7).astype(np.float32)),
        "lif1": neuron,
        "fc2": nir.Affine(rng.normal(0, 0.7, (3, 7)).astype(np.float32), rng.normal(0, 0.5, 3).astype(np.float32)),
        "lif2": lif((3,), 0.6),
        "output": nir.Output({"output": np.array([3])}),
    }
    return save_nir(path, nodes, chain_edges("input", "fc1", "lif1", "fc2", "lif2", "output"), SAME_STEP)


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("kind", ["fc_model", "recurrent_model", "conv_model", "hetero"])
def test_emulator_is_lava_in_spikes_and_states(
    kind: str, bits: int, request: pytest.FixtureRequest, tmp_path: Path, rng: np.random.Generator
) -> None:
    if (reason := Lava().missing()) is not None:
        pytest.skip(reason)
    get: Callable[[str], Path] = request.getfixturevalue
    model = hetero_model(tmp_path / "m.nir", rng) if kind == "hetero" else get(kind)
    program = compile(model, "loihi2", weight_bits=bits)
    inputs = {name: spikes(rng, 25, 3, *shape) for name, shape in program.inputs.items()}
    lava = Lava().run(program, inputs, RECORD)
    emulator = Emulator().run(program, inputs, RunOptions(record=RECORD.record, arithmetic="lava"))
    for node, observed in lava.nodes.items():
        assert observed["spikes"].any()
        for key, values in observed.items():
            np.testing.assert_array_equal(values, emulator.nodes[node][key], err_msg=f"{node} {key}")
