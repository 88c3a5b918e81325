"""Each neuron and recurrent container of SpikingJelly, exported and read back: every spike is SpikingJelly's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy.importers.lower import read_network

pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # SpikingJelly's own

IMPORTS = """
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.layer import ElementWiseRecurrentContainer, LinearRecurrentContainer
from spikingjelly.activation_based.neuron.ilif import ILIFNode
from spikingjelly.activation_based.neuron.integrate_and_fire import HalfThresholdIFNode, SimpleIFNode
from spikingjelly.activation_based.neuron.lif import SimpleLIFNode
from spikingjelly.activation_based.neuron.ternary import TernaryIFNode, TernaryLIFNode

def whole(net):
    functional.set_step_mode(net, "m")
    for module in net.modules():  # what a container closes its loop around takes single steps
        if hasattr(module, "sub_module"):
            functional.set_step_mode(module.sub_module, "s")
    return net

def with_k(node, k):
    node.k.data.fill_(k)
    return node
"""

DENSE = "nn.Sequential(layer.Linear(6, 8), {}, layer.Linear(8, 4), neuron.LIFNode(v_threshold=.02))"
WHOLE = f"whole({DENSE})"
IMAGE = (
    "whole(nn.Sequential(layer.Conv2d(1, 3, 3), {}, layer.Flatten(), layer.Linear(48, 4),"
    " neuron.IFNode(v_threshold=.2)))"
)
SEVERAL = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = layer.SeqToANNContainer(nn.Linear(6, 8))
        self.second = layer.MultiStepContainer(neuron.LIFNode(v_threshold=.1), nn.Linear(8, 9),
                                               neuron.IFNode(v_threshold=.2))
        self.third = layer.StepModeContainer(True, "m", nn.Linear(9, 7), neuron.LIFNode(v_threshold=.03, v_reset=None))

    def forward(self, x):
        return self.third(self.second(self.first(x)))
"""

MODELS = {
    "integrate and fire": DENSE.format("neuron.IFNode(v_threshold=.5)"),
    "soft reset": WHOLE.format("neuron.IFNode(v_threshold=.3, v_reset=None)"),
    "leaky, own reset": DENSE.format("neuron.LIFNode(tau=3., v_threshold=.2, v_reset=-.1)"),
    "leaky, input whole": WHOLE.format("neuron.LIFNode(tau=1.5, decay_input=False, v_threshold=.4, v_reset=None)"),
    "learnt time constant": IMAGE.format("neuron.ParametricLIFNode(init_tau=2.3, v_threshold=.1)"),
    "k": DENSE.format("with_k(neuron.KLIFNode(v_threshold=.2), 1.4)"),
    "k, soft": WHOLE.format("with_k(neuron.KLIFNode(v_threshold=.2, v_reset=None, decay_input=False), .8)"),
    "k, scaled": WHOLE.format("with_k(neuron.KLIFNode(v_threshold=.3, scale_reset=True, v_reset=.05), 1.7)"),
    "k, scaled and soft": DENSE.format("with_k(neuron.KLIFNode(v_threshold=.3, scale_reset=True, v_reset=None), 2.)"),
    "whole counts": WHOLE.format("ILIFNode(v_threshold=.3)"),
    "whole counts, low": DENSE.format("ILIFNode(v_threshold=.2, surrogate_function=surrogate.MultiLevelSpikeCount(2))"),
    "both signs": DENSE.format("TernaryIFNode(v_threshold=.4)"),
    "both signs, soft": WHOLE.format("TernaryLIFNode(v_threshold=.2, v_reset=None)"),
    "starts half way": WHOLE.format("HalfThresholdIFNode(v_threshold=.6)"),
    "simple": DENSE.format("SimpleIFNode(v_threshold=.5, v_reset=.1)"),
    "simple, leaky": WHOLE.format("SimpleLIFNode(tau=2., decay_input=True, v_threshold=.2, v_reset=-.1)"),
    "trained online": DENSE.format("neuron.SLTTLIFNode(v_threshold=.2)"),
    "current": DENSE.format("neuron.CUBALIFNode(c_decay=.4, v_threshold=.4)"),
    "membrane read-out": (
        "whole(nn.Sequential(layer.Linear(6, 8), neuron.LIFNode(v_threshold=.2), layer.Linear(8, 4),"
        " neuron.LIFNode(tau=2.5, v_threshold=float('inf'))))"
    ),
    "sum read-out": (
        "nn.Sequential(layer.Linear(6, 8), neuron.LIFNode(v_threshold=.2), layer.Linear(8, 4),"
        " neuron.IFNode(v_threshold=float('inf')))"
    ),
    "recurrent": DENSE.format("LinearRecurrentContainer(neuron.LIFNode(v_threshold=.2), 8, 8)"),
    "recurrent, whole": WHOLE.format(
        "LinearRecurrentContainer(neuron.IFNode(v_threshold=.5, v_reset=None), 8, 8, bias=False)"
    ),
    "recurrent around layers": WHOLE.format(
        "LinearRecurrentContainer(nn.Sequential(nn.Linear(8, 8), neuron.LIFNode(v_threshold=.1)), 8, 8)"
    ),
    "recurrent by element": IMAGE.format(
        "ElementWiseRecurrentContainer(neuron.IFNode(v_threshold=.3), lambda y, x: x - .5 * y)"
    ),
    "recurrent by element, steps": DENSE.format(
        "ElementWiseRecurrentContainer(neuron.LIFNode(v_threshold=.2), lambda y, x: y + x)"
    ),
    "own class": (
        "nn.Sequential(layer.Linear(6, 8), type('Node', (neuron.LIFNode,),"
        " {'__init__': lambda self: neuron.LIFNode.__init__(self, tau=3., v_threshold=.2)})())"
    ),
    "containers": SEVERAL,
}


