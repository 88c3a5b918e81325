# ruff: noqa: E501
"""The many ways in which networks are written: each is exported and fires as the framework does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.exporters.export import export
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.decision import settle_decision

LEAKY = "snn.Leaky(beta=0.8, threshold=0.3, init_hidden=True)"
TRAINED = """
def trained(model, seed=1):
    g = torch.Generator().manual_seed(seed)
    for m in model.modules():
        if hasattr(m, "running_mean"):
            m.running_mean.copy_(torch.randn(m.running_mean.shape, generator=g) * 0.2)
            m.running_var.copy_(torch.rand(m.running_var.shape, generator=g) + 0.3)
            m.weight.data.copy_(torch.rand(m.weight.shape, generator=g) + 0.5)
            m.bias.data.copy_(torch.randn(m.bias.shape, generator=g) * 0.2)
    return model
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(5, 4)
        self.lif1, self.lif2, self.lif3 = (snn.Leaky(beta=0.9, threshold=0.25) for _ in range(3))
        {init}

    def forward(self, x):
        out, earlier, last = [], torch.zeros(x.shape[1], 5), torch.zeros(x.shape[1], 4)
        {before}
        for t in range(len(x)):
            {loop}
        return {returned}

build = lambda: trained(Net())
"""
CONV = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(6, 3, 3)
        self.lif1, self.lif2, self.lif3 = (snn.Leaky(beta=0.9, threshold=0.25) for _ in range(3))
        self.lif4, self.fc = snn.Leaky(beta=0.9, threshold=0.1), nn.LazyLinear(4)
        self.bn = nn.BatchNorm2d(3)
        {init}

    def forward(self, x):
        out = []
        for row in x:
            {loop}
            out.append(spk)
        return torch.stack(out)

def build():
    model = Net()
    model.eval()(torch.zeros(2, 1, 2, 8, 8))
    from snntorch import utils
    utils.reset(model)
    return trained(model)
"""


def net(loop: str, init: str = "pass", before: str = "pass", returned: str = "torch.stack(out)") -> str:
    return TRAINED + NET.format(
        loop=loop.replace("; ", "\n            "),
        init=init.replace("; ", "\n        "),
        before=before,
        returned=returned,
    )


def conv(loop: str, init: str = "pass") -> str:
    return TRAINED + CONV.format(loop=loop.replace("; ", "\n            "), init=init.replace("; ", "\n        "))


TWO = "spk1, _ = self.lif1(self.fc1(x[t])); spk2, mem2 = self.lif2(self.fc2(spk1)); out.append(spk2)"
ENDS = "; spk, _ = self.lif4(self.fc(s.flatten(1)))"

