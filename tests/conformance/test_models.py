"""The shipped models on every backend: the two equalities, and what eight bits cost."""

from __future__ import annotations

import hashlib
import runpy
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy import compiler
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.coding.data_file import load_data
from neurodeploy.comparison.compare import Comparison, compare
from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.recording import load_recording
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.shipped import shipped_folder

MODELS = {"digits-fc": 0.95, "digits-conv": 0.96, "digits-rows": 0.94}
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


def test_digits_rows_is_what_its_script_weights_and_card_say() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    folder = shipped_folder("models") / "digits-rows"
    script = runpy.run_path(str(folder / "train.py"))
    model = script["build"]()
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    made, shipped = script["to_nir"](model), nir.read(folder / "model.nir", type_check=False)
    assert sorted(made.edges) == sorted(shipped.edges)
    for name, node in shipped.nodes.items():
        for key, value in node.to_dict().items():
            assert key == "metadata" or np.array_equal(made.nodes[name].to_dict()[key], value), (name, key)
    trained = load_recording(folder / "trained.npz")
    with np.load(folder / "test.npz") as data:
        correct = trained.spikes("lif2").sum(0).argmax(1) == data["y"]
    assert f"{100 * correct.mean():.1f} % ({correct.sum()} of 540)" in (folder / "card.md").read_text()
    assert trained.meta["model_sha256"] == hashlib.sha256((folder / "model.nir").read_bytes()).hexdigest()


def test_digits_rows_is_recurrent_and_needs_neither_dialect_nor_programmed_neurons() -> None:
    network, dialect, _ = read_network(shipped_folder("models") / "digits-rows" / "model.nir")
    hidden = network.population("cuba1")
    assert (dialect.name, network.dt, network.outputs) == ("nir", 1e-3, ("lif2",))
    assert [p.delay for p in network.into("cuba1") if p.source == "cuba1"] == [1]
    assert hidden.decay_syn is not None
    assert (4096 * hidden.decay_syn == 3072).all() and (4096 * hidden.decay_mem == 3584).all()
    for target in TARGETS:
        program = compiler.compile(shipped_folder("models") / "digits-rows" / "model.nir", target)
        assert all(coded.model == NeuronModel() for coded in program.populations)


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
