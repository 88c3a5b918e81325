"""Compiling: rows stay the model's rows, codes fit, and what a chip cannot do is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import SAME_STEP, ZERO, chain_edges, cuba, lif, save_nir, small_chip, spikes


def exact_weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return weights that 8-bit codes hold exactly: multiples of 1/127 up to 1."""
    steps = rng.integers(-60, 61, shape)
    steps.flat[0] = 127
    return (steps / 127).astype(np.float32)


def both(model: Path, x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    network, _, _ = read_network(model)
    name = next(iter(network.inputs))
    reference = Reference().run(network, {name: x}, RunOptions())
    emulated = Emulator().run(compile(model, "loihi2"), {name: x}, RunOptions())
    return (
        {node: observed["spikes"] for node, observed in reference.nodes.items()},
        {node: observed["spikes"] for node, observed in emulated.nodes.items()},
    )


def test_codes_that_are_exact_give_the_references_spikes(tmp_path: Path, rng: np.random.Generator) -> None:
    """Biases, synaptic currents, recurrence, a skip connection and three layers of latency: all rows align."""
    nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "fc1": nir.Affine(exact_weights(rng, 10, 8), rng.normal(0.05, 0.05, 10).astype(np.float32)),
        "lif1": cuba((10,), 0.5, 0.75),
        "rec": nir.Linear(exact_weights(rng, 10, 10)),
        "fc2": nir.Affine(exact_weights(rng, 6, 10), rng.normal(0.0, 0.1, 6).astype(np.float32)),
        "lif2": lif((6,), 0.75),
        "fc3": nir.Affine(exact_weights(rng, 4, 6), rng.normal(0.0, 0.1, 4).astype(np.float32)),
        "skip": nir.Linear(exact_weights(rng, 4, 8)),
        "lif3": lif((4,), 0.5),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [
        *chain_edges("input", "fc1", "lif1", "fc2", "lif2", "fc3", "lif3", "output"),
        ("lif1", "rec"), ("rec", "lif1"), ("input", "skip"), ("skip", "lif3"),
    ]  # fmt: skip
    model = save_nir(tmp_path / "exact.nir", nodes, edges, SAME_STEP)
    reference, emulated = both(model, spikes(rng, 60, 5, 8))
    for node, raster in reference.items():
        assert raster.any()
        differing = np.argwhere(raster != emulated[node])
        assert not len(differing), f"{node} first differs at (t, sample, unit) {differing[0]}"


@pytest.mark.parametrize("order", ["decay-add", "add-decay", "add-use-decay"])
def test_every_order_of_a_synaptic_current_has_a_form_on_the_chip(
    tmp_path: Path, rng: np.random.Generator, order: str
) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "fc1": nir.Affine(exact_weights(rng, 10, 8), rng.normal(0.05, 0.05, 10).astype(np.float32)),
        "lif1": cuba((10,), 0.5, 0.75),
        "fc2": nir.Affine(exact_weights(rng, 4, 10), rng.normal(0.0, 0.1, 4).astype(np.float32)),
        "lif2": cuba((4,), 0.75, 0.5),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = chain_edges("input", "fc1", "lif1", "fc2", "lif2", "output")
    model = save_nir(tmp_path / "m.nir", nodes, edges, {**SAME_STEP, "order": order})
    reference, emulated = both(model, spikes(rng, 60, 5, 8))
    for node, raster in reference.items():
        assert raster.any()
        assert np.mean(raster != emulated[node]) < 0.002, node


@pytest.mark.parametrize("fixture", ["fc_model", "recurrent_model", "conv_model"])
def test_eight_bits_keep_nearly_all_spikes(
    fixture: str, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    model = request.getfixturevalue(fixture)
    network, _, _ = read_network(model)
    reference, emulated = both(model, spikes(rng, 40, 6, *next(iter(network.inputs.values()))))
    for node, raster in reference.items():
        assert raster.any()
        assert np.mean(raster != emulated[node]) < 0.05


def test_no_worst_case_overflows_unwarned(conv_model: Path) -> None:
    program = compile(conv_model, "loihi2")
    shape = program.inputs["input"]
    recording = Emulator().run(program, {"input": np.ones((50, 1, *shape), np.uint8)}, RunOptions())
    assert recording.counters["u_wraps"].sum() == 0
    if not program.warnings:
        assert recording.counters["v_clips"].sum() == 0


def test_a_clip_that_can_happen_is_said_and_counted(tmp_path: Path) -> None:
    ones = np.ones(2)
    nodes = {
        "input": nir.Input({"input": np.array([32])}),
        "fc": nir.Linear(-np.ones((2, 32), np.float32)),
        "if": nir.IF(r=ones, v_threshold=ones, v_reset=0 * ones),
        "output": nir.Output({"output": np.array([2])}),
    }
    model = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "fc", "if", "output"), SAME_STEP)
    program = compile(model, "loihi2")
    assert any("in 2 of 2 neurons v can reach its lower limit" in warning for warning in program.warnings)
    n_steps = 40
    recording = Emulator().run(program, {"input": np.ones((n_steps, 1, 32), np.uint8)}, RunOptions(record=("v",)))
    (projection,) = program.projections
    fall = -int(projection.row_sums()[0][0]) << 6 + projection.exponent
    lowest = int(recording.nodes["if"]["v"].min())
    n_clips = sum(t * fall > -lowest for t in range(1, n_steps + 1))
    assert 0 < n_clips < n_steps
    assert recording.counters["v_clips"].sum() == 2 * n_clips


