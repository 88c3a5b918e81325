"""Networks of norse, sinabs, SpikingJelly and rockpool, exported and read back: every spike is the framework's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.exporters import adapters
from neurodeploy.exporters.export import ExportResult, export
from neurodeploy.exporters.load_model import load_model
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.recording import load_recording
from neurodeploy.ir.run_options import RunOptions

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own, at import

T, B = 20, 5

IMPORTS = {
    "norse": """
import norse.torch as snn
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.iaf import IAFCell
from norse.torch.module.leaky_integrator_box import LIBoxCell
from norse.torch.module.lif import LIFRecurrentCell
from norse.torch.module.lif_box import LIFBoxCell
t = torch.tensor
""",
    "sinabs": """
import sinabs.layers as sl
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, SingleSpike
t = torch.tensor
""",
    "spikingjelly": "from spikingjelly.activation_based import functional, layer, neuron\n",
    "rockpool": """
from rockpool.nn.combinators import Sequential
from rockpool.nn.modules import ExpSynTorch, LIFNeuronTorch, LIFTorch, LinearTorch
""",
}

NORSE_RECURRENT = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = nn.Linear(6, 9), nn.Linear(12, 4)
        self.rec = LIFRecurrentCell(9, 12, LIFParameters(v_th=t(0.1)))
        self.iaf = IAFCell(IAFParameters(v_th=t(0.3), v_reset=t(0.1)))

    def forward(self, x):
        first = second = None
        rows = []
        for row in x:
            spikes, first = self.rec(self.fc(row), first)
            spikes, second = self.iaf(self.out(spikes), second)
            rows.append(spikes)
        return torch.stack(rows)
"""

ROCKPOOL_PLAIN = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.out = LinearTorch((6, 9)), nn.Linear(9, 3)
        self.lif1 = LIFTorch(9, leak_mode="decays", alpha=torch.linspace(0.2, 0.9, 9), beta=torch.full((9, 1), 0.6),
                             threshold=0.5)
        self.lif2 = LIFTorch(3, leak_mode="bitshifts", dash_mem=3 * torch.ones(3), dash_syn=2 * torch.ones(3, 1),
                             threshold=0.3)

    def forward(self, x):
        spikes, _, _ = self.lif1(self.fc(x)[0])
        return self.lif2(self.out(spikes))[0]
"""

SPIKINGJELLY_IMAGE = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(layer.Conv2d(1, 4, 3, padding=1), neuron.IFNode(v_threshold=0.3), layer.AvgPool2d(2),
                                 layer.Flatten(), layer.Linear(64, 10), neuron.IFNode(v_threshold=0.3))
        functional.set_step_mode(self, "m")

    def forward(self, x):
        return self.net(x.unsqueeze(0).repeat(20, 1, 1, 1, 1)).mean(0)
"""

SPIKINGJELLY_LOOP = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(layer.Flatten(), layer.Linear(64, 10), neuron.LIFNode(tau=2.0, v_threshold=0.2))

    def forward(self, x):
        functional.reset_net(self)
        rate = 0
        for t in range(x.shape[0]):
            rate += self.net(x[t])
        return rate / x.shape[0]
"""

NORSE_LOOP = """
class build(nn.Module):
    def __init__(self):
        super().__init__()
        cells = [snn.LIFCell(LIFParameters(v_th=t(0.1))) for _ in range(2)]
        self.net = snn.SequentialState(nn.Conv2d(1, 4, 3), cells[0], nn.Flatten(), nn.Linear(144, 5), cells[1],
                                       nn.Linear(5, 3), snn.LIBoxCell())

    def forward(self, x):
        state, rows = None, []
        for step in x:
            out, state = self.net(step, state)
            rows.append(out)
        return torch.stack(rows).max(0)[0]
"""

SINABS_CONVERTED = """
def build():
    from sinabs.from_torch import from_model

    torch.manual_seed(1)
    ann = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 10),
                        nn.ReLU())
    return from_model(ann, input_shape=(1, 8, 8), batch_size=1)
