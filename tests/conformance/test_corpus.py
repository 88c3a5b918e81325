"""Networks that frameworks' own exporters wrote, with the frameworks' own spikes (outside the repository)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import SHARED

CORPUS = SHARED / "corpus"

DIALECTS = {
    "norse-iaf": "norse,rest=default",
    "norse-lifbox-dt1": "norse,v_reset=0,rest=default",
    "norse-lifbox-li-readout": "norse,v_reset=0,rest=default",
    "norse-lifbox-vreset-lost": "norse,v_reset=-0.2,rest=default",
    "rockpool-lif-bias-lost": "rockpool,bias=0.05,max_spikes=1,rest=default",
    "rockpool-lif-cuba": "rockpool,bias=0,max_spikes=0,rest=default",
    "sinabs-conv-sumpool-iaf": "sinabs,max_spikes=1,reset=subtract,min_v_mem=-1,rest=default",
    "sinabs-fc-iaf-multispike": "sinabs,reset=subtract,max_spikes=0,min_v_mem=-1,rest=default",
    "sinabs-fc-iaf-single-zero": "sinabs,reset=zero,max_spikes=1,min_v_mem=none,rest=default",
    "sinabs-lif-expleak-li": "sinabs,reset=subtract,max_spikes=1,min_v_mem=none,norm_input=false,rest=default",
    "spikingjelly-conv-if-avgpool": None,
    "spikingjelly-fc-lif": "spikingjelly,dt=1e-4",
    "spyx-cuba-rlif-subgraph": "spyx,rest=default",
    "paper-braille-bias_zero": "snntorch,reset=zero,lif2:reset_delay=false,rest=default",
    "paper-braille-bias_zero-samestep": "snntorch,reset=zero,reset_delay=false,rest=default",
    "snntorch-cubalif-subtract": "snntorch,reset=subtract,rest=default",
    "snntorch-digits-conv-direct": "snntorch,reset=subtract,rest=default",
    "snntorch-digits-fc-latency-zero": "snntorch,reset=zero,rest=default",
    "snntorch-digits-fc-rate": "snntorch,reset=subtract,rest=default",
    "snntorch-fc-lif-subtract-hetero": "snntorch,reset=subtract,rest=default",
    "snntorch-fc-lif-zero-nobias": "snntorch,reset=zero,rest=default",
    "snntorch-if-beta1": "snntorch,reset=subtract,rest=default",
    "snntorch-rleaky-subtract": "snntorch,reset=subtract,rest=default",
    "snntorch-rsynaptic-subtract": "snntorch,reset=subtract,rest=default",
}
"""Each with what its exporter drops; and with its name where two exporters write the same."""


STATES = {"trace__v": "v", "trace__syn": "u", "trace__i": "u", "trace__isyn": "u"}


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
        elif key == "values":
            got, want = recording.nodes[network.outputs[0]]["value"], expected[key]
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=key)
            held += 1
            continue
        elif kind == "node":
            got, want = recording.spikes(node), unpacked(expected[key], meta.get("packed_nodes", {}).get(key))
        elif kind in STATES and node in recording.nodes:
            got, want = recording.nodes[node][STATES[kind]], expected[key]
            # Relative to the largest state: one that a reset brought near 0 keeps the rounding of what it was.
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(want).max()) / 10, err_msg=key)
            held += 1
            continue
        else:
            continue
        np.testing.assert_array_equal(got, want, err_msg=key)
        held += 1
    assert held >= 1


PAPER = SHARED / "nir-paper" / "03_rnn"
BRAILLE = {"braille_noDelay_bias_zero": "zero", "braille_noDelay_noBias_subtract": "subtract"}


@pytest.mark.parametrize("name", BRAILLE)
def test_the_papers_braille_networks_are_asked_about_their_reset(name: str) -> None:
    if not PAPER.is_dir():
        pytest.skip("no files of the NIR paper beside the repository (shared/data/nir-paper)")
    for option in (None, f"snntorch,reset={BRAILLE[name]}"):
        with pytest.raises(DeployError, match=r"the file does not say its .*reset_delay"):
            read_network(PAPER / f"{name}.nir", option)


@pytest.mark.parametrize(
    ("case", "answer"),
    [("paper-braille-bias_zero-samestep", ""), ("paper-braille-bias_zero", ",lif1.lif:reset_delay=true")],
)
def test_the_papers_braille_network_fires_as_snntorch_once_it_is_answered(case: str, answer: str) -> None:
    """snnTorch 1.0.0 ignores reset_delay=False in the recurrent layer; the networks were trained with it."""
    if not PAPER.is_dir() or not CORPUS.is_dir():
        pytest.skip("no files of the NIR paper, or no recordings, beside the repository (shared/data)")
    option = f"snntorch,reset=zero,reset_delay=false{answer},rest=default"
    network = read_network(PAPER / "braille_noDelay_bias_zero.nir", option)[0]
    x = np.load(CORPUS / case / "input.npz")["x"]
    got = Reference().run(network, {next(iter(network.inputs)): x}, RunOptions()).spikes(network.outputs[0])
    np.testing.assert_array_equal(got, np.load(CORPUS / case / "output.npz")["spikes"])


def unpacked(values: np.ndarray, packed: dict[str, list[int]] | None) -> np.ndarray:
    if packed is None:
        return values
    shape = packed["shape"]
    return np.unpackbits(values, axis=-1)[..., : int(np.prod(shape[2:]))].reshape(shape)
