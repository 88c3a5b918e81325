"""Torch modules without neurons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy.coding.data
from neurodeploy.backends.run import run
from neurodeploy.coding.data_file import DataFile
from neurodeploy.coding.data_hash import data_sha256
from neurodeploy.errors import DeployError
from neurodeploy.exporters.export import export
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.recording import load_recording

LAYERS = (
    "nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5, bias=False),"
    " nn.Linear(5, 4)"
)


def model_file(tmp_path: Path, layers: str) -> str:
    path = tmp_path / "net.py"
    head = "from torch import nn\nimport torch\n"
    path.write_text(f"{head}def build():\n    torch.manual_seed(0)\n    return nn.Sequential({layers})\n")
    return f"{path}:build"


def test_layers_are_read_as_the_module_computes_them(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.random((6, 3, 1, 8, 8)).astype(np.float32)
    out, recorded = tmp_path / "m.nir", tmp_path / "t.npz"
    result = export(
        model_file(tmp_path, LAYERS), weights=None, sample_shape=(1, 8, 8), output=out, inputs=x, record_output=recorded
    )
    (output,) = result.outputs
    network, dialect, _ = read_network(out)
    assert dialect.name == "nir"
    assert network.outputs == (output,)
    ours = run(out, {next(iter(network.inputs)): x}).nodes[output]["value"]
    np.testing.assert_allclose(ours, load_recording(recorded).nodes[output]["value"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("nn.Linear(4, 4), nn.ReLU()", r"relu\(\) in 1 is not supported"),
        ("nn.Linear(5, 4)", "forward fails on an input of shape"),
    ],
)
def test_what_cannot_be_said_is_refused(tmp_path: Path, layers: str, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        export(model_file(tmp_path, layers), weights=None, sample_shape=(4,), output=tmp_path / "m.nir")
    assert not (tmp_path / "m.nir").exists()


def test_a_model_is_recorded_in_blocks_as_on_the_whole(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = rng.random((6, 5, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    spec = model_file(tmp_path, LAYERS)
    options: dict[str, Any] = {"weights": None, "sample_shape": (1, 8, 8), "output": tmp_path / "m.nir"}
    whole, parts = tmp_path / "whole.npz", tmp_path / "parts.npz"
    (output,) = export(spec, **options, inputs=x, record_output=whole).outputs
    monkeypatch.setattr(neurodeploy.coding.data, "BLOCK_BYTES", 1)
    data = DataFile(tmp_path / "x.npz", {"input": (1, 8, 8)})
    export(spec, **options, inputs=data, record_output=parts, record_nodes=(output,))
    one, two = (load_recording(path).nodes[output]["value"] for path in (whole, parts))
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert load_recording(whole).meta["data_sha256"] == load_recording(parts).meta["data_sha256"] == data_sha256(data)
    with pytest.raises(DeployError, match="there is no node 'fc9'"):
        export(spec, **options, inputs=data, record_output=parts, record_nodes=("fc9",))
