"""Networks that snnTorch's own exporter wrote, with snnTorch's own spikes (outside the repository)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.importers.lower import read_network
from tests.conftest import SHARED

CORPUS = SHARED / "corpus"

DIALECTS = {
    "paper-braille-bias_zero": "snntorch,reset=zero,lif2:reset_delay=false",
    "paper-braille-bias_zero-samestep": "snntorch,reset=zero,reset_delay=false",
    "snntorch-cubalif-subtract": "snntorch,reset=subtract",
    "snntorch-digits-conv-direct": "snntorch,reset=subtract",
    "snntorch-digits-fc-latency-zero": "snntorch,reset=zero",
    "snntorch-digits-fc-rate": "snntorch,reset=subtract",
    "snntorch-fc-lif-subtract-hetero": "snntorch,reset=subtract",
    "snntorch-fc-lif-zero-nobias": "snntorch,reset=zero",
    "snntorch-if-beta1": "snntorch,reset=subtract",
    "snntorch-rleaky-subtract": "snntorch,reset=subtract",
    "snntorch-rsynaptic-subtract": "snntorch,reset=subtract",
}
"""Each with the reset rule, which the exporter drops."""


@pytest.mark.parametrize("name", DIALECTS)
def test_reference_fires_the_frameworks_spikes(name: str) -> None:
    if not CORPUS.is_dir():
        pytest.skip("no networks of other frameworks beside the repository (shared/data/corpus)")
    folder = CORPUS / name
    meta = json.loads((folder / "meta.json").read_text())
    x = np.load(folder / "input.npz")["x"]
    if len(x) == 1:
        x = np.repeat(x, meta["T_steps"], axis=0)
    network, _, _ = read_network(folder / "model.nir", DIALECTS[name])
    recording = Reference().run(network, {next(iter(network.inputs)): x}, RunOptions(record=("spikes", "v", "u")))
    expected = np.load(folder / "output.npz")
    held = 0
    for key in expected.files:
        kind, _, node = key.rpartition("__")
        if key == "spikes":
            got, want = recording.spikes(network.outputs[0]), expected[key]
        elif kind == "node":
            got, want = recording.spikes(node), unpacked(expected[key], meta.get("packed_nodes", {}).get(key))
        elif kind in ("trace__v", "trace__syn") and node in recording.nodes:
            got, want = recording.nodes[node]["v" if kind == "trace__v" else "u"], expected[key]
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=key)
            held += 1
            continue
        else:
            continue
        np.testing.assert_array_equal(got, want, err_msg=key)
        held += 1
    assert held >= 1


def unpacked(values: np.ndarray, packed: dict[str, list[int]] | None) -> np.ndarray:
    if packed is None:
        return values
    shape = packed["shape"]
    return np.unpackbits(values, axis=-1)[..., : int(np.prod(shape[2:]))].reshape(shape)
