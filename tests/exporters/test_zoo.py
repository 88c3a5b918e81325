"""The shipped models are what their scripts, weights and recordings say."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.exporters.export import export
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.recording import load_recording
from neurodeploy.ir.run_options import RunOptions

pytest.importorskip("snntorch", reason="snnTorch is not installed")

MODELS = Path(__file__).resolve().parents[2] / "models"
ZOO = [("digits-fc", (64,), 0.95), ("digits-conv", (1, 8, 8), 0.96)]


@pytest.mark.parametrize(("name", "shape", "least"), ZOO)
def test_recording_has_the_accuracy_of_the_card(name: str, shape: tuple[int, ...], least: float) -> None:
    trained = load_recording(MODELS / name / "trained.npz")
    with np.load(MODELS / name / "test.npz") as data:
        correct = trained.spikes(trained.outputs[0]).sum(0).argmax(1) == data["y"]
    assert correct.mean() >= least
    assert f"{100 * correct.mean():.1f} %" in (MODELS / name / "card.md").read_text()
    assert trained.meta["model_sha256"] == hashlib.sha256((MODELS / name / "model.nir").read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "shape", "least"), ZOO)
def test_weights_export_to_the_shipped_graph(name: str, shape: tuple[int, ...], least: float, tmp_path: Path) -> None:
    folder = MODELS / name
    spec = f"{folder / 'train.py'}:build"
    result = export(spec, weights=folder / "weights.pt", sample_shape=shape, output=tmp_path / "m.nir")
    shipped = nir.read(folder / "model.nir", type_check=False)
    assert sorted(result.graph.edges) == sorted(shipped.edges)
    for node in shipped.nodes:
        for key, value in shipped.nodes[node].to_dict().items():
            assert key == "metadata" or np.array_equal(result.graph.nodes[node].to_dict()[key], value), (node, key)


@pytest.mark.parametrize(("name", "shape", "least"), ZOO)
def test_reference_fires_as_the_framework_recorded(name: str, shape: tuple[int, ...], least: float) -> None:
    network, _, _ = read_network(MODELS / name / "model.nir")
    trained = load_recording(MODELS / name / "trained.npz").first(64)
    with np.load(MODELS / name / "test.npz") as data:
        recording = Reference().run(network, dict.fromkeys(network.inputs, data["x"][:, :64]), RunOptions())
    for node in trained.nodes:
        assert np.array_equal(recording.spikes(node), trained.spikes(node)), node
