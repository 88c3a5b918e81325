"""The shipped models on every backend: the two equalities, and what eight bits cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.comparison.compare import Comparison, compare
from neurodeploy.data import load_data
from neurodeploy.importers.lower import read_network
from neurodeploy.recording import load_recording
from neurodeploy.shipped import shipped_folder

MODELS = {"digits-fc": 0.95, "digits-conv": 0.96}
TARGETS = ("loihi1", "loihi2")


def compared(name: str, target: str, only: tuple[str, ...] = ("reference", "emulator"), samples: int = 4) -> Comparison:
    folder = shipped_folder("models") / name
    model = folder / "model.nir"
    data = load_data(folder / "test.npz", read_network(model)[0].inputs)
    trained = load_recording(folder / "trained.npz")
    return compare(model, target, data, trained=trained, only=only, lava_samples=samples)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", MODELS)
def test_reference_is_the_framework_and_eight_bits_lose_a_point_at_most(name: str, target: str) -> None:
    result = compared(name, target).result
    assert result["equalities"]["reference_trained"]["status"] == "pass", result["equalities"]
    assert result["equalities"]["reference_trained"]["samples"] == 540
    assert result["accuracy"]["trained"] >= MODELS[name]
    assert result["accuracy"]["reference"] == result["accuracy"]["trained"]
    assert result["verdict"]["accuracy_loss_points"]["emulator"] <= 1.0
    assert sum(result["counters"]["emulator"]["u_wraps"].values()) == 0


@pytest.mark.parametrize("name", MODELS)
def test_emulator_is_lava_in_spikes_and_states(name: str) -> None:
    if (reason := Lava().missing()) is not None:
        pytest.skip(reason)
    equality = compared(name, "loihi2", only=("emulator", "lava")).result["equalities"]["emulator_lava"]
    assert equality["status"] == "pass", equality


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_reference_on_cuda_fires_the_frameworks_spikes(name: str) -> None:
    from neurodeploy.backends.reference.backend import Reference
    from neurodeploy.comparison.equality import reference_equals

    folder: Path = shipped_folder("models") / name
    network = read_network(folder / "model.nir")[0]
    data = load_data(folder / "test.npz", network.inputs)
    reference = Reference().run(network, data.x, RunOptions(device="cuda"))
    equality = reference_equals(network, data.x, reference, load_recording(folder / "trained.npz"))
    assert equality["status"] == "pass", equality
    assert equality["ties"] < 0.01 * sum(np.count_nonzero(reference.spikes(node)) for node in reference.nodes)
