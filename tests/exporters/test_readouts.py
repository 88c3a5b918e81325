"""What a model returns, read as its own return says it; the exported graph is the model's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.exporters.export import ExportResult, export
from neurodeploy.exporters.load_model import load_model
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions

SNN = "import snntorch as snn\n"
NORSE = "from functools import reduce\nfrom norse.torch import LICell, LIFCell, LIFParameters\n"
SINABS = "import sinabs.layers as sl\n"

STEPS = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 9), snn.Leaky(beta=0.8)
        self.out, self.last = nn.Linear(9, 4), snn.Leaky(beta=0.8, reset_delay=False)
        self.fc.weight.data *= 3
        self.out.weight.data *= 4
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        mem, m, spikes, potentials = self.lif.init_leaky(), self.last.init_leaky(), [], []
        for step in x:
            s, mem = self.lif(self.fc(step), mem)
            s, m = self.last(self.out(s), m)
            spikes.append(s)
            potentials.append(m)
        return {}
"""


def decision(result: ExportResult) -> Any:
    return json.loads(result.graph.metadata["neurodeploy"]).get("decision")


@pytest.mark.parametrize(
    ("returned", "wanted"),
    [
        ("F.log_softmax(m, dim=-1)", "last,output=last.v"),
        ("torch.stack(potentials).max(0)[0].argmax(1)", "max,output=last.v"),
        ("torch.stack(spikes).sum(0).max(1)[1]", "count,output=last"),
        ("torch.argmax(torch.stack(spikes).mean(0), dim=-1)", "count,output=last"),
        ("torch.stack(spikes).sum(0).reshape(-1, 2, 2).sum(-1)", "count,groups=2,output=last"),
        ("torch.stack(spikes).view(len(x), x.shape[1], 2, 2).mean((3,)).mean(0)", "count,groups=2,output=last"),
        ("-torch.stack(spikes).sum(0)", "sum,output=output_values"),
        ("sum(spikes) * torch.tensor([1.0, 2.0, 3.0, 4.0])", "sum,output=output_values"),
        ("self.head(torch.stack(spikes).mean(0))", "mean,output=head"),
        ("self.head(torch.stack(spikes, dim=1).mean(dim=1)).softmax(-1)", "mean,output=head"),
        ("self.head(sum(spikes) / len(x))", "mean,output=head"),
        ("self.head(spikes[-1])", "last,output=head"),
        ("2 * self.head(F.relu(torch.stack(spikes).mean(0))) + 1", "mean,output=head"),
        ("torch.stack(spikes).sum(0) @ self.head.weight.T", "sum,output=matmul"),
        ("F.linear(sum(spikes), self.head.weight)", "sum,output=linear"),
        ("torch.stack(spikes).sum(0)[:, ::2]", "sum,output=getitem"),
        ("torch.stack([c.sum(-1) for c in torch.stack(spikes).sum(0).chunk(2, 1)], 1)", "sum,output=output_values"),
        ("torch.stack([s[:, :2].sum(1) - s[:, 2:].sum(1) for s in spikes]).sum(0)", "sum,output=output_values"),
        ("torch.stack([s.view(-1, 2, 2).sum(-1) for s in spikes]).sum(0)", "count,groups=2,output=last"),
        ("torch.stack([s.view(-1, 2, 2).sum(1) for s in spikes]).mean(0)", "mean,output=sum"),
        ("torch.stack(spikes).view(len(x), -1, 2, 2).sum((0, -1))", "count,groups=2,output=last"),
        ("torch.stack(spikes).sum(0)[:, :2] - torch.stack(spikes).sum(0)[:, 2:]", "sum,output=output_values"),
    ],
)
def test_what_decides_is_read_from_the_return(
    reproduced: Callable[..., ExportResult], returned: str, wanted: str
) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    result = reproduced(STEPS.format(returned), SNN)
    assert str(decision(result)).replace(".scale", "") == wanted


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("torch.stack(spikes).flip(0)[0]", "flip()"),
        ("torch.stack(spikes).roll(1, 0).cumsum(0)[-1]", "roll()"),
        ("F.softmax(torch.stack(potentials), dim=2).sum(0)", "softmax() of each step"),
        ("sum(F.log_softmax(m, dim=1) for m in potentials)", "log_softmax() of each step"),
        ("torch.stack(potentials).softmax(-1).max(0)[0]", "softmax() of each step"),
        ("torch.stack(spikes).sum(0).softmax(0)", "softmax() over axis 0"),
        ("sum(s * 0.9**t for t, s in enumerate(spikes))", "a sum of steps that weights them differently"),
        ("torch.stack(spikes).sum(0) + torch.tensor([0.5, 0.0, 0.0, 0.0])", "add()"),
        ("sum(spikes) + torch.tensor([0.5, 0.0, 0.0, 0.0])", "a sum of steps that weights them differently"),
    ],
)
def test_a_return_that_no_rule_says_is_named(reproduced: Callable[..., ExportResult], returned: str, said: str) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    result = reproduced(STEPS.format(returned), SNN)
    assert decision(result) is None
    assert any(said in line for line in result.findings), result.findings


