"""Scales, rounding, corrections and approximations that need calibration data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.coding.data import Data
from neurodeploy.coding.data_file import load_data
from neurodeploy.compiler import compile, compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.codes import CODE_RANGES
from neurodeploy.families.loihi.program import program_faults
from neurodeploy.families.loihi.quantise.approximate import approximate
from neurodeploy.families.loihi.quantise.learned_rounding import learned_codes, ratio_by_error
from neurodeploy.families.loihi.weights import BINARY, TERNARY, filling_scale, quantise_weights, weight_range
from neurodeploy.families.target_file import load_target
from neurodeploy.importers.lower import read_network
from neurodeploy.shipped import shipped_folder
from tests.conftest import spikes


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 3, 4, 8, "ternary", "binary"]))
def test_learned_codes_lie_in_the_range_and_cost_no_more_than_nearest_ones(seed: int, bits: Any) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 1, (6, 12))
    x = rng.random((200, 12)) @ rng.random((12, 12))
    moments = x.T @ x / len(x) + 0.01 * np.eye(12)
    codes = weight_range(weight, bits, "w")
    scale = filling_scale(weight, codes)
    learned, nearest = learned_codes(weight, scale, codes, moments), quantise_weights(weight, scale, codes)
    for found in (learned, nearest):
        assert found.min() >= codes.low
        assert found.max() <= codes.high
        assert not ((found - codes.offset) % codes.step).any()

    def cost(found: np.ndarray) -> float:
        difference = weight - found / scale
        return float(np.einsum("oi,ij,oj->", difference, moments, difference))

    assert cost(learned) <= cost(nearest) * (1 + 1e-9)


def test_learned_rounding_without_correlations_is_rounding_to_nearest(rng: np.random.Generator) -> None:
    weight = rng.normal(0, 1, (5, 7))
    codes = weight_range(weight, 4, "w")
    scale = filling_scale(weight, codes)
    np.testing.assert_array_equal(
        learned_codes(weight, scale, codes, np.diag(rng.random(7) + 0.1)), quantise_weights(weight, scale, codes)
    )


def test_ternary_and_binary_codes_are_of_two_bits() -> None:
    weight = np.array([-1.0, -0.1, 0.05, 0.9])
    assert quantise_weights(weight, 128.0, TERNARY).tolist() == [-128, 0, 0, 128]
    assert quantise_weights(weight, 128.0, BINARY).tolist() == [-128, -128, 128, 128]
    assert TERNARY.bits == BINARY.bits == 2


def test_the_scale_of_least_error_clips_an_outlier(rng: np.random.Generator) -> None:
    weight = np.append(rng.normal(0, 0.1, 20_000), 1.5).reshape(1, -1)
    codes = weight_range(weight, 3, "w")
    assert ratio_by_error([(weight, codes, 1.0)], filling_scale(weight, codes), [None]) > 2


@pytest.mark.parametrize("kind", ["fc_model", "conv_model", "recurrent_model"])
@pytest.mark.parametrize("bits", [4, "ternary"])
def test_calibration_is_deterministic_and_its_codes_fit_the_registers(
    kind: str, bits: Any, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    model = request.getfixturevalue(kind)
    inputs = read_network(model)[0].inputs
    data = Data({n: spikes(rng, 20, 6, *shape) for n, shape in inputs.items()}, None, "test")
    options = {"calibrate": data, "rounding": "learned", "correct": ("bias", "threshold"), "scale": "mse"}
    one, two = (compile_with_plan(model, "loihi2", weight_bits=bits, **options) for _ in range(2))
    assert one.plan == two.plan
    assert not program_faults(one.program)
    for population in one.program.populations:
        for key, values in population.arrays().items():
            low, high = CODE_RANGES[key]
            assert values.min() >= low
            assert values.max() <= high


@pytest.mark.parametrize(
    ("options", "flag"),
    [({"rounding": "learned"}, "--rounding"), ({"scale": "rate"}, "--scale"), ({"correct": ("bias",)}, "--correct")],
)
def test_a_method_without_the_data_that_it_needs_is_refused(fc_model: Path, options: dict, flag: str) -> None:
    with pytest.raises(DeployError, match="needs calibration data") as caught:
        compile(fc_model, "loihi2", **options)
    assert caught.value.where == flag


def test_an_unknown_method_is_refused(fc_model: Path) -> None:
    with pytest.raises(DeployError, match="is 'magic', but there is no such method"):
        compile(fc_model, "loihi2", scale="magic")
    with pytest.raises(DeployError, match="weight_bits is 9; Intel Loihi 2 stores 1 to 8 bits"):
        compile(fc_model, "loihi2", weight_bits=9)


@pytest.mark.parametrize("name", ["digits-fc", "digits-conv", "digits-rows"])
@pytest.mark.parametrize(("bits", "points"), [(8, 0.5), (4, 2.0)])
def test_post_training_keeps_the_accuracy_of_the_zoo(name: str, bits: int, points: float) -> None:
    from neurodeploy.backends.run import run
    from neurodeploy.coding.scoring import decide

    folder = shipped_folder("models") / name
    network = read_network(folder / "model.nir")[0]
    test = load_data(folder / "test.npz", network.inputs)
    program = compile(
        folder / "model.nir",
        "loihi2",
        weight_bits=bits,
        calibrate=folder / "calibrate.npz",
        scale="mse",
        rounding="learned",
        correct=("bias", "threshold"),
        per_channel=True,
    )
    accuracy = {
        backend: float((decide(run(subject, test.x, backend=backend)) == test.labels).mean())
        for backend, subject in (("reference", network), ("emulator", program))
    }
    assert 100 * (accuracy["reference"] - accuracy["emulator"]) <= points


def test_only_what_a_chip_lacks_is_approximated() -> None:
    golden = Path(__file__).parents[3] / "golden" / "frameworks" / "rockpool-lif-three-spikes.nir"
    network = read_network(golden)[0]
    nearest, changes = approximate(network, load_target("loihi1"))
    assert [change.node for change in changes] == [p.name for p in network.populations if p.rule.max_spikes != 1]
    assert all(p.rule.max_spikes == 1 for p in nearest.populations)
    again, nothing = approximate(nearest, load_target("loihi1"))
    assert again.digest() == nearest.digest()
    assert nothing == ()


def test_an_approximation_is_measured_and_said() -> None:
    golden = Path(__file__).parents[3] / "golden" / "frameworks" / "rockpool-lif-three-spikes.nir"
    network = read_network(golden)[0]
    with pytest.raises(DeployError, match=r"does not have|fires at") as caught:
        compile(golden, "loihi1")
    assert "--approximate" in caught.value.fix
    rng = np.random.default_rng(0)
    data = Data({n: spikes(rng, 30, 4, *shape) for n, shape in network.inputs.items()}, np.zeros(4, np.int64), "test")
    program = compile(golden, "loihi1", approximate=True, calibrate=data)
    rung = program.provenance["approximations"]
    assert rung["rung"] == "neuron"
    assert set(rung["accuracy"]) == {"reference", "neuron"}
    assert 0 <= min(rung["agreement"].values()) <= 1
    assert any("approximated" in warning and "spikes in common" in warning for warning in program.warnings)
