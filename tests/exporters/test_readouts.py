"""What a model returns, read as its own return says it; the exported graph is the model's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from neurodeploy.exporters.export import ExportResult

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
