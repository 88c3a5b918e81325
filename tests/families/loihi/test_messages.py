"""Real-valued input: message bits and scale chosen on calibration data, and what that costs said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from neurodeploy.backends.host import spike_inputs
from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import agreement
from neurodeploy.compiler import compile, compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.messages import expected_range, loss_of_codes
from neurodeploy.families.loihi.scale import Synapses
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.plan import load_plan, save_plan
from neurodeploy.ir.synapses import Linear, Sparse
from neurodeploy.passes.fold import fold
from tests.families.loihi.test_exactness import ZERO, two_layers


def network(threshold: float = 300.0) -> Network:
    """Return two layers with the first one's threshold in volts that its inputs reach."""
    found = two_layers(ZERO, decay=0.9)
    first = replace(found.populations[0], threshold=np.float32(threshold))
    return replace(found, populations=(first, *found.populations[1:]))


def data(values: np.ndarray) -> Data:
    return Data({"in": values.astype(np.float32)}, None, "test")


def normal(seed: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (30, 20, 8))


def test_bits_and_scale_are_chosen_for_real_values_of_both_signs() -> None:
    program = compile(network(), "loihi2", calibrate=data(normal(1)), rounding="learned")
    x = {"in": normal(2).astype(np.float32)}
    reference, chip = run(network(), x), run(program, x, backend="emulator")
    assert program.message_bits["in"] in (8, 16, 24)
    assert spike_inputs(program, x)["in"].min() < 0
    for node in ("a", "b"):
        assert reference.spikes(node).any()
        assert agreement(chip.spikes(node), reference.spikes(node)) > 0.95
    measured = program.provenance["graded_inputs"]["in"]["populations"]["a"]
    assert 0 < measured["loss"] < 0.02
    assert any("input 'in' is graded" in warning and "root mean square" in warning for warning in program.warnings)


def test_values_on_a_grid_are_sent_exactly() -> None:
    values = np.random.default_rng(3).integers(0, 17, (30, 20, 8)) / 16
    values[:, :2, 0] = 1.0
    program = compile(network(30.0), "loihi2", calibrate=data(values))
    assert program.input_scale["in"] == 16
    assert "all calibration data is whole" in " ".join(program.warnings)


def test_small_and_large_values_are_scaled_alike() -> None:
    losses = []
    for size in (1e-3, 1e3):
        program = compile(network(300.0 * size), "loihi2", calibrate=data(normal(1, size)))
        losses.append(program.provenance["graded_inputs"]["in"]["populations"]["a"]["loss"])
    assert max(losses) < 0.03


