"""Each cell and layer of norse, exported and read back: every spike is norse's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.exporters.export import export
from neurodeploy.importers.lower import read_network
from neurodeploy.inspection import inspect

pytest.importorskip("norse", reason="norse is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # norse's own

IMPORTS = """
import norse.torch as snn
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.lif_refrac import LIFRefracParameters
from norse.torch.functional.lsnn import LSNNParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.iaf import IAF, IAFCell
from norse.torch.module.leaky_integrator import LILinearCell
from norse.torch.module.lif_box import LIFBoxCell
from norse.torch.module.lif_refrac import LIFRefracCell, LIFRefracRecurrent, LIFRefracRecurrentCell
from norse.torch.module.lsnn import LSNN, LSNNCell, LSNNRecurrent, LSNNRecurrentCell
t = torch.tensor
LOW = LIFParameters(v_th=t(0.15))
ADAPTS = LSNNParameters(v_th=t(0.1), beta=t(0.4), tau_adapt_inv=t(1 / 0.02))
"""

LOOP = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.fc, self.out = {cell}, nn.Linear(8, 3), snn.LICell()

    def forward(self, x):
        first = second = None
        rows = []
        for row in x:
            spikes, first = self.cell(row, first)
            v, second = self.out(self.fc(spikes), second)
            rows.append(v)
        return torch.stack(rows)
"""

LAYERS = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.first, self.second = nn.Linear(6, 8), {first}, {second}

    def forward(self, x):
        spikes, _ = self.first(self.fc(x))
        out, _ = self.second(spikes)
        return out