DENSE = {
    "sequential with normalisation": TRAINED
    + f"build = lambda: trained(nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), {LEAKY}, nn.Dropout(), nn.Linear(9, 4), {LEAKY}))",
    "normalisation first": TRAINED
    + f"build = lambda: trained(nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 9), {LEAKY}, nn.Linear(9, 4), {LEAKY}))",
    "normalisation before neurons alone": TRAINED
    + f"build = lambda: trained(nn.Sequential(nn.Linear(6, 9), {LEAKY}, nn.BatchNorm1d(9), {LEAKY}))",
    "scaled input": net(TWO.replace("x[t]", "(x[t] - 0.5) * 2")),
    "divided input": net(TWO, before="x = x / 255 * 200"),
    "sum with itself": net(TWO.replace("self.fc2(spk1)", "self.fc2(spk1 + spk1)")),
    "factors between": net(TWO.replace("self.fc1(x[t])", "self.fc1(x[t]) * 2").replace("self.fc2(spk1)", "-1.5 * self.fc2(spk1) + 0.1")),
    "offset on spikes": net(TWO.replace("self.fc2(spk1)", "self.fc2(spk1 + 1)")),
    "subtracted": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(spk1) - self.fc3(spk1)); out.append(spk2)"
    ),
    "layer used twice": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.more(spk1)); spk3, _ = self.lif3(self.more(spk2)); out.append(spk3)",
        init="self.more = nn.Linear(5, 5)",
    ),
    "neuron used twice with states of its own": net(
        "spk1, m1 = self.lif1(self.fc1(x[t]), m1); spk2, m2 = self.lif1(self.fc2(spk1), m2); out.append(spk2)",
        before="m1, m2 = self.lif1.init_leaky(), self.lif1.init_leaky()",
    ),
    "pool used in several places": net(
        "spk1, _ = self.lif1(self.drop(self.fc1(x[t]))); spk2, _ = self.lif2(self.drop(self.fc2(spk1))); out.append(spk2)",
        init="self.drop = nn.Dropout(0.3)",
    ),
    "delay between layers": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(earlier)); earlier = spk1; out.append(spk2)"
    ),
    "loop over two populations": net(
        "spk1, _ = self.lif1(self.fc1(x[t]) + self.back(last)); last, _ = self.lif2(self.fc2(spk1)); out.append(last)",
        init="self.back = nn.Linear(4, 5)",
    ),
    "recurrence before the layer": net(
        "spk1, _ = self.lif1(self.rec(earlier) + self.fc1(x[t])); earlier = spk1; spk2, _ = self.lif2(self.fc2(spk1)); out.append(spk2)",
        init="self.rec = nn.Linear(5, 5)",
    ),
    "input joined with what fired": net(
        "earlier, _ = self.lif1(self.both(torch.cat([x[t], earlier], 1))); spk2, _ = self.lif2(self.fc2(earlier)); out.append(spk2)",
        init="self.both = nn.Linear(11, 5)",
    ),
    "two branches joined": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(spk1)); "
        "spk3, _ = self.lif3(self.end(torch.cat((spk1, spk2), dim=-1))); out.append(spk3)",
        init="self.end = nn.Linear(9, 3)",
    ),
    "joined neurons": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(torch.cat([self.fc2(spk1), self.fc3(spk1)], 1)); out.append(spk2)"
    ),
    "functional layers": net(
        "spk1, _ = self.lif1(F.linear(x[t], self.fc1.weight, self.fc1.bias)); spk2, _ = self.lif2(spk1 @ self.w + self.fc2.bias); out.append(spk2)",
        init="self.w = nn.Parameter(torch.randn(5, 4))",
    ),
    "weight normalisation": net(TWO, init="self.fc1 = nn.utils.parametrizations.weight_norm(self.fc1)"),
    "potential returned": net(TWO.replace("out.append(spk2)", "out.append(mem2)")),
    "spikes and potentials": net(TWO, before="mems = []").replace("out.append(spk2)", "out.append(spk2); mems.append(mem2)").replace("return torch.stack(out)", "return torch.stack(out), torch.stack(mems)"),
    "added up": net(TWO.replace("out.append(spk2)", "total = total + spk2"), before="total = 0.", returned="total / len(x)"),
    "potential added up": net(TWO.replace("out.append(spk2)", "total += mem2"), before="total = torch.zeros(x.shape[1], 4)", returned="total"),
    "last layer without neurons": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); out.append(self.fc2(spk1))", returned="torch.stack(out).mean(0)"
    ),
    "last layer normalised": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); out.append(self.bn(self.fc2(spk1)))", init="self.bn = nn.BatchNorm1d(4)", returned="torch.stack(out).max(0)[0]"
    ),
    "two last layers added": net(
        "spk1, _ = self.lif1(self.fc1(x[t])); out.append(self.fc2(spk1) + self.fc3(spk1))", returned="torch.stack(out).sum(0)"
    ),
    "last step": net(TWO.replace("out.append(spk2)", "out.append(mem2)"), returned="torch.stack(out)[-1]"),
    "softmax of the mean": net(TWO, returned="torch.stack(out).mean(0).softmax(-1)"),
    "written into a buffer": net(TWO.replace("out.append(spk2)", "out[t] = spk2"), before="out = torch.zeros(x.shape[0], x.shape[1], 4)", returned="out"),
    "batch first and turned": net(TWO.replace("x[t]", "x[t]"), before="x = x.transpose(0, 1)", returned="torch.stack(out, dim=1)"),
    "time last": net(TWO, before="x = x.permute(2, 0, 1)", returned="torch.stack(out, dim=-1)"),
    "whole sequence through layers": net(
        "spk1, _ = self.lif1(current[t]); spk2, _ = self.lif2(self.fc2(spk1)); out.append(spk2)", before="current = self.fc1(x)"
    ),
    "unbound": net(TWO.replace("x[t]", "rows[t]"), before="rows = x.unbind(0)"),
    "joined along time": net(TWO.replace("out.append(spk2)", "out.append(spk2.unsqueeze(0))"), returned="torch.cat(out, 0)"),
    "channels parted": net(
        "a, b = self.fc1(x[t]).split([2, 3], dim=1); spk1, _ = self.lif1(torch.cat([b, a], 1)); spk2, _ = self.lif2(self.end(spk1[:, 1:4])); out.append(spk2)",
        init="self.end = nn.Linear(3, 4)",
    ),
    "units repeated": net("spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.end(spk1[:, :2].repeat(1, 2))); out.append(spk2)", init="self.end = nn.Linear(4, 4)"),
    "changed in place": net(TWO.replace("self.fc2(spk1)", "self.fc2(spk1.mul_(2.0))")),
}  # fmt: skip