def test_a_cast_is_no_look_at_a_value(reproduced: Callable[..., ExportResult]) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    result = reproduced(STEPS.replace("self.fc(step)", "self.fc(step.float())").format("torch.stack(spikes)"), SNN)
    assert not any("looks at" in line for line in result.findings)


@pytest.mark.parametrize("total", ["torch.stack(spikes).sum(0)", "sum(spikes)"])
def test_a_layer_behind_a_sum_of_steps_adds_its_bias_once(
    reproduced: Callable[..., ExportResult], tmp_path: Path, total: str
) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    result = reproduced(STEPS.format(f"self.head({total}).softmax(-1)"), SNN)
    assert decision(result) == "last,output=head.sum"
    network = read_network(result.path)[0]
    head = load_model(f"{tmp_path / 'net.py'}:build", None)[0].head
    weight, bias = (values.detach().numpy() for values in (head.weight, head.bias))
    np.testing.assert_allclose(network.population("head.sum").v_init, bias, rtol=1e-4)
    for n_steps in (1, 8):
        x = (np.random.default_rng(2).random((n_steps, 5, 6)) < 0.5).astype(np.uint8)
        run = Reference().run(network, dict.fromkeys(network.inputs, x), RunOptions(record=("spikes",)))
        wanted = run.spikes("last").sum(0) @ weight.T + bias
        np.testing.assert_allclose(run.nodes["head.sum"]["value"][-1], wanted, atol=1e-4)


def test_a_largest_over_time_that_feeds_a_layer_is_refused(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    spec = make_model(STEPS.format("self.head(torch.stack(spikes).max(0)[0])"))
    with pytest.raises(DeployError, match="the max over time feeds head"):
        export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir")


SPACE = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(2, 4, 3, padding=1), snn.Leaky(beta=0.7, init_hidden=True)
        self.fc = nn.Linear(4, 3)
        self.conv.weight.data *= 3

    def forward(self, x):
        spikes = torch.stack([self.lif(self.conv(row)) for row in x])
        return self.fc({})
"""


@pytest.mark.parametrize(
    "pooled",
    [
        "spikes.mean(0).mean((2, 3))",
        "spikes.mean(0).mean((2, 3), keepdim=True).flatten(1)",
        "F.adaptive_avg_pool2d(spikes.mean(0), 1).flatten(1)",
        "spikes.mean([3, 4]).mean(0)",
        "F.avg_pool2d(spikes.mean(0), 4).squeeze()",
    ],
)
def test_space_and_time_are_averaged_in_any_order(reproduced: Callable[..., ExportResult], pooled: str) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    assert decision(reproduced(SPACE.format(pooled), SNN, shape=(2, 4, 4))) == "mean,output=fc"


CELLS = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 9), LIFCell(LIFParameters(v_th=torch.tensor(0.3)))
        self.out, self.li = nn.Linear(9, 4), LICell()
        self.fc.weight.data *= 6

    def forward(self, x):
        s, so, rows = None, None, []
        for step in x:
            z, s = self.lif(self.fc(step), s)
            v, so = self.li(self.out(RELU), so)
            rows.append(v)
        return torch.stack(rows).RULE(0)
"""


@pytest.mark.parametrize(
    ("returned", "rule"),
    [
        ("torch.stack(rows, dim=2).mean(2)", "mean,output=out"),
        ("torch.stack(rows, dim=-1)", "None"),
        ("torch.stack(rows).sum(0) / len(x)", "mean,output=out"),
        ("reduce(torch.maximum, rows)", "max,output=out"),
        ("reduce(torch.max, rows)", "max,output=out"),
        ("reduce(torch.maximum, rows[1:])", "None"),
        ("reduce(torch.maximum, rows[:-1])", "None"),
        ("buffer.sum(-1)", "sum,output=out"),
    ],
)
def test_time_may_be_the_last_axis_of_values(reproduced: Callable[..., ExportResult], returned: str, rule: str) -> None:
    pytest.importorskip("norse", reason="norse is not installed")
    code = CELLS.replace("v, so = self.li(self.out(RELU), so)", "v = self.out(z)")
    code = code.replace("return", "buffer = torch.zeros(x.shape[1], 4, len(x))\n        return")
    code = code.replace("return", "for t, row in enumerate(rows):\n            buffer[..., t] = row\n        return")
    assert str(decision(reproduced(code.replace("torch.stack(rows).RULE(0)", returned), NORSE))) == rule


@pytest.mark.parametrize("rule", ["sum", "mean"])
def test_values_of_an_integrator_are_no_spike_counts(reproduced: Callable[..., ExportResult], rule: str) -> None:
    pytest.importorskip("norse", reason="norse is not installed")
    result = reproduced(CELLS.replace("RELU", "z").replace("RULE", rule), NORSE)
    assert decision(result) == f"{rule},output=li"


def test_a_rectifier_of_spikes_changes_nothing(reproduced: Callable[..., ExportResult]) -> None:
    pytest.importorskip("norse", reason="norse is not installed")
    reproduced(CELLS.replace("RELU", "F.relu(z)").replace("RULE", "sum"), NORSE)


RISES = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 9), snn.Leaky(beta=0.8)
        self.out, self.last = nn.Linear(9, 4), snn.Leaky(beta=0.8)
        self.rise = snn.Leaky(beta=0.0, threshold=0.5, reset_mechanism="none")
        self.fc.weight.data *= 3
        self.out.weight.data *= 4

    def forward(self, x):
        mem, m, r, previous, spikes = self.lif.init_leaky(), self.last.init_leaky(), self.rise.init_leaky(), 0, []
        for step in x:
            s, mem = self.lif(self.fc(step), mem)
            {}
            previous = s
            s, m = self.last(self.out(rising), m)
            spikes.append(s)
        return torch.stack(spikes)