"""

MODELS = {
    "spikingjelly-image": (SPIKINGJELLY_IMAGE, (1, 8, 8)),
    "spikingjelly-loop": (SPIKINGJELLY_LOOP, (1, 8, 8)),
    "norse-loop": (NORSE_LOOP, (1, 8, 8)),
    "sinabs-converted": (SINABS_CONVERTED, (1, 8, 8)),
    "norse-box": (
        "snn.SequentialState(nn.Linear(6, 20), LIFBoxCell(LIFBoxParameters(tau_mem_inv=t(400.), v_th=t(.2),"
        " v_reset=t(-.1))), nn.Linear(20, 7), LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.linspace(200, 600, 7),"
        " v_leak=t(.05), v_th=t(.1), reset_method=reset_subtract)), nn.Linear(7, 3),"
        " LIBoxCell(LIBoxParameters(tau_mem_inv=t(300.), v_leak=t(.1))))",
        (6,),
    ),
    "norse-cuba": (
        "snn.SequentialState(nn.Linear(6, 20), snn.LIFCell(LIFParameters(v_th=t(.15), v_leak=t(.02), v_reset=t(-.1)),"
        " dt=0.002), nn.Linear(20, 7), snn.LIFCell(LIFParameters(v_th=t(.1)), dt=0.002))",
        (6,),
    ),
    "norse-conv": (
        "snn.SequentialState(nn.Conv2d(1, 3, 3, bias=False), LIFBoxCell(LIFBoxParameters(v_th=t(.01))),"
        " nn.AvgPool2d(2), nn.Flatten(), nn.Linear(27, 4), LIFBoxCell(LIFBoxParameters(v_th=t(.01))))",
        (1, 8, 8),
    ),
    "norse-recurrent": (NORSE_RECURRENT, (6,)),
    "sinabs-fc": (
        "nn.Sequential(nn.Linear(6, 20), sl.IAF(spike_threshold=t(.2)), nn.Linear(20, 7),"
        " sl.LIF(tau_mem=torch.linspace(3, 10, 7), spike_fn=SingleSpike, min_v_mem=-.3, reset_fn=MembraneReset()),"
        " nn.Linear(7, 3), sl.ExpLeak(tau_mem=7., min_v_mem=-.1))",
        (6,),
    ),
    "sinabs-synapses": (
        "nn.Sequential(nn.Linear(6, 20), sl.LIF(tau_mem=10., tau_syn=5., norm_input=False, spike_fn=MaxSpike(2),"
        " min_v_mem=-1.), nn.Linear(20, 7), sl.IAF(tau_syn=4.), nn.Linear(7, 4),"
        " sl.LIF(tau_mem=8., tau_syn=3., spike_threshold=t(.1), train_alphas=True))",
        (6,),
    ),
    "sinabs-squeezed": (
        "nn.Sequential(nn.Conv2d(2, 4, (3, 2), bias=False), sl.IAFSqueeze(batch_size=1, min_v_mem=-1.,"
        " spike_threshold=t(.3)), sl.SumPool2d(2), nn.Conv2d(4, 3, 2), sl.LIFSqueeze(tau_mem=4., batch_size=1,"
        " spike_threshold=t(.2)), nn.AvgPool2d(1), nn.Flatten(), nn.Linear(6, 5), sl.IAFSqueeze(num_timesteps=10,"
        " spike_threshold=t(.2)))",
        (2, 8, 6),
    ),
    "sinabs-repeat": (
        "nn.Sequential(sl.Repeat(nn.Conv2d(1, 3, 3)), sl.IAF(spike_threshold=t(.2)), nn.Flatten(2), nn.Linear(108, 4),"
        " sl.IAF(spike_threshold=t(.05)))",
        (1, 8, 8),
    ),
    "spikingjelly-steps": (
        "nn.Sequential(layer.Linear(6, 20), neuron.IFNode(v_threshold=.2), layer.Linear(20, 8),"
        " neuron.LIFNode(tau=2.5, v_threshold=.1))",
        (6,),
    ),
    "spikingjelly-sequence": (
        """
def build():
    net = nn.Sequential(layer.Linear(6, 20), neuron.IFNode(v_reset=None), layer.Linear(20, 8),
                        neuron.LIFNode(tau=2.5, decay_input=False, v_reset=-0.25, v_threshold=0.3), nn.Linear(8, 5),
                        neuron.ParametricLIFNode(v_threshold=0.1, v_reset=None))
    functional.set_step_mode(net, "m")
    return net
""",
        (6,),
    ),
    "spikingjelly-conv": (
        """
