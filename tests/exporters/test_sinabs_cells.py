"""Each layer of sinabs that has a state, exported and read back: every spike is sinabs'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy.exporters.export import ExportResult
from neurodeploy.importers.lower import read_network

pytest.importorskip("sinabs", reason="sinabs is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # sinabs' own

IMPORTS = """
import sinabs.layers as sl
from sinabs.activation import MaxSpike, MembraneReset, MultiSpike, SingleSpike
from sinabs.layers.alif import ALIFSqueeze
from sinabs.from_torch import from_model
t = torch.tensor
"""

DENSE = "nn.Sequential(nn.Linear(6, 8), {}, nn.Linear(8, 4), sl.IAF(spike_threshold=t(.2)))"
IMAGE = (
    "nn.Sequential(nn.Conv2d(1, 3, 3), {}, nn.Flatten(), nn.Linear(48, 4),"
    " sl.IAFSqueeze(batch_size=1, spike_threshold=t(.2)))"
)
FRAMES = (
    "nn.Sequential(sl.Repeat(nn.Conv2d(1, 3, 3)), {}, nn.Flatten(2), nn.Linear(48, 4), sl.IAF(spike_threshold=t(.2)))"
)
CONVERTED = """
def build():
    torch.manual_seed(1)
    ann = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5), nn.ReLU())
    return from_model(ann, input_shape=(1, 6, 6), batch_size=1, {})