def test_an_overflow_that_can_happen_is_said(tmp_path: Path, rng: np.random.Generator) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([4000])}),
        "fc": nir.Linear(np.ones((2, 4000), np.float32)),
        "lif": cuba((2,), 0.95, threshold=3000.0),
        "output": nir.Output({"output": np.array([2])}),
    }
    model = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "fc", "lif", "output"), SAME_STEP)
    program = compile(model, "loihi2")
    assert any("in 2 of 2 neurons u can wrap" in warning for warning in program.warnings)
    recording = Emulator().run(program, {"input": np.ones((20, 1, 4000), np.uint8)}, RunOptions())
    assert recording.counters["u_wraps"].sum() > 0


def test_programs_come_back_from_their_file(recurrent_model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    program = compile(recurrent_model, "loihi1")
    save_program(program, tmp_path / "p.npz")
    loaded = load_program(tmp_path / "p.npz")
    save_program(loaded, tmp_path / "q.npz")
    assert (tmp_path / "p.npz").read_bytes() == (tmp_path / "q.npz").read_bytes()
    x = {"input": spikes(rng, 30, 2, 6)}
    one, two = (Emulator().run(p, x, RunOptions()) for p in (program, loaded))
    for node in one.nodes:
        np.testing.assert_array_equal(one.spikes(node), two.spikes(node))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weight_bits_bound_the_number_of_codes(fc_model: Path, bits: int) -> None:
    for projection in compile(fc_model, "loihi2", weight_bits=bits).projections:
        assert len(np.unique(projection.weight)) <= 2**bits


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"reset": "subtract"}, "'lif1' needs a reset by subtraction in the next step, which Intel Loihi does not"),
        ({"reset": "none"}, "'lif1' needs a potential that no spike resets"),
        ({"reset": "zero", "reset_drops_input": True}, "'lif1' needs a reset that drops the next step's input"),
        ({"reset": "zero", "max_spikes": 0}, "'lif1' needs a count of any number of spikes a step"),
        ({"reset": "zero", "refractory": 63}, "'lif1' needs a refractory period of 63 steps"),
        ({"reset": "zero", "min_v_mem": -1}, "'lif1' needs a lower bound of its potential"),
    ],
)
def test_a_neuron_that_the_chip_has_not_is_refused(
    fc_model: Path, tmp_path: Path, rules: dict[str, object], message: str
) -> None:
    graph = nir.read(fc_model)
    model = save_nir(tmp_path / "other.nir", graph.nodes, graph.edges, rules)
    with pytest.raises(DeployError, match=message):
        compile(model, "loihi1")


def test_unknown_targets_and_widths_are_refused(fc_model: Path) -> None:
    with pytest.raises(DeployError, match="no target is called 'loihi9'"):
        compile(fc_model, "loihi9")
    with pytest.raises(DeployError, match="weight_bits is 9; Intel Loihi 2 stores 1 to 8 bits"):
        compile(fc_model, "loihi2", weight_bits=9)


def test_a_reset_to_another_value_is_a_shift(fc_model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    graph = nir.read(fc_model)
    for name in ("lif1", "lif2"):
        graph.nodes[name].v_reset = graph.nodes[name].v_threshold * 0.25
    model = save_nir(
        tmp_path / "shifted.nir", graph.nodes, graph.edges, {"reset": "value", "reset_delay": False, "v_init": 0.25}
    )
    reference, emulated = both(model, spikes(rng, 40, 6, 12))
    assert all(np.mean(reference[node] != emulated[node]) < 0.03 for node in reference)


def test_a_model_too_large_for_the_chip_is_refused_with_numbers(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([4, 384, 384])}),
        "conv": nir.Conv2d((384, 384), np.ones((8, 4, 1, 1), np.float32), 1, 0, 1, 1, np.zeros(8)),
        "lif": lif((8, 384, 384)),
        "output": nir.Output({"output": np.array([8, 384, 384])}),
    }
    model = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "conv", "lif", "output"), ZERO)
    with pytest.raises(DeployError, match=r"neurons: 1,179,648 needed, 1,048,576 available") as refusal:
        compile(model, "loihi2")
    assert "allow_oversize to run it on the emulator" in str(refusal.value)


def test_a_model_too_large_that_has_leave_is_compiled_with_a_warning(fc_model: Path, tmp_path: Path) -> None:
    program = compile(fc_model, small_chip(tmp_path, neurons_per_core=8), allow_oversize=True)
    assert program.warnings[0] == (
        "the network does not fit one Small chip chip (neurons: 13 needed, 8 available): emulator only"
    )


def test_what_a_chain_of_pools_took_is_said_where_it_does_not_fit(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([8, 12, 12])}),
        "pool": nir.AvgPool2d(np.array([3, 3]), np.array([1, 1]), np.array([1, 1])),
        "conv": nir.Conv2d((12, 12), np.ones((8, 8, 3, 3), np.float32), 1, 1, 1, 1, np.zeros(8)),
        "lif": lif((8, 12, 12)),
        "output": nir.Output({"output": np.array([8, 12, 12])}),
    }
    model = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "pool", "conv", "lif", "output"), ZERO)
    with pytest.raises(DeployError, match=r"input -> lif: Pool2d, Conv2d was written out as [\d,]+ synapses"):
        compile(model, small_chip(tmp_path))


@pytest.mark.parametrize("bits", [True, "8", 7.5])
def test_weight_bits_of_another_type_are_shown_as_they_are(fc_model: Path, bits: Any) -> None:
    with pytest.raises(DeployError, match=f"weight_bits is {bits!r}; Intel Loihi 2 stores 1 to 8"):
        compile(fc_model, "loihi2", weight_bits=bits)