def build():
    torch.manual_seed(1)
    block = layer.SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1, groups=2), nn.AvgPool2d(2))
    net = nn.Sequential(block, neuron.IFNode(v_threshold=0.2), layer.Conv2d(4, 3, (3, 2), stride=(2, 1)),
                        neuron.LIFNode(v_threshold=0.1, v_reset=0.02), layer.Flatten(), layer.Linear(9, 5),
                        neuron.LIFNode(v_threshold=0.05))
    functional.set_step_mode(net, "m")
    return net
""",
        (2, 7, 8),
    ),
    "spikingjelly-cuba": (
        "nn.Sequential(layer.Linear(6, 20), neuron.CUBALIFNode(v_reset=-.1), layer.Linear(20, 8),"
        " neuron.CUBALIFNode(c_decay=.3, v_reset=None))",
        (6,),
    ),
    "rockpool-cuba": (
        "Sequential(LinearTorch((6, 20)), LIFTorch(20, threshold=0.3 * torch.ones(20), bias=0.02),"
        " LinearTorch((20, 5), has_bias=True), LIFTorch(5, tau_mem=torch.linspace(.005, .02, 5), tau_syn=.004,"
        " bias=torch.linspace(-.1, .1, 5), max_spikes_per_dt=1, has_rec=True))",
        (6,),
    ),
    "rockpool-membrane": (
        "Sequential(LinearTorch((6, 20)), LIFNeuronTorch(20, bias=.02, tau_mem=.01, dt=2e-3), LinearTorch((20, 5)),"
        " ExpSynTorch(5, dt=2e-3))",
        (6,),
    ),
    "rockpool-decays": (ROCKPOOL_PLAIN, (6,)),
}


def spec_of(framework: str, body: str, make_model: Callable[..., str]) -> str:
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    code = body if "build" in body else f"build = lambda: {body}\n"
    return make_model(code, imports=IMPORTS[framework])


def exported(name: str, make_model: Callable[..., str], folder: Path) -> tuple[ExportResult, Any]:
    body, shape = MODELS[name]
    x = (np.random.default_rng(5).random((T, B, *shape)) < 0.5).astype(np.uint8)
    if name == "spikingjelly-image":
        x[:] = x[:1]
    spec = spec_of(name.partition("-")[0], body, make_model)
    output, record = folder / "m.nir", folder / "trained.npz"
    return export(spec, weights=None, sample_shape=shape, output=output, inputs=x, record_output=record), x


def rules(result: ExportResult, node: str) -> dict[str, Any]:
    return dict(json.loads(result.graph.nodes[node].metadata["neurodeploy"])["rules"])


@pytest.mark.parametrize("name", MODELS)
def test_reference_fires_as_the_framework(name: str, make_model: Callable[..., str], tmp_path: Path) -> None:
    result, x = exported(name, make_model, tmp_path)
    trained = load_recording(tmp_path / "trained.npz")
    network, _, _ = read_network(tmp_path / "m.nir")
    run = Reference().run(network, dict.fromkeys(network.inputs, x), RunOptions(record=("spikes", "v", "u")))
    assert network.dialect == name.partition("-")[0]
    assert run.outputs == trained.outputs == result.outputs
    for node, observed in trained.nodes.items():
        for key, values in observed.items():
            if key == "spikes":
                assert values.any(), node
                np.testing.assert_array_equal(run.spikes(node), values, err_msg=node)
                continue
            np.testing.assert_allclose(run.nodes[node][key], values, rtol=0, atol=1e-5 * np.abs(values).max())


@pytest.mark.parametrize("name", ["norse-recurrent", "sinabs-squeezed", "spikingjelly-steps", "rockpool-cuba"])
def test_random_spikes_check_a_model_without_data(name: str, make_model: Callable[..., str], tmp_path: Path) -> None:
    body, shape = MODELS[name]
    spec = spec_of(name.partition("-")[0], body, make_model)
    first, second = tmp_path / "a.nir", tmp_path / "b.nir"
    for path in (first, second):
        result = export(spec, weights=None, sample_shape=shape, output=path)
        assert any("check: equal in spikes" in line for line in result.findings)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("name", "node", "kept"),
    [
        ("norse-box", "3", {"reset": "subtract"}),
        ("sinabs-fc", "3", {"reset": "value", "max_spikes": 1, "norm_input": True}),
        ("sinabs-synapses", "1", {"reset": "subtract", "max_spikes": 2, "norm_input": False, "min_v_mem": -1.0}),
        ("spikingjelly-sequence", "1", {"reset": "subtract", "spike": ">="}),
        ("rockpool-cuba", "1_LIFTorch", {"max_spikes": 65536}),
    ],
)
def test_what_the_frameworks_exporter_drops_is_kept(
    name: str, node: str, kept: dict[str, Any], make_model: Callable[..., str], tmp_path: Path
) -> None:
    result, _ = exported(name, make_model, tmp_path)
    written = rules(result, node)
    assert {key: written[key] for key in kept} == kept


@pytest.mark.parametrize("name", ["sinabs-squeezed", "sinabs-synapses", "rockpool-cuba", "spikingjelly-steps"])
def test_weights_of_a_model_that_ran_are_loaded(name: str, make_model: Callable[..., str], tmp_path: Path) -> None:
    body, shape = MODELS[name]
    spec = spec_of(name.partition("-")[0], body, make_model)
    model, _ = load_model(spec, None)
    inputs = {"sinabs-squeezed": (10, *shape), "spikingjelly-steps": (3, *shape)}.get(name, (3, 4, *shape))
    for module in model.modules() if name == "sinabs-squeezed" else ():
        if hasattr(module, "num_timesteps"):
            module.batch_size, module.num_timesteps = 2, 5
    model(torch.rand(inputs))
    torch.save(model.state_dict(), tmp_path / "w.pt")
    result = export(spec, weights=tmp_path / "w.pt", sample_shape=shape, output=tmp_path / "m.nir")
    assert any("check: equal in spikes" in line for line in result.findings)


def test_time_step_of_the_neurons_is_kept(make_model: Callable[..., str], tmp_path: Path) -> None:
    result, _ = exported("norse-cuba", make_model, tmp_path)
    assert json.loads(result.graph.metadata["neurodeploy"])["dt"] == 0.002
    assert any("0.002 s" in line for line in result.findings)


@pytest.mark.parametrize(
    ("framework", "body", "match"),
    [
        (
            "norse",
            "snn.SequentialState(nn.Linear(6, 5), snn.LIFCell(), nn.Linear(5, 4), snn.LIFCell(dt=.01))",
            "neurons have different time steps",
        ),
        ("norse", "snn.SequentialState(nn.Linear(6, 5), snn.LIFCell(dt=.1))", "tau_mem_inv is 100 to 100 per s"),
        (
            "sinabs",
            "nn.Sequential(nn.Linear(6, 4), sl.IAF(reset_fn=MembraneSubtract(.2)))",
            r"MembraneSubtract\(subtract_value\)",
        ),
        ("rockpool", "Sequential(LinearTorch((6, 4)), LIFTorch(4, noise_std=.1))", "has noise_std other than 0"),
    ],
)
def test_what_cannot_be_said_is_refused(
    framework: str, body: str, match: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    spec = spec_of(framework, body, make_model)
    shape = (1, 6, 6) if "Pool" in body else (6,)
    with pytest.raises(DeployError, match=match):
        export(spec, weights=None, sample_shape=shape, output=tmp_path / "m.nir")
    assert not (tmp_path / "m.nir").exists()


def test_check_can_be_left_out(make_model: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    body = "build = lambda: nn.Sequential(nn.Linear(6, 4), snn.Leaky(beta=0.9, init_hidden=True))"
    spec = make_model(body)
    result = export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir", verify=False)
    assert "check: left out" in result.findings


@pytest.mark.parametrize("framework", ["norse", "sinabs", "spikingjelly", "rockpool"])
def test_framework_that_is_missing_says_what_to_install(
    framework: str, make_model: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, framework, None)
    spec = make_model("build = None", imports=f"import {framework}\n")
    with pytest.raises(DeployError, match=f"the module needs {framework}") as caught:
        export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir")
    assert f"pip install {framework}" in caught.value.fix


def test_mixed_frameworks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub(adapters.Adapter):
        def is_neuron(self, module: Any) -> bool:
            return not isinstance(module, nn.Sequential)

    parts = [type("Cell", (nn.Module,), {"__module__": f"{package}.cells"})() for package in ("norse", "sinabs")]
    monkeypatch.setattr(adapters, "load", lambda name: Stub())
    with pytest.raises(DeployError, match="0 of norse and 1 of sinabs"):
        adapters.adapter_of(nn.Sequential(*parts))