def test_the_plan_gives_the_same_program_without_data(tmp_path: Path) -> None:
    first = compile_with_plan(network(), "loihi2", calibrate=data(normal(1)), rounding="learned")
    save_plan(first.plan, tmp_path / "plan.yaml")
    again = compile(network(), "loihi2", plan=load_plan(tmp_path / "plan.yaml"))
    assert (again.message_bits, again.input_scale) == (first.program.message_bits, first.program.input_scale)
    for one, other in zip(first.program.projections, again.projections, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_spikes_stay_spikes() -> None:
    program = compile(network(), "loihi2", calibrate=data(normal(1) > 0.5))
    assert program.message_bits == {}


def test_a_chip_that_takes_spikes_only_says_what_would_do() -> None:
    with pytest.raises(DeployError, match="Intel Loihi takes spikes only") as refusal:
        compile(network(), "loihi1", calibrate=data(normal(1)))
    assert "target loihi2" in str(refusal.value)


def test_a_program_for_spikes_names_calibration() -> None:
    with pytest.raises(DeployError, match="calibrate DATA"):
        run(compile(network(), "loihi2"), {"in": normal(2).astype(np.float32)}, backend="emulator")


def test_ends_that_samples_share_are_the_datas_own() -> None:
    image = np.random.default_rng(0).random((4, 10, 8))
    assert expected_range(image)[1] == 2 * image.max()
    image[:, :3, 1] = 1.0
    assert expected_range(image) == (0.0, 1.0)


def test_channels_with_small_weights_fill_their_codes_as_far_as_registers_go() -> None:
    found = network()
    weight = np.random.default_rng(7).normal(0, 60, (12, 8)).astype(np.float32)
    weight[:6] /= 7.3
    projection = replace(found.projections[0], ops=(Linear(weight),))
    threshold = np.where(np.arange(12) < 6, 300 / 7.3, 300)
    first = replace(found.populations[0], threshold=threshold)
    found = replace(
        found, populations=(first, *found.populations[1:]), projections=(projection, *found.projections[1:])
    )
    losses = {}
    for per_channel in (False, True):
        options = {"calibrate": data(normal(1)), "weight_bits": 4, "per_channel": per_channel}
        program = compile(found, "loihi2", **options)
        x = {"in": normal(2).astype(np.float32)}
        reference, chip = run(found, x), run(program, x, backend="emulator")
        losses[per_channel] = 1 - agreement(chip.spikes("a")[..., :6], reference.spikes("a")[..., :6])
    assert losses[True] < 0.5 * losses[False]


def test_a_correction_that_leaves_rates_further_off_is_not_made() -> None:
    calibrate = data((np.random.default_rng(5).random((30, 20, 8)) < 0.3) * 1.0)
    plain = compile(network(), "loihi2", calibrate=calibrate)
    corrected = compile(network(), "loihi2", calibrate=calibrate, correct=("bias", "threshold"))
    x = {"in": calibrate.x["in"].astype(np.uint8)}
    reference = run(network(), x).spikes("a").mean(axis=0)
    off = [
        float(((run(p, x, backend="emulator").spikes("a").mean(axis=0) - reference) ** 2).mean())
        for p in (plain, corrected)
    ]
    assert off[1] <= off[0]


def test_a_known_range_is_enough_for_messages() -> None:
    x = normal(2)
    low, high = float(x.min()), float(x.max())
    program = compile(network(), "loihi2", input_range={"in": (low, high)})
    assert program.message_bits == {"in": 8}
    assert 2 / max(-low, high) < program.input_scale["in"] <= 127 / max(-low, high)
    inputs = {"in": x.astype(np.float32)}
    reference, chip = run(network(), inputs), run(program, inputs, backend="emulator")
    assert agreement(chip.spikes("a"), reference.spikes("a")) > 0.9


@pytest.mark.parametrize("is_sparse", [False, True])
def test_the_loss_of_codes_is_that_of_weights_in_their_channels_volts_and_of_rounded_inputs(is_sparse: bool) -> None:
    weight = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    op = Sparse(sparse.csc_array(weight)) if is_sparse else Linear(weight)
    projection = Projection("in", "n", (op,))
    synapses = Synapses(projection, fold(projection, (2,)), 1, (2,))
    x = np.random.default_rng(0).integers(-3, 4, (5, 2, 2)).astype(np.float64)

    def loss(codes: list[list[int]], gains: list[float] | None, values: np.ndarray, scale: float = 1.0) -> float:
        stored = np.array(codes, np.int16)
        coded = CodedProjection("in", "n", stored.T.ravel() if is_sparse else stored, 1, 8, "mixed", 1, **arrays)
        return loss_of_codes(values, scale, synapses, coded, 8.0, gains)

    arrays = {"indices": np.array([0, 1, 0, 1]), "indptr": np.array([0, 2, 4]), "n_out": 2} if is_sparse else {}
    assert loss([[4, -8], [2, 1]], None, x) == pytest.approx(0.0)
    assert loss([[4, -8], [8, 4]], [1.0, 4.0], x) == pytest.approx(0.0)
    assert loss([[8, -16], [4, 2]], None, x) == pytest.approx(1.0)
    assert loss([[4, -8], [2, 1]], None, x / 4, 4.0) == pytest.approx(0.0)
    assert loss([[4, -8], [2, 1]], None, x + 0.25) > 0.01