"""

MODELS = {
    "integrate and fire": DENSE.format("sl.IAF(spike_threshold=torch.linspace(.2, .8, 8), min_v_mem=-.5)"),
    "one spike, reset to zero": DENSE.format(
        "sl.IAF(spike_threshold=t(.4), spike_fn=SingleSpike, reset_fn=MembraneReset())"
    ),
    "a value at each reset": DENSE.format(
        "sl.IAF(spike_threshold=t(.4), spike_fn=MultiSpike, min_v_mem=-.3, reset_fn=MembraneReset(.05))"
    ),
    "a value at each reset, leaky": DENSE.format(
        "sl.LIF(tau_mem=5., spike_threshold=t(.05), spike_fn=SingleSpike, reset_fn=MembraneReset(-.02))"
    ),
    "two spikes": DENSE.format("sl.LIF(tau_mem=6., spike_threshold=t(.05), spike_fn=MaxSpike(2))"),
    "input as it is": DENSE.format("sl.LIF(tau_mem=torch.linspace(3, 9, 8), norm_input=False, spike_threshold=t(.4))"),
    "trained factors": DENSE.format("sl.LIF(tau_mem=6., tau_syn=3., train_alphas=True, spike_threshold=t(.1))"),
    "floor by neuron": DENSE.format("sl.LIF(tau_mem=6., min_v_mem=-torch.rand(8) / 10, spike_threshold=t(.1))"),
    "squeezed": IMAGE.format("sl.LIFSqueeze(tau_mem=5., batch_size=1, spike_threshold=t(.05))"),
    "adaptive": DENSE.format("sl.ALIF(tau_mem=5., tau_adapt=8., adapt_scale=.5, spike_threshold=t(.1))"),
    "adaptive, several spikes": DENSE.format(
        "sl.ALIF(tau_mem=5., tau_adapt=4., spike_fn=MultiSpike, norm_input=False, spike_threshold=t(.2))"
    ),
    "adaptive, reset to zero": DENSE.format(
        "sl.ALIF(tau_mem=torch.linspace(3, 9, 8), tau_adapt=torch.linspace(3, 30, 8), adapt_scale=torch.rand(8),"
        " reset_fn=MembraneReset(), min_v_mem=-.2, spike_threshold=torch.linspace(.05, .1, 8))"
    ),
    "adaptive, current": DENSE.format("sl.ALIF(tau_mem=5., tau_adapt=8., tau_syn=4., spike_threshold=t(.05))"),
    "adaptive, current as it is": DENSE.format(
        "sl.ALIF(tau_mem=5., tau_adapt=8., tau_syn=4., norm_input=False, train_alphas=True, spike_threshold=t(.5))"
    ),
    "adaptive, images": FRAMES.format("sl.ALIF(tau_mem=5., tau_adapt=8., adapt_scale=.5, spike_threshold=t(.05))"),
    "adaptive, squeezed": IMAGE.format("ALIFSqueeze(batch_size=1, tau_mem=5., tau_adapt=8., spike_threshold=t(.05))"),
    "recurrent": DENSE.format("sl.LIFRecurrent(tau_mem=5., rec_connect=nn.Linear(8, 8), spike_threshold=t(.1))"),
    "recurrent, current": DENSE.format(
        "sl.LIFRecurrent(tau_mem=5., tau_syn=3., rec_connect=nn.Linear(8, 8), norm_input=False, spike_threshold=t(.9))"
    ),
    "recurrent, no leak": DENSE.format(
        "sl.IAFRecurrent(rec_connect=nn.Sequential(nn.Linear(8, 8, bias=False), nn.Identity()), spike_threshold=t(.6))"
    ),
    "recurrent, adaptive": DENSE.format(
        "sl.ALIFRecurrent(tau_mem=5., tau_adapt=8., rec_connect=nn.Linear(8, 8), spike_threshold=t(.1))"
    ),
    "recurrent by convolution": FRAMES.format(
        "sl.LIFRecurrent(tau_mem=5., rec_connect=nn.Conv2d(3, 3, 3, padding=1), spike_threshold=t(.02))"
    ),
    "recurrent by two layers": DENSE.format(
        "sl.IAFRecurrent(rec_connect=nn.Sequential(nn.Linear(8, 3, bias=False), nn.Linear(3, 8, bias=False)),"
        " spike_threshold=t(.6))"
    ),
    "own class": DENSE.format("type('Layer', (sl.LIFRecurrent,), {})(5., nn.Linear(8, 8), spike_threshold=t(.1))"),
    "read-out": (
        "nn.Sequential(nn.Linear(6, 8), sl.IAF(spike_threshold=t(.5)), nn.Linear(8, 3), sl.ExpLeak(tau_mem=5.))"
    ),
    "read-out, squeezed": (
        "nn.Sequential(nn.Conv2d(1, 3, 3), sl.IAFSqueeze(batch_size=1, spike_threshold=t(.3)), nn.Flatten(),"
        " nn.Linear(48, 3), sl.ExpLeakSqueeze(tau_mem=5., norm_input=True, batch_size=1))"
    ),
    "converted": CONVERTED.format("spike_threshold=t(.4)"),
    "converted, last layer plain": CONVERTED.format("spike_threshold=t(.4), min_v_mem=-1., spike_fn=SingleSpike"),
}


@pytest.mark.parametrize("name", MODELS)
def test_reference_fires_as_sinabs(name: str, reproduced: Callable[..., Any]) -> None:
    shape = (1, 6, 6) if "Conv2d" in MODELS[name] else (6,)
    result = reproduced(MODELS[name], IMPORTS, shape)
    assert any("check: equal in spikes" in line for line in result.findings)


def test_recurrent_bias_does_not_enter_the_first_step(reproduced: Callable[..., Any]) -> None:
    network = read_network(reproduced(MODELS["recurrent, current"], IMPORTS).path)[0]
    population, recurrence = network.population("1"), network.into("1")[-1]
    assert recurrence.delay == 1
    np.testing.assert_array_equal(population.i_init, -recurrence.ops[0].bias)


@pytest.mark.parametrize(
    ("neuron", "match"),
    [
        (
            "sl.LIFRecurrent(tau_mem=5., rec_connect=nn.Sequential(nn.Linear(8, 8, False), nn.ReLU()))",
            "recurrence by ReLU",
        ),
        (
            "sl.LIFRecurrent(tau_mem=5., rec_connect=nn.Sequential(nn.Linear(8, 3), nn.Linear(3, 8)))",
            "several layers of the recurrence have a bias",
        ),
        ("sl.ALIF(tau_mem=5., tau_adapt=8., spike_threshold=t(-.1))", "spike_threshold is -0.1"),
    ],
)
def test_what_cannot_be_said_is_refused(neuron: str, match: str, refused: Callable[..., None]) -> None:
    refused(f"nn.Sequential(nn.Linear(6, 8), {neuron})", IMPORTS, match)


def test_counters_of_synaptic_operations_are_left_out(reproduced: Callable[..., ExportResult]) -> None:
    code = """
def build():
    from sinabs.from_torch import from_model

    model = nn.Sequential(nn.Linear(6, 9, bias=False), nn.ReLU(), nn.Linear(9, 4, bias=False))
    model[0].weight.data *= 3
    model[2].weight.data *= 3
    return from_model(model, num_timesteps=15, add_spiking_output=True, synops=True)
"""
    reproduced(code, IMPORTS)