"""


def test_a_rectified_difference_of_spikes_is_named_and_a_neuron_takes_it(
    reproduced: Callable[..., ExportResult],
) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    with pytest.raises(DeployError, match=r"relu\(\) of a difference of spikes, which can be below 0") as caught:
        reproduced(RISES.format("rising = F.relu(s - previous)"), SNN)
    assert "snn.Leaky(beta=0.0, threshold=0.5, reset_mechanism='none')" in caught.value.fix
    reproduced(RISES.format("rising, r = self.rise(s - previous, r)"), SNN)


def test_a_leaky_readout_averaged_over_time_is_a_mean(reproduced: Callable[..., ExportResult]) -> None:
    pytest.importorskip("sinabs", reason="sinabs is not installed")
    code = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 9), sl.LIF(tau_mem=9.0, norm_input=False)
        self.out, self.leak = nn.Linear(9, 4), sl.ExpLeak(tau_mem=9.0, norm_input=False)
        self.fc.weight.data *= 3

    def forward(self, x):
        return self.leak(self.out(self.lif(self.fc(x)))).mean(1)
"""
    assert decision(reproduced(code, SINABS)) == "mean,output=leak"


POOLED = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(2, 4, 3, padding=1), snn.Leaky(beta=0.7, init_hidden=True)
        self.fc, self.out = nn.Linear(4, 3), snn.Leaky(beta=0.9, init_hidden=True)
        self.conv.weight.data *= 3
        self.fc.weight.data *= 4

    def forward(self, x):
        h = self.lif(self.conv(x))
        h = {}
        return self.out(self.fc(h))
"""


@pytest.mark.parametrize(
    "pooled",
    [
        "F.adaptive_avg_pool2d(h, 1).squeeze(-1).squeeze(-1)",
        "F.adaptive_avg_pool2d(h, (1, 1)).squeeze(3).squeeze(2)",
        "F.adaptive_avg_pool2d(h, 1).squeeze()",
        "h.amax(dim=(2, 3))",
        "h.amax((-2, -1), keepdim=True).flatten(1)",
    ],
)
def test_space_is_pooled_whole(reproduced: Callable[..., ExportResult], pooled: str) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    reproduced(POOLED.format(pooled), SNN, shape=(2, 4, 4))


def test_values_of_a_last_layer_that_are_added_up_are_a_sum(reproduced: Callable[..., ExportResult]) -> None:
    pytest.importorskip("norse", reason="norse is not installed")
    code = CELLS.replace("v, so = self.li(self.out(RELU), so)", "v = self.out(z)").replace(
        "torch.stack(rows).RULE(0)", "sum(rows)"
    )
    assert decision(reproduced(code, NORSE)) == "sum,output=out"
