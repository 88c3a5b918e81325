"""Each neuron of snnTorch with its options, exported and read back: every spike is snnTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy.importers.lower import read_network

pytest.importorskip("snntorch", reason="snnTorch is not installed")

IMPORTS = "import snntorch as snn\nt = torch.tensor\nhidden = {'init_hidden': True}\n"

DENSE = "nn.Sequential(nn.Linear(6, 8), {}, nn.Linear(8, 4), snn.Leaky(beta=.9, threshold=.05, **hidden))"
IMAGE = (
    "nn.Sequential(nn.Conv2d(1, 3, 3), {}, nn.Flatten(), nn.Linear(48, 4), snn.Leaky(beta=.9, threshold=.1, **hidden))"
)

RETURNS_ALL = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(6, 8), nn.Linear(8, 4)
        self.first = snn.Alpha(alpha=.9, beta=.7, threshold=.1)
        self.second = snn.Synaptic(alpha=.8, beta=.7, threshold=.02)

    def forward(self, x):
        exc, inh, mem1 = self.first.reset_mem()
        syn, mem2 = self.second.reset_mem()
        spikes, potentials = [], []
        for row in x:
            spk, exc, inh, mem1 = self.first(self.fc(row), exc, inh, mem1)
            spk, syn, mem2 = self.second(self.out(spk), syn, mem2)
            spikes.append(spk)
            potentials.append(mem2)
        return torch.stack(spikes), torch.stack(potentials)
"""

MODELS = {
    "alpha": DENSE.format("snn.Alpha(alpha=.85, beta=.8, threshold=.1, **hidden)"),
    "alpha without reset": DENSE.format(
        "snn.Alpha(alpha=.85, beta=.5, threshold=.1, reset_mechanism='none', **hidden)"
    ),
    "alpha by neuron": DENSE.format(
        "snn.Alpha(alpha=torch.linspace(.8, .95, 8), beta=torch.linspace(.2, .7, 8), threshold=torch.rand(8) / 5,"
        " **hidden)"
    ),
    "alpha on images": IMAGE.format(
        "snn.Alpha(alpha=.9, beta=t([.5, .6, .7]).reshape(3, 1, 1), threshold=.1, **hidden)"
    ),
    "alpha states passed": RETURNS_ALL,
    "lapicque": DENSE.format("snn.Lapicque(beta=.8, threshold=.2, **hidden)"),
    "lapicque circuit": DENSE.format("snn.Lapicque(R=2., C=3., threshold=.1, reset_mechanism='zero', **hidden)"),
    "lapicque steps": DENSE.format(
        "snn.Lapicque(R=5.1, C=.005, time_step=.001, threshold=.2, reset_mechanism='none', **hidden)"
    ),
    "leaky learnt by neuron": DENSE.format(
        "snn.Leaky(beta=torch.rand(8), threshold=torch.rand(8) / 3, learn_beta=True, learn_threshold=True, **hidden)"
    ),
    "leaky by channel": IMAGE.format(
        "snn.Leaky(beta=torch.rand(3, 1, 1), threshold=t([.1, .2, .3]).reshape(3, 1, 1), learn_beta=True,"
        " reset_mechanism='zero', **hidden)"
    ),
    "leaky, no reset": DENSE.format("snn.Leaky(beta=.5, threshold=.2, reset_mechanism='none', **hidden)"),
    "membrane read-out": """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), snn.Leaky(beta=.9, threshold=.2, **hidden), nn.Linear(8, 4))
        self.out = snn.Leaky(beta=.8, threshold=float("inf"), reset_mechanism="none", output=True, **hidden)

    def forward(self, x):
        return self.out(self.net(x))[1]
""",
    "all steps at once": "nn.Sequential(nn.Linear(6, 8), snn.LeakyParallel(8, 9, beta=.7, threshold=.1),"
    " snn.LeakyParallel(9, 4, beta=.5, threshold=.02, bias=False, graded_spikes_factor=2.))",
    "graded": DENSE.format("snn.Leaky(beta=.9, threshold=.2, graded_spikes_factor=1.7, **hidden)"),
    "graded by neuron, at once": DENSE.format(
        "snn.Leaky(beta=.9, threshold=.2, graded_spikes_factor=torch.rand(8) - .5, reset_delay=False, **hidden)"
    ),
    "graded on images": IMAGE.format(
        "snn.Leaky(beta=.9, threshold=.2, graded_spikes_factor=t([.5, 2., -1.]).reshape(3, 1, 1), **hidden)"
    ),
    "synaptic, zero": DENSE.format("snn.Synaptic(alpha=.6, beta=.7, threshold=.1, reset_mechanism='zero', **hidden)"),
    "synaptic by neuron": DENSE.format(
        "snn.Synaptic(alpha=torch.rand(8), beta=torch.rand(8), threshold=.2, learn_alpha=True, reset_mechanism='none',"
        " **hidden)"
    ),
    "recurrent": DENSE.format("snn.RLeaky(beta=.8, linear_features=8, threshold=.3, **hidden)"),
    "recurrent by factors": DENSE.format(
        "snn.RLeaky(beta=.8, all_to_all=False, V=torch.randn(8), threshold=.2, **hidden)"
    ),
    "recurrent by one factor": IMAGE.format("snn.RLeaky(beta=.8, all_to_all=False, V=-.4, threshold=.2, **hidden)"),
    "recurrent by convolution": IMAGE.format(
        "snn.RLeaky(beta=.8, conv2d_channels=3, kernel_size=3, threshold=.2, reset_mechanism='zero', **hidden)"
    ),
    "recurrent by channel": IMAGE.format(
        "snn.RLeaky(beta=.8, all_to_all=False, V=torch.randn(3, 1, 1), threshold=.2, reset_delay=False, **hidden)"
    ),
    "recurrent synaptic": DENSE.format("snn.RSynaptic(alpha=.5, beta=.7, linear_features=8, threshold=.3, **hidden)"),
    "recurrent synaptic by convolution": IMAGE.format(
        "snn.RSynaptic(alpha=.5, beta=.7, conv2d_channels=3, kernel_size=(3, 1), threshold=.2, **hidden)"
    ),
    "recurrent synaptic by factors": DENSE.format(
        "snn.RSynaptic(alpha=.5, beta=.7, all_to_all=False, V=torch.randn(8), threshold=.2, reset_mechanism='zero',"
        " **hidden)"
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_reference_fires_as_snntorch(name: str, reproduced: Callable[..., Any]) -> None:
    shape = (1, 6, 6) if "Conv2d" in MODELS[name] else (6,)
    result = reproduced(MODELS[name], IMPORTS, shape, silent=("out",))
    assert any("check: equal in spikes" in line for line in result.findings)


def test_alpha_is_two_currents(reproduced: Callable[..., Any]) -> None:
    population = read_network(reproduced(MODELS["alpha"], IMPORTS).path)[0].population("1")
    np.testing.assert_array_equal(population.decay_second, np.full(8, np.float32(0.8)))
    np.testing.assert_array_equal(population.gain_second, np.full(8, np.float32(-1)))
    assert population.rule.reset_currents
    assert not population.decay_mem.any()


def test_graded_spikes_stay_spikes(reproduced: Callable[..., Any]) -> None:
    network = read_network(reproduced(MODELS["graded"], IMPORTS).path)[0]
    (onward,) = network.into("3")
    assert [type(op).__name__ for op in onward.ops] == ["Scale", "Linear"]
    assert not network.population("1").rule.is_graded