CONVOLUTIONAL = {
    "normalised": conv("spk1, _ = self.lif1(self.bn(self.a(row))); s, _ = self.lif2(self.b(spk1))" + ENDS),
    "normalised through a pool": conv("spk1, _ = self.lif1(self.bn(F.avg_pool2d(3 * self.a(row), 2))); s, _ = self.lif2(3 * self.b(spk1))" + ENDS),
    "normalised before a padded convolution": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.b(self.bn(spk1)))" + ENDS),
    "scaled image, padded": conv("spk1, _ = self.lif1(self.a((row - 0.5) / 0.3)); s, _ = self.lif2(self.b(spk1))" + ENDS),
    "spikes pooled by their largest": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.b(F.max_pool2d(spk1, 2)))" + ENDS),
    "sums of spikes pooled by their largest": conv("spk1, _ = self.lif1(self.a(row)); spk2, _ = self.lif2(self.b(spk1)); s, _ = self.lif3(self.d(self.m(spk1 + spk2)))" + ENDS, "self.m, self.d = nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 3, 3)"),
    "overlapping padded pools": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.b(self.p(self.m(spk1))))" + ENDS, "self.p, self.m = nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 1, 1)"),
    "currents pooled by their largest": conv("spk1, _ = self.lif1(F.max_pool2d(self.a(row), 2)); s, _ = self.lif2(self.b(spk1))" + ENDS),
    "adaptive and global pools": conv("spk1, _ = self.lif1(3 * nn.AdaptiveAvgPool2d(4)(self.a(row))); s, _ = self.lif2(3 * self.b(spk1)); spk, _ = self.lif4(self.end(nn.AdaptiveAvgPool2d(1)(s).flatten(1)))", "self.end = nn.Linear(3, 4)").replace("nn.LazyLinear(4)", "nn.Linear(3, 4)"),
    "mean over space": conv("spk1, _ = self.lif1(self.a(row)); spk, _ = self.lif4(self.end(spk1.mean((2, 3))))", "self.end = nn.Linear(3, 4)").replace("nn.LazyLinear(4)", "nn.Linear(3, 4)"),
    "residual of spikes": conv("spk1, _ = self.lif1(self.a(row)); spk2, _ = self.lif2(self.b(spk1)); s, _ = self.lif3(self.d(spk2 + spk1))" + ENDS, "self.d = nn.Conv2d(3, 2, 3)"),
    "residual of currents, normalised": conv("spk1, _ = self.lif1(self.a(row)); c1 = self.a(row); s, _ = self.lif2(self.bn(self.b(spk1)) + self.bn2(c1))" + ENDS, "self.bn2 = nn.BatchNorm2d(3)"),
    "sum normalised": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.bn(self.b(spk1) + self.a(row)))" + ENDS),
    "channels joined": conv("spk1, _ = self.lif1(self.a(row)); spk2, _ = self.lif2(self.b(spk1)); s, _ = self.lif3(self.c(torch.cat([spk1, spk2], dim=1)))" + ENDS),
    "channels joined and pooled": conv("spk1, _ = self.lif1(self.a(row)); spk2, _ = self.lif2(self.b(spk1)); s, _ = self.lif3(self.c(F.avg_pool2d(torch.cat([spk1, spk2], dim=1), 2)))" + ENDS),
    "channels joined and flattened": conv("spk1, _ = self.lif1(self.a(row)); spk2, _ = self.lif2(self.b(spk1)); s = torch.cat([spk1, spk2], 1)" + ENDS),
    "even kernel, same": conv("spk1, _ = self.lif1(self.e(row)); s, _ = self.lif2(self.b(spk1))" + ENDS, "self.e = nn.Conv2d(2, 3, 4, padding='same')"),
    "padded by hand": conv("spk1, _ = self.lif1(self.g(F.pad(row, (1, 2, 0, 1)))); s, _ = self.lif2(self.b(spk1))" + ENDS, "self.g = nn.Conv2d(2, 3, 3)"),
    "half of the channels": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.g(spk1[:, :2]))" + ENDS, "self.g = nn.Conv2d(2, 3, 3)"),
    "grouped and dilated": conv("spk1, _ = self.lif1(self.e(row)); s, _ = self.lif2(self.b(spk1))" + ENDS, "self.e = nn.Conv2d(2, 4, 3, groups=2, dilation=2); self.b = nn.Conv2d(4, 3, 3, padding=1)"),
    "made larger by a transposed convolution": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(2 * self.b(self.up(F.avg_pool2d(spk1, 2))))" + ENDS, "self.up = nn.ConvTranspose2d(3, 6, 3, stride=2, padding=1, output_padding=1, groups=3); self.b = nn.Conv2d(6, 3, 3, padding=1)"),
    "made larger by repeating": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(9 * self.b(F.interpolate(F.avg_pool2d(spk1, 2), scale_factor=2, mode='nearest')))" + ENDS),
    "made larger between points": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.b(nn.Upsample((7, 9), mode='bilinear')(spk1)))" + ENDS),
    "neurons behind a larger map": conv("spk1, _ = self.lif1(self.up(self.a(row))); s, _ = self.lif2(self.b(spk1))" + ENDS, "self.up = nn.ConvTranspose2d(3, 3, 2, stride=2)"),
    "pools that do not divide": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(9 * self.b(F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(spk1, (3, 5)), 7)))" + ENDS),
    "pools that are not full": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.b(F.avg_pool2d(spk1, 3, 2, 1, ceil_mode=True, count_include_pad=False)))" + ENDS),
    "padded by what lies at the edge": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.g(F.pad(spk1, (1, 1, 1, 1), mode='replicate')))" + ENDS, "self.g = nn.Conv2d(3, 3, 3)"),
    "einsum over channels": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(torch.einsum('bchw,oc->bohw', spk1, self.b.weight[:, :, 1, 1]))" + ENDS),
    "einsum over all features": conv("spk1, _ = self.lif1(self.a(row)); spk, _ = self.lif4(torch.einsum('ochw,bchw->bo', self.w, spk1))", "self.w = nn.Parameter(torch.randn(4, 3, 8, 8) / 9)").replace("nn.LazyLinear(4)", "nn.Linear(3, 4)"),
    "channels last": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.b(spk1)); s = s.permute(0, 2, 3, 1)" + ENDS),
    "every second row": conv("spk1, _ = self.lif1(self.a(row)); s, _ = self.lif2(self.b(spk1[:, :, ::2]))" + ENDS),
    "one pixel of a mean that keeps its axes": conv("spk1, _ = self.lif1(self.a(row)); spk, _ = self.lif4(self.end(spk1.mean((2, 3), keepdim=True)[:, :, 0, 0]))", "self.end = nn.Linear(3, 4)").replace("nn.LazyLinear(4)", "nn.Linear(3, 4)"),
    "squeezed": conv("spk1, _ = self.lif1(self.g(row)); spk, _ = self.lif4(self.end(spk1.squeeze()))", "self.g, self.end = nn.Conv2d(2, 3, 8), nn.Linear(3, 4)").replace("nn.LazyLinear(4)", "nn.Linear(3, 4)"),
}  # fmt: skip

