"""Populations alone, on what the float model's sources sent; and data that can calibrate nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.analysis.calibration_data import run_reference
from neurodeploy.coding.data import Data
from neurodeploy.comparison.compare import compare
from neurodeploy.compiler import compile, compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.quantise.drive import drive
from neurodeploy.ir.network import Network
from tests.conftest import ZERO, chain_edges, lif, save_nir
from tests.families.loihi.test_relays import deep, skipping, spikes


@pytest.mark.parametrize("network", [deep(), skipping(5)], ids=["deep", "skipping"])
def test_a_population_alone_runs_in_its_own_rows(network: Network) -> None:
    calibration = run_reference(network, Data({"in": spikes(4)}, None, "calibration"))
    program = compile(network, "loihi2")
    for population in network.populations:
        into = tuple(p for p in program.projections if p.target == population.name)
        sent = drive(calibration, population.name, {}).emulate(program.population(population.name), into)
        np.testing.assert_array_equal(sent, calibration.recording.spikes(population.name), err_msg=population.name)


CORRECTED: dict[str, Any] = {"correct": ("bias", "threshold"), "scale": "mse", "rounding": "learned"}


def calibration(share: float, shape: tuple[int, ...] = (12,), seed: int = 7) -> Data:
    x = (np.random.default_rng(seed).random((40, 12, *shape)) < share).astype(np.uint8)
    return Data({"input": x}, None, "calibration")


def test_calibration_data_of_zeros_is_refused(fc_model: Path) -> None:
    with pytest.raises(DeployError, match="holds nothing but zeros") as caught:
        compile(fc_model, "loihi2", calibrate=calibration(0.0))
    assert caught.value.where == "--calibrate"


def test_data_that_hardly_fires_corrects_nothing_and_is_said(tmp_path: Path, rng: np.random.Generator) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([12])}),
        "fc": nir.Linear(rng.normal(0.05, 0.5, (9, 12)).astype(np.float32)),
        "lif1": lif((9,)),
        "output": nir.Output({"output": np.array([9])}),
    }
    model = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "fc", "lif1", "output"), ZERO)
    plain = {**CORRECTED, "correct": (), "allow_silent": True}
    for share, is_said in ((0.004, True), (0.3, False)):
        data = calibration(share)
        corrected = compile_with_plan(model, "loihi2", weight_bits=3, calibrate=data, **CORRECTED, allow_silent=True)
        without = compile_with_plan(model, "loihi2", weight_bits=3, calibrate=data, **plain)
        said = [text for text in corrected.said if "hardly fires on calibration data in lif1 (" in text]
        assert bool(said) is is_said
        assert (corrected.plan == without.plan) is is_said
        assert not [text for text in without.said if "hardly fires" in text]


def test_thresholds_that_were_refitted_are_said_with_their_factors(fc_model: Path) -> None:
    data = calibration(0.3)
    corrected = compile_with_plan(fc_model, "loihi2", weight_bits=2, calibrate=data, correct=("threshold",))
    plain = compile_with_plan(fc_model, "loihi2", weight_bits=2, calibrate=data, correct=())
    factors = {
        p.name: float(np.median(p.threshold_code / plain.program.population(p.name).threshold_code))
        for p in corrected.program.populations
    }
    moved = {name: factor for name, factor in factors.items() if factor != 1}
    said = [text for text in corrected.said if text.startswith("thresholds were changed")]
    assert moved
    assert len(said) == 1
    for name, factor in moved.items():
        told = re.search(rf"{name} times ([\d.]+)", said[0])
        assert told is not None
        assert float(told[1]) == pytest.approx(factor, abs=0.02)
    assert not [text for text in plain.said if text.startswith("thresholds were changed")]


@pytest.mark.parametrize(("share", "is_said"), [(0.3, False), (0.22, False), (0.05, True), (0.9, True)])
def test_comparing_on_data_of_another_kind_is_said(fc_model: Path, share: float, is_said: bool) -> None:
    program = compile(fc_model, "loihi2", calibrate=calibration(0.3))
    data = calibration(share, seed=9)
    found = compare(fc_model, "loihi2", data, program=program, only=("reference", "emulator"))
    said = [text for text in found.result["warnings"] if "fitted to data of another kind" in text]
    assert bool(said) is is_said
    if said:
        assert re.search(r"in [\d.]+ % of its values, but the calibration data is not 0 in (29|30)[\d.]* %", said[0])
    plain = compare(fc_model, "loihi2", data, only=("reference", "emulator"), allow_silent=True)
    assert not [text for text in plain.result["warnings"] if "another kind" in text]


@pytest.mark.parametrize(("largest", "is_said"), [(200.0, False), (4.0, True)])
def test_values_far_smaller_than_those_of_calibration_data_are_said(
    fc_model: Path, rng: np.random.Generator, largest: float, is_said: bool
) -> None:
    spikes = calibration(0.3)
    (name,) = spikes.x

    def currents(times: float) -> Data:
        return Data({name: (rng.random(spikes.x[name].shape) * times).astype(np.float32)}, None, "made")

    program = compile(fc_model, "loihi2", calibrate=currents(200.0), message_bits=8)
    found = compare(fc_model, "loihi2", currents(largest), program=program, only=("reference", "emulator"))
    said = [text for text in found.result["warnings"] if "these values are small for the scale of the messages" in text]
    assert bool(said) is is_said
