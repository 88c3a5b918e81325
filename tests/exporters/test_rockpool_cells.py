"""Each torch module of rockpool that has a state, exported and read back: every spike is rockpool's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network

pytest.importorskip("rockpool", reason="rockpool is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # rockpool's own

IMPORTS = """
from rockpool.nn.combinators import Residual, Sequential
from rockpool.nn.modules import ExpSynTorch, LIFNeuronTorch, LIFTorch, LinearTorch
from rockpool.nn.modules.torch.ahp_lif_torch import aLIFTorch
from rockpool.nn.modules.torch.dropout import TimeStepDropout
from rockpool.nn.modules.torch.lif_bitshift_torch import LIFBitshiftTorch
from rockpool.nn.modules.torch.rate_torch import RateTorch
from rockpool.nn.networks import SynNet, WaveSenseNet
t = torch.tensor
"""

DENSE = "Sequential(LinearTorch((6, 8)), {}, LinearTorch((8, 4)), LIFTorch(4, threshold=.3))"
NET = "SynNet(n_classes=4, n_channels=6, size_hidden_layers=[12, 9], time_constants_per_layer=[3, 2], threshold=.3{})"

MODELS = {
    "plain": DENSE.format("LIFTorch(8, threshold=.5)"),
    "by neuron": DENSE.format(
        "LIFTorch(8, tau_mem=torch.linspace(.005, .03, 8), tau_syn=torch.linspace(.004, .02, 8).reshape(8, 1),"
        " threshold=torch.linspace(.2, .6, 8), bias=torch.linspace(-.1, .1, 8))"
    ),
    "one spike": DENSE.format("LIFTorch(8, threshold=.4, max_spikes_per_dt=1, dt=2e-3)").replace(
        "LIFTorch(4, threshold=.3)", "LIFTorch(4, threshold=.3, dt=2e-3)"
    ),
    "recurrent": DENSE.format("LIFTorch(8, threshold=1., has_rec=True)"),
    "several inputs a neuron": "Sequential(LinearTorch((6, 16)), LIFTorch((16, 8), threshold=.7))",
    "several inputs a neuron, recurrent": (
        "Sequential(LinearTorch((6, 16)), LIFTorch((16, 8), threshold=2., has_rec=True, tau_syn=.005))"
    ),
    "synapses of their own": (
        "Sequential(LinearTorch((6, 16)), LIFTorch((16, 8), threshold=.7, tau_syn=t([[.005, .02]])))"
    ),
    "synapses of their own, recurrent": (
        "Sequential(LinearTorch((6, 24)), LIFTorch((24, 8), threshold=3., has_rec=True,"
        " tau_syn=.01 * torch.rand(8, 3) + .002), LinearTorch((8, 4)), LIFTorch(4, threshold=.3))"
    ),
    "wavesense": (
        "WaveSenseNet([2, 4], n_classes=3, n_channels_in=6, n_channels_res=5, n_channels_skip=7, n_hidden=8,"
        " threshold=.1, threshold_out=.05)"
    ),
    "factors": DENSE.format("LIFTorch(8, leak_mode='decays', alpha=torch.linspace(.2, .9, 8), threshold=.5)"),
    "shifts": DENSE.format("LIFTorch(8, leak_mode='bitshifts', dash_mem=3 * torch.ones(8), threshold=.5)"),
    "shifts of time constants": DENSE.format("LIFBitshiftTorch(8, tau_mem=t(.013), tau_syn=t(.007), threshold=.4)"),
    "hyperpolarised": DENSE.format("aLIFTorch(8, threshold=.5)"),
    "hyperpolarised by neuron, recurrent": DENSE.format(
        "aLIFTorch(8, tau_ahp=torch.linspace(.005, .05, 8), w_ahp=-torch.rand(8), threshold=1., has_rec=True, bias=.02)"
    ),
    "membrane only": DENSE.format("LIFNeuronTorch(8, tau_mem=.01, threshold=.6)"),
    "own class": DENSE.format("type('Cell', (aLIFTorch,), {})(8, threshold=.5)"),
    "residual": "Sequential(LinearTorch((6, 8)), LIFTorch(8, threshold=.5), Residual(LinearTorch((8, 8)),"
    " LIFTorch(8, threshold=.5)), LinearTorch((8, 4)), LIFTorch(4, threshold=.3))",
    "residual from the input": "Sequential(Residual(LinearTorch((6, 6)), LIFTorch(6, threshold=.4)),"
    " LinearTorch((6, 4)), LIFTorch(4, threshold=.3))",
    "dropout": "Sequential(LinearTorch((6, 8)), LIFTorch(8, threshold=.5), TimeStepDropout(8, p=.3, training=False),"
    " LinearTorch((8, 4)), LIFTorch(4, threshold=.3))",
    "read-out": "Sequential(LinearTorch((6, 8)), LIFTorch(8, threshold=.5), LinearTorch((8, 3)),"
    " ExpSynTorch(3, tau=.008))",
    "synnet": NET.format(", threshold_out=.2"),
    "synnet, membrane": NET.format(", output='vmem'"),
}


@pytest.mark.parametrize("name", MODELS)
def test_reference_fires_as_rockpool(name: str, reproduced: Callable[..., Any]) -> None:
    result = reproduced(MODELS[name], IMPORTS)
    assert any("check: equal in spikes" in line for line in result.findings)


@pytest.mark.parametrize("name", ["synapses of their own", "synapses of their own, recurrent", "wavesense"])
def test_neurons_with_several_currents_are_refused_by_chips_with_what_can_be_done(
    name: str, reproduced: Callable[..., Any]
) -> None:
    path = reproduced(MODELS[name], IMPORTS).path
    with pytest.raises(DeployError, match="one of several synaptic currents of other neurons") as caught:
        compile(path, "loihi2")
    assert "one time constant" in caught.value.fix


def test_last_layer_of_synnet_is_read_by_its_membrane(reproduced: Callable[..., Any]) -> None:
    result = reproduced(MODELS["synnet, membrane"], IMPORTS)
    assert [name.removesuffix(".v") for name in result.outputs] == ["seq.out_neurons"]
    assert not read_network(result.path)[0].population("seq.out_neurons").rule.fires


def test_spikes_lower_v_by_a_current(reproduced: Callable[..., Any]) -> None:
    population = read_network(reproduced(MODELS["hyperpolarised"], IMPORTS).path)[0].population("1_aLIFTorch")
    assert population.rule.adapts == "v"
    np.testing.assert_array_equal(population.adapt_gain, np.full(8, np.float32(0.9)))


@pytest.mark.parametrize(
    ("neuron", "match"),
    [
        ("RateTorch(8)", "RateTorch is not supported .*the nearest is LIFTorch"),
        ("LIFTorch(8, noise_std=.1)", "has noise_std other than 0"),
    ],
)
def test_other_modules_are_refused_with_the_nearest(neuron: str, match: str, refused: Callable[..., None]) -> None:
    refused(DENSE.format(neuron), IMPORTS, match)