ROWS = {
    "convolution over one axis": "snn.Leaky(beta=0.9, threshold=0.1, init_hidden=True)",
    "normalised": "nn.BatchNorm1d(4), " + LEAKY,
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel", "ignore:Lazy modules are a new feature")
@pytest.mark.parametrize("name", DENSE)
def test_dense_network_fires_as_it_is_written(name: str, reproduced: Callable[..., Any]) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    reproduced(DENSE[name], "import snntorch as snn\n")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel", "ignore:Lazy modules are a new feature")
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_network_fires_as_it_is_written(name: str, reproduced: Callable[..., Any]) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    reproduced(CONVOLUTIONAL[name], "import snntorch as snn\n", (2, 8, 8))


SPIKINGJELLY = "from spikingjelly.activation_based import functional, layer, neuron, surrogate\n"
MANY = {
    "containers and votes": (
        "build = lambda: nn.Sequential(layer.SeqToANNContainer(nn.Linear(6, 9), nn.Dropout()), neuron.IFNode(0.4, step_mode='m'),"
        " layer.MultiStepContainer(nn.Sequential(nn.Linear(9, 8), neuron.LIFNode(2., v_threshold=0.2))), layer.VotingLayer(2, step_mode='m'))",
        (6,),
    ),
    "threshold-dependent normalisation": (
        TRAINED + "def build():\n    net = nn.Sequential(layer.Conv2d(2, 3, 3), layer.ThresholdDependentBatchNorm2d(1., 0.5, 3), neuron.IFNode(0.3), layer.MaxPool2d(2),"
        " layer.Flatten(), layer.Linear(27, 5), neuron.ParametricLIFNode(v_threshold=0.1))\n    functional.set_step_mode(net, 'm')\n    return trained(net)\n",
        (2, 8, 8),
    ),
    "one axis": (
        TRAINED + "def build():\n    net = nn.Sequential(layer.Conv1d(2, 4, 3, padding=1), layer.BatchNorm1d(4), neuron.IFNode(0.3), layer.MaxPool1d(2), layer.AvgPool1d(2),"
        " layer.Conv1d(4, 4, 2, groups=2, dilation=2), neuron.IFNode(0.2), layer.Flatten(), layer.Linear(8, 5), neuron.IFNode(0.1))\n    functional.set_step_mode(net, 'm')\n    return trained(net)\n",
        (2, 16),
    ),
    "static image": (
        "class build(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.net = nn.Sequential(layer.Linear(6, 9), neuron.IFNode(0.4), layer.Linear(9, 4), neuron.IFNode(0.3))\n"
        "        functional.set_step_mode(self, 'm')\n\n    def forward(self, x):\n        return self.net(x.unsqueeze(0).repeat(15, 1, 1)).mean(0)\n",
        (6,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_spikingjelly_modules_fire_as_they_are_written(
    name: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed")
    body, shape = MANY[name]
    x = (np.random.default_rng(5).random((15, 4, *shape)) < 0.5).astype(np.uint8)
    if name == "static image":
        x[1:] = x[0]
    spec = make_model(body, imports=SPIKINGJELLY)
    result = export(spec, weights=None, sample_shape=shape, output=tmp_path / "m.nir", inputs=x)
    assert any(line.startswith("check: equal in spikes") for line in result.findings)
    if name == "containers and votes":
        written = json.loads(result.graph.metadata["neurodeploy"])
        assert written.get("outputs") == ["2.0.1"]


DECISIONS = {
    "added up": "count,output=lif2",
    "potential added up": "sum,output=lif2.v",
    "last layer without neurons": "mean,output=fc2",
    "last layer normalised": "max,output=fc2",
    "last step": "last,output=lif2.v",
    "softmax of the mean": "count,output=lif2",
    "spikes and potentials": None,
}


@pytest.mark.parametrize("name", DECISIONS)
def test_decision_is_read_from_what_the_model_returns(
    name: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    result = export(make_model(DENSE[name]), weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    assert json.loads(result.graph.metadata["neurodeploy"]).get("decision") == DECISIONS[name]


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_largest_of_spikes_is_written_in_nodes_of_nir(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model(CONVOLUTIONAL["spikes pooled by their largest"])
    graph = export(spec, weights=None, sample_shape=(2, 8, 8), output=tmp_path / "m.nir").graph
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert kinds["max_pool2d"] == "Threshold"
    assert kinds["max_pool2d.sum"] == "SumPool2d"
    assert read_network(tmp_path / "m.nir")[0].population("max_pool2d").rule.reset == "none"


def test_branch_on_values_is_said(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    body = net(TWO, before="x = x / 2 if x.max() > 3 else x")
    result = export(make_model(body), weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    assert any("looks at a value" in line for line in result.findings)


def test_form_is_asked_for_where_several_work(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    body = """
class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 4), snn.Leaky(beta=0.8, init_hidden=True))

    def forward(self, x):
        return torch.stack([self.net(row) for row in x]) if x.dim() > 2 else self.net(x)

build = Wrapped
"""
    with pytest.raises(DeployError, match=r"more than one way(?s:.*)form"):
        export(make_model(body), weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    for form in ("step", "sequence"):
        result = export(make_model(body), weights=None, sample_shape=(6,), output=tmp_path / "m.nir", form=form)
        assert result.convention.startswith(form)


STATES = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 9), snn.Leaky(beta=0.9, threshold=0.2)
        self.out, self.last, self.num_steps = nn.Linear(9, 4), snn.Leaky(beta=0.9, threshold=0.1), 15

    def forward(self, {}):
        {}
        spk, m1 = self.lif(self.fc(x), m1)
        spk, m2 = self.last(self.out(spk), m2)
        return {}
"""
FRESH = "m1, m2 = self.lif.init_leaky(), self.last.init_leaky()"


@pytest.mark.parametrize(
    ("arguments", "before", "returned"),
    [
        ("x, m1=None, m2=None", f"if m1 is None: {FRESH}", "spk, m1, m2"),
        ("x, state=None", f"{FRESH} if state is None else state".replace("m1, m2 = ", "m1, m2 = (", 1).replace(" if", ") if"), "spk, (m1, m2)"),
    ],
)  # fmt: skip
def test_states_may_be_passed_in_and_out(
    reproduced: Callable[..., Any], arguments: str, before: str, returned: str
) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    result = reproduced(STATES.format(arguments, before, returned), "import snntorch as snn\n")
    assert result.convention.startswith("step")


def test_forward_that_zeroes_its_states_is_a_run_of_one_step(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model(STATES.format("x", FRESH, "spk, m2"))
    result = export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    assert "each call starts from the same states" in result.convention
    assert any("16 samples of 1 steps" in line for line in result.findings)


def test_states_that_are_taken_and_not_returned_are_refused(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model(STATES.format("x, m1=None, m2=None", f"if m1 is None: {FRESH}", "spk, m2"))
    with pytest.raises(DeployError, match="mem of lif is set to zero by the model"):
        export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir")


def test_steps_that_an_attribute_fixes_are_tried(reproduced: Callable[..., Any]) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    body = net(TWO, init="self.num_steps = 15").replace("range(len(x))", "range(self.num_steps)")
    assert "that number is fixed in the model" in reproduced(body, "import snntorch as snn\n").convention


def test_values_below_zero_loosen_no_bound(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    body = net(
        "spk1, mem1 = self.cell(self.fc1(x[t])); out.append(mem1)",
        init="self.cell = snn.Lapicque(R=5.1, C=5e-3, time_step=1e-3)",
    )
    result = export(make_model(body), weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    assert any("v of cell within float32 rounding" in line and "random values" in line for line in result.findings)


def test_steps_that_are_thrown_away_are_named(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model(net(TWO, returned="torch.stack(out[8:])"))
    with pytest.raises(DeployError, match=r"forward returns only later steps(?s:.*)data"):
        export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    x = (np.random.default_rng(5).random((20, 4, 6)) < 0.5).astype(np.uint8)
    result = export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir", inputs=x)
    assert any("a stack of 12 of 20 steps" in line for line in result.findings)


def test_return_that_no_rule_is_has_to_be_decided(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model(net(TWO, returned="torch.stack(out).cumsum(0)[:, -1]"))
    export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    settled = settle_decision(read_network(tmp_path / "m.nir")[0], None, 4)
    assert settled.decision is None
    assert "cumsum() to its output" in settled.because
    assert [str(one) for one in settled.candidates] == ["count,output=lif2"]


@pytest.mark.parametrize("shape", [(1, 6), (20, 6)])
def test_a_sample_shape_with_time_or_batch_before_a_dense_layer_is_noticed(
    make_model: Callable[..., str], tmp_path: Path, shape: tuple[int, ...]
) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model("build = lambda: nn.Sequential(nn.Linear(6, 5), snn.Leaky(beta=.9, init_hidden=True))\n")
    lines = export(spec, weights=None, sample_shape=shape, output=tmp_path / "m.nir").findings
    assert any("if the others are time or batch, give --sample-shape 6" in line for line in lines)


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (20, 1, 1, 4, 4)])
def test_a_sample_shape_with_time_or_batch_before_a_convolution_is_refused(
    make_model: Callable[..., str], tmp_path: Path, shape: tuple[int, ...]
) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model("build = lambda: nn.Sequential(nn.Conv2d(1, 2, 3), snn.Leaky(beta=.9, init_hidden=True))\n")
    with pytest.raises(DeployError, match=r"\(Conv2d\) takes 3, so the shape seems to include time or batch") as caught:
        export(spec, weights=None, sample_shape=shape, output=tmp_path / "m.nir")
    assert "1,4,4" in caught.value.fix