"""

MODELS: dict[str, tuple[str, tuple[int, ...]]] = {
    "membrane read-out": (LOOP.format(cell="snn.LIFRecurrentCell(6, 8, LOW)"), (6,)),
    "read-out with a leak": (
        "snn.SequentialState(nn.Linear(6, 8), snn.LIFCell(LOW), nn.Linear(8, 3),"
        " snn.LICell(LIParameters(tau_syn_inv=t(300.), v_leak=t(.2))))",
        (6,),
    ),
    "read-out with weights": (
        "snn.SequentialState(nn.Linear(6, 8), snn.LIFCell(LOW), LILinearCell(8, 3))",
        (6,),
    ),
    "adaptive recurrent": (LOOP.format(cell="LSNNRecurrentCell(6, 8, p=ADAPTS)"), (6,)),
    "adaptive, norse's own decay": (
        LOOP.format(cell="LSNNRecurrentCell(6, 8, p=LSNNParameters(v_th=t(0.1), beta=t(0.4)))"),
        (6,),
    ),
    "adaptive with autapses": (LOOP.format(cell="LSNNRecurrentCell(6, 8, p=ADAPTS, autapses=True)"), (6,)),
    "adaptive, reset and leak": (
        "snn.SequentialState(nn.Linear(6, 8), LSNNCell(LSNNParameters(v_th=t(.1), v_leak=t(.02), v_reset=t(-.05),"
        " beta=t(.3), tau_adapt_inv=t(200.))), nn.Linear(8, 5), LSNNCell(ADAPTS))",
        (6,),
    ),
    "adaptive, each neuron its own": (
        "snn.SequentialState(nn.Linear(6, 8), LSNNCell(LSNNParameters(v_th=torch.linspace(.05, .2, 8),"
        " beta=torch.linspace(.1, 1, 8), tau_adapt_inv=torch.linspace(1, 300, 8))))",
        (6,),
    ),
    "refractory": (
        "snn.SequentialState(nn.Linear(6, 8), LIFRefracCell(LIFRefracParameters(LOW, t(2.5))), nn.Linear(8, 4),"
        " LIFRefracCell(LIFRefracParameters(LIFParameters(v_th=t(.03), v_reset=t(-.05)), t(1.))))",
        (6,),
    ),
    "refractory, recurrent": (LOOP.format(cell="LIFRefracRecurrentCell(6, 8, LIFRefracParameters(LOW, t(2.)))"), (6,)),
    "layers, refractory": (
        LAYERS.format(first="snn.LIF(LOW)", second="LIFRefracRecurrent(8, 4, LIFRefracParameters(LOW, t(3.)))"),
        (6,),
    ),
    "threshold that nothing reaches": (
        "snn.SequentialState(nn.Linear(6, 8), snn.LIFCell(LOW), nn.Linear(8, 3),"
        " snn.LIFCell(LIFParameters(v_th=t(float('inf')))))",
        (6,),
    ),
    "own class": (
        "snn.SequentialState(nn.Linear(6, 8), type('Cell', (snn.LIFCell,), {'extra_repr': lambda self: 'x'})(LOW))",
        (6,),
    ),
    "layers": (LAYERS.format(first="snn.LIF(LOW)", second="snn.LIFRecurrent(8, 4, LOW)"), (6,)),
    "layers, membrane": (LAYERS.format(first="snn.LIF(LOW)", second="snn.LI()"), (6,)),
    "layers, adaptive": (LAYERS.format(first="LSNN(ADAPTS)", second="LSNNRecurrent(8, 4, p=ADAPTS)"), (6,)),
    "layers, no leak": (LAYERS.format(first="IAF(IAFParameters(v_th=t(.7)))", second="snn.LI()"), (6,)),
    "layers lifted": (
        "snn.SequentialState(snn.Lift(nn.Conv2d(1, 3, 3)), snn.LIF(LIFParameters(v_th=t(.02))), nn.Flatten(2),"
        " nn.Linear(48, 5), snn.LIFRecurrent(5, 5, LOW))",
        (1, 6, 6),
    ),
    "convolution": (
        "snn.SequentialState(nn.Conv2d(2, 3, 3, bias=False), LIFBoxCell(LIFBoxParameters(v_th=t(.02),"
        " tau_mem_inv=torch.linspace(100, 700, 3).reshape(3, 1, 1))), nn.Flatten(), nn.Linear(48, 4),"
        " IAFCell(IAFParameters(v_th=torch.linspace(.1, .4, 4), v_reset=torch.linspace(-.1, .1, 4))))",
        (2, 6, 6),
    ),
    "subtraction": (
        "snn.SequentialState(nn.Linear(6, 8), LIFBoxCell(LIFBoxParameters(v_th=t(.05), reset_method=reset_subtract)),"
        " nn.Linear(8, 4), snn.LIFCell(LOW))",
        (6,),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_reference_fires_as_norse(name: str, reproduced: Callable[..., Any]) -> None:
    body, shape = MODELS[name]
    result = reproduced(body, IMPORTS, shape, silent=("3",) if "inf" in body else ())
    assert any("check: equal in spikes" in line for line in result.findings)


def test_slow_adaptation_keeps_its_digits(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = "build = lambda: snn.SequentialState(nn.Linear(6, 5), LSNNCell(LSNNParameters(v_th=t(.1))))"
    export(make_model(body, imports=IMPORTS), weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    network, _, graph = read_network(tmp_path / "m.nir")
    population = network.population("1")
    rate = np.float32(1e-3) * np.float32(1 / 800)
    np.testing.assert_array_equal(population.adapt_rate, np.full(5, rate))
    assert population.rule.adapt_order == "decay-test-add"
    assert json.loads(json.dumps(graph.nodes["1"].metadata))["rules"]["adapt_rate"] == float(rate)


@pytest.mark.parametrize(
    ("neuron", "match"),
    [
        ("snn.LIFAdExCell()", "1: LIFAdExCell is not supported .*the nearest is LSNN"),
        ("snn.LIFExCell()", "1: LIFExCell is not supported .*the nearest is LIF"),
        ("snn.IzhikevichCell(snn.tonic_spiking)", "quadratic in v; the nearest is LIF"),
        (
            "snn.ConstantCurrentLIFEncoder(9)",
            r"(?s)encoding belongs to the data.*fix: +Leave ConstantCurrentLIFEncoder out",
        ),
        ("LSNNCell(LSNNParameters(tau_adapt_inv=t(2000.)))", "makes the threshold decay by 2 to 2"),
    ],
)
def test_other_cells_are_refused_with_the_nearest(neuron: str, match: str, refused: Callable[..., None]) -> None:
    refused(f"snn.SequentialState(nn.Linear(6, 5), {neuron})", IMPORTS, match)


def test_settings_of_each_neuron_are_shown_as_a_range(reproduced: Callable[..., Any]) -> None:
    result = reproduced(MODELS["adaptive, each neuron its own"][0], IMPORTS)
    (node,) = [entry for entry in inspect(result.path).nodes if entry["name"] == "1"]
    assert node["settings"]["adapt_gain"] == "0.1 to 1"