@pytest.mark.parametrize("name", MODELS)
def test_reference_fires_as_spikingjelly(name: str, reproduced: Callable[..., Any]) -> None:
    shape = (1, 6, 6) if "Conv2d" in MODELS[name] else (6,)
    result = reproduced(MODELS[name], IMPORTS, shape)
    assert any("check: equal in spikes" in line for line in result.findings)


def test_neuron_that_cannot_fire_is_read_by_its_potential(reproduced: Callable[..., Any]) -> None:
    result = reproduced(MODELS["membrane read-out"], IMPORTS)
    assert type(result.graph.nodes["3"]).__name__ == "LI"
    assert not read_network(result.path)[0].population("3").rule.fires


def test_counts_are_rounded_and_signs_kept(reproduced: Callable[..., Any]) -> None:
    rule = read_network(reproduced(MODELS["whole counts"], IMPORTS).path)[0].population("1").rule
    assert (rule.rounds, rule.max_spikes) == (True, 4)
    network = read_network(reproduced(MODELS["both signs"], IMPORTS).path)[0]
    assert network.population("1").rule.signed


@pytest.mark.parametrize(
    ("neuron", "match"),
    [
        ("neuron.QIFNode()", "1: QIFNode is not supported .*quadratic in v; the nearest is LIFNode"),
        ("neuron.EIFNode()", "1: EIFNode is not supported .*exponential"),
        ("neuron.PSN(4)", "1: PSN is not supported"),
        ("with_k(neuron.KLIFNode(), -1.)", "k is -1"),
        ("ElementWiseRecurrentContainer(neuron.IFNode(), lambda y, x: y * x)", "not a weighted sum of y and x"),
        ("LinearRecurrentContainer(neuron.QIFNode(), 8, 8)", "ends with QIFNode"),
    ],
)
def test_other_neurons_are_refused_with_the_nearest(neuron: str, match: str, refused: Callable[..., None]) -> None:
    refused(f"nn.Sequential(layer.Linear(6, 8), {neuron})", IMPORTS, match)


def test_floor_of_a_klif_node_is_kept(reproduced: Callable[..., Any]) -> None:
    population = read_network(reproduced(MODELS["k"], IMPORTS).path)[0].population("1")
    np.testing.assert_array_equal(population.v_min, np.zeros(8))
