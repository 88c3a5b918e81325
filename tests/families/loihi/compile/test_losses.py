"""Losses that are known without data are said at compile, one line a kind, and the option that is named mends them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.coding.data_file import load_data
from neurodeploy.coding.scoring import agreement
from neurodeploy.compiler import compile_with_plan
from neurodeploy.families.loihi.compile.losses import KINDS, Loss, loss_sentences
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.plan import Plan, PopulationPlan
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Linear
from tests.conftest import SHARED, told

SLOW_LEAK = SHARED / "cases" / "chip" / "slow-leak"
CALIBRATED: dict[str, Any] = {
    "rounding": "learned",
    "scale": "mse",
    "correct": ("bias", "threshold"),
    "per_channel": True,
    "allow_silent": True,
}


def layers(*weights: np.ndarray, decay: Any = 0.9, threshold: Any = 1.0, decay_syn: Any = None) -> Network:
    """Return layers that fire at v above the threshold and reset to 0."""
    populations, projections, source = [], [], "in"
    for index, weight in enumerate(weights):
        name = f"lif{index}"
        syn = None if decay_syn is None else np.float32(decay_syn)
        populations.append(
            Population(name, (len(weight),), NeuronRule(), np.float32(decay), np.asarray(threshold), decay_syn=syn)
        )
        projections.append(Projection(source, name, (Linear(weight.astype(np.float32)),)))
        source = name
    return Network({"in": (weights[0].shape[1],)}, tuple(populations), tuple(projections), (source,), 1e-3, "nir")


def normal(n: int, n_in: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.03, 0.3, (n, n_in))


def line(program: Program, words: str) -> str:
    found = [text for text in program.warnings if words in text]
    assert len(found) == 1, program.warnings
    return found[0]


def zeroed(program: Program, weight: np.ndarray) -> float:
    return float((program.projections[0].weight[weight != 0] == 0).mean())


def test_a_healthy_layer_has_lost_nothing() -> None:
    program = told(layers(normal(40, 60)), "loihi2")
    assert not [text for text in program.warnings if "became 0" in text or "codes" in text or "leak" in text]


@pytest.mark.parametrize("smallest", [1e-2, 1e-3])
def test_weights_that_became_zero_come_with_the_option_that_keeps_them(smallest: float) -> None:
    size = np.geomspace(1, smallest, 40)
    weight = normal(40, 60) * size[:, np.newaxis]
    network = layers(weight, threshold=size)
    program = told(network, "loihi2", scale="range", per_channel=False, allow_silent=True)
    text = line(program, "became 0")
    share = float(re.search(r"in -> lif0: ([\d.]+) % of the weights", text)[1])  # type: ignore[index]
    assert share == pytest.approx(100 * zeroed(program, weight), rel=0.01)
    assert "leaving out --scale" in text or "--per-channel" in text
    option = {} if "leaving out --scale" in text else {"per_channel": True}
    mended = told(network, "loihi2", **{"per_channel": False, **option})
    assert zeroed(mended, weight) < zeroed(program, weight) / 2
    assert "less than an eighth of their codes" in line(program, "of 40 neurons use")


def test_weights_that_became_zero_beside_much_larger_ones_are_no_loss() -> None:
    weight = normal(40, 60) * np.geomspace(1, 1e-3, 60)
    program = told(layers(weight, threshold=0.2), "loihi2")
    assert zeroed(program, weight) > 0.3
    assert not [text for text in program.warnings if "became 0" in text]


def test_few_bits_name_the_bits_that_keep_weights_and_one_line_stands_for_all_layers() -> None:
    first, second = normal(30, 60), normal(10, 30)
    network = layers(first, second)
    program = told(network, "loihi2", weight_bits=2, allow_silent=True)
    text = line(program, "became 0")
    assert "(less so " in text
    assert "--weight-bits 8 leaves" in text
    for p in told(network, "loihi2").projections:
        assert (p.weight == 0).mean() < 0.05


def test_a_plan_that_loses_weights_is_told_what_of_it_to_leave_out() -> None:
    network = layers(normal(30, 60))
    plan = Plan(populations={"lif0": PopulationPlan(codes_per_volt=5.0)})
    text = line(told(network, "loihi2", plan=plan, allow_silent=True), "became 0")
    assert "codes_per_volt, channel_gain, threshold and bias left out of the plan leaves" in text


@pytest.mark.parametrize(("times", "is_said"), [(0.01, True), (0.8, False), (1.3, False), (5.0, True)])
def test_a_plan_whose_threshold_is_not_the_models_is_said(times: float, is_said: bool) -> None:
    network = layers(normal(4, 6))
    plan = compile_with_plan(network, "loihi2").plan
    own = plan.populations["lif0"]
    assert isinstance(own.threshold, int)
    planned = own.model_copy(update={"threshold": round(own.threshold * times)})
    said = told(network, "loihi2", plan=plan.model_copy(update={"populations": {"lif0": planned}}), allow_silent=True)
    found = [text for text in said.warnings if "the plan's threshold of 4 of 4 neurons" in text]
    assert bool(found) is is_said
    if found:
        assert f"is {times:.2g} times the model's: threshold left out of the plan takes the model's" in found[0]


@pytest.mark.parametrize(("key", "value"), [("leak_v", 0), ("leak_v", 4000), ("leak_u", 4000)])
def test_a_plan_whose_leak_is_not_the_models_is_told_to_leave_it_out(key: str, value: int) -> None:
    network = layers(normal(4, 6), decay_syn=0.5)
    plan = Plan(populations={"lif0": PopulationPlan.model_validate({key: value})})
    text = line(told(network, "loihi2", plan=plan, allow_silent=True), "/4096 in the model (a time constant")
    assert f"{key} left out of the plan takes the code that is nearest to the model's" in text
    assert "--calibrate" not in text


def test_neurons_that_can_no_longer_fire_are_counted_and_mended() -> None:
    weight = normal(40, 60)
    weight[:5] *= 1e-3
    threshold = np.where(np.arange(40) < 5, 2e-3, 1.0)
    network = layers(weight, threshold=threshold)
    program = told(network, "loihi2", scale="range", per_channel=False)
    text = line(program, "can no longer fire")
    assert text.startswith("lif0: 5 of 40 neurons can no longer fire, whatever the input, and in the model they can")
    assert "leaves 0 %" in text
    x = {"in": np.ones((60, 1, 60), np.uint8)}
    assert not run(program, x, backend="emulator").spikes("lif0")[..., :5].any()
    assert run(told(network, "loihi2"), x, backend="emulator").spikes("lif0")[..., :5].any()
    assert run(network, x).spikes("lif0")[..., :5].any()
    kinds = [text for text in program.warnings if text.startswith(("lif0: 5 of 40", "in -> lif0: 12"))]
    assert kinds[0] == text


@pytest.mark.parametrize(("decay", "code", "true"), [(0.9999, 0, "0.41"), (0.9997, 1, "1.23")])
def test_a_leak_that_no_code_meets_is_said_and_decided_on_data(decay: float, code: int, true: str) -> None:
    weight = np.full((2, 1), 16 * (1 - decay))
    network = layers(weight, decay=decay)
    rng = np.random.default_rng(5)
    calibrate, x = ((rng.random((20_000, 2, 1)) < 0.05).astype(np.uint8) for _ in range(2))
    assert not run(network, {"in": x}).spikes("lif0").any()
    program = told(network, "loihi2")
    assert run(program, {"in": x}, backend="emulator").spikes("lif0").any()
    text = line(program, f"{true}/4096 in the model")
    assert f"--calibrate DATA takes the one of {code} and {code + 1}" in text
    planned = told(network, "loihi2", plan=Plan(populations={"lif0": PopulationPlan(leak_v=code + 1)}))
    calibrated = told(network, "loihi2", calibrate=Data({"in": calibrate}, None, ""), **CALIBRATED)
    for mended in (planned, calibrated):
        assert (mended.populations[0].dv == code + 1).all()
        assert not run(mended, {"in": x}, backend="emulator").spikes("lif0").any()
    assert "the code that is nearer on calibration data was taken" in line(calibrated, f"{true}/4096 in the model")


def test_a_leak_of_currents_that_no_code_meets_is_said() -> None:
    program = told(layers(normal(4, 6) * 1e-3, decay_syn=0.9999), "loihi2", allow_silent=True)
    assert "u of 4 of 4 neurons loses 1/4096 in a step, but loses 0.41/4096 in the model" in line(
        program, "u of 4 of 4 neurons loses"
    )
    assert not [t for t in told(layers(normal(4, 6), decay_syn=0.9), "loihi2").warnings if "/4096" in t]


AS_WITHOUT_DATA: dict[str, Any] = {"scale": "range", "rounding": "nearest", "correct": (), "per_channel": False}


def test_a_population_that_only_calibration_data_shows_awake_comes_with_a_threshold() -> None:
    network = layers(np.full((2, 1), 0.0048), decay=0.9997)
    x = (np.random.default_rng(5).random((20_000, 2, 1)) < 0.05).astype(np.uint8)
    data = Data({"in": x}, None, "")
    compiled = compile_with_plan(network, "loihi2", calibrate=data, **AS_WITHOUT_DATA)
    assert compiled.contract is not None
    text = next(one for one in compiled.contract.warnings if "never in the float model" in one)
    assert text.startswith("lif0: fires ")
    new = int(re.search(r"threshold from \d+ to (\d+)", text)[1])  # type: ignore[index]
    plan = compiled.plan.model_copy(
        update={"populations": {"lif0": compiled.plan.populations["lif0"].model_copy(update={"threshold": new})}}
    )
    mended = told(network, "loihi2", plan=plan, allow_silent=True)
    assert not run(mended, {"in": x}, backend="emulator").spikes("lif0").any()


def test_kinds_are_ranked_and_the_worst_node_speaks_for_its_kind() -> None:
    losses = [Loss(kind, f"{kind} {share}", share, f"{kind} {share}", "try") for kind in KINDS for share in (0.2, 0.7)]
    texts = loss_sentences(losses[::-1])
    assert texts == [f"{kind} 0.7 (less so {kind} 0.2): try" for kind in KINDS]


def test_a_layer_of_zeros_is_told_no_scale() -> None:
    compiled = compile_with_plan(layers(normal(4, 6) * 0), "loihi2")
    assert compiled.contract is not None
    assert not compiled.contract.warnings
    line(compiled.program, "no input brings v to its threshold")


def test_the_case_of_a_slow_leak_is_said_and_mended_by_data() -> None:
    if not SLOW_LEAK.is_dir():
        pytest.skip("no cases of chips beside the repository (shared/data/cases)")
    network = read_network(SLOW_LEAK / "model.nir", "nir,dt=1,gain=unit")[0]
    data = load_data(SLOW_LEAK / "data.npz", network.inputs)
    line(told(network, "loihi2"), "does not leak, but loses 0.41/4096 in the model")
    program = told(network, "loihi2", calibrate=data, **CALIBRATED)
    reference, chip = run(network, data.x).spikes("lif"), run(program, data.x, backend="emulator").spikes("lif")
    assert agreement(reference, chip) == 1.0
