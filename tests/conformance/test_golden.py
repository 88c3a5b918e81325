"""Small networks of every framework, replayed: spikes and states of every layer are the framework's own.

The cases are made by ``tools/golden_frameworks.py``: each as our exporter wrote it (but for spyx, which it does not
know), and as the framework's own did where that says enough.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "frameworks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
OURS = [name for name in NAMES if (FOLDER / f"{name}.nir").exists()]
OWN = sorted(path.name.removesuffix(".own.nir") for path in FOLDER.glob("*.own.nir"))


def load(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a case recorded, and its metadata."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    return arrays, json.loads(str(arrays.pop("meta")))


def replay(model: Path, dialect: str | None, arrays: dict[str, Any], names: dict[str, str] | None) -> None:
    """Run a model on the reference and compare it with everything that was recorded."""
    network, _, _ = read_network(model, dialect)
    data = {next(iter(network.inputs)): arrays["x"]}
    run = Reference().run(network, data, RunOptions(record=("spikes", "v", "u")))
    for key, wanted in arrays.items():
        node, _, observable = key.rpartition("/")
        if not node:
            continue
        got = run.nodes[node if names is None else names[node]][observable]
        if observable == "spikes":
            np.testing.assert_array_equal(got, wanted, err_msg=key)
        else:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max(), err_msg=key)


@pytest.mark.parametrize("name", OURS)
def test_our_export_fires_as_the_framework(name: str) -> None:
    arrays, _ = load(name)
    replay(FOLDER / f"{name}.nir", None, arrays, None)


@pytest.mark.parametrize("name", OWN)
def test_the_frameworks_own_export_fires_as_the_framework(name: str) -> None:
    arrays, meta = load(name)
    replay(FOLDER / f"{name}.own.nir", f"{meta['own_dialect']},rest=default", arrays, meta["own_nodes"])


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_fires_and_is_recorded(name: str) -> None:
    arrays, meta = load(name)
    spikes = {key: values for key, values in arrays.items() if key.endswith("/spikes")}
    assert spikes
    assert all(0 < (values > 0).mean() < 1 for values in spikes.values())
    assert {"seed", "versions", "framework", "outputs"} <= set(meta)


def test_golden_data_stays_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2**20
