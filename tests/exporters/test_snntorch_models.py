"""Models as people write them, exported, read back and replayed: every spike is the framework's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.exporters.export import ExportResult, export
from neurodeploy.exporters.load_model import load_model
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.recording import load_recording
from neurodeploy.ir.run_options import RunOptions

pytest.importorskip("snntorch", reason="snnTorch is not installed")

T, B = 12, 6

SEQUENTIAL = """
def build():
    return nn.Sequential(nn.Linear(6, 9), snn.Leaky(beta=0.8, init_hidden=True), nn.Linear(9, 4),
                         snn.Leaky(beta=0.9, init_hidden=True, output=True))
"""

SEQUENCE = """
class Net(nn.Module):
    def __init__(self, neuron=snn.Leaky, **options):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 9), nn.Linear(9, 4, bias=False)
        self.lif1, self.lif2 = snn.Leaky(beta=torch.rand(9)), snn.Leaky(beta=0.9, threshold=0.4)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, potentials = [], []
        for step in range(x.size(0)):
            spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            potentials.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(potentials, dim=0)

build = Net
"""

BATCH_FIRST = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 4), snn.Leaky(beta=0.7, threshold=0.5, reset_mechanism="zero")

    def forward(self, x):
        mem, out = self.lif1.reset_mem(), torch.zeros(x.shape[1], x.shape[0], 4)
        for t in range(x.shape[1]):
            out[t], mem = self.lif1(self.fc1(x[:, t, :]), mem)
        return out.transpose(0, 1).sum(1)

build = Net
"""

STATIC = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 9), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(9, 4), snn.Leaky(beta=0.9)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        current = self.fc1(x)
        for _ in range(12):
            spk, mem1 = self.lif1(current, mem1)
            spk, mem2 = self.lif2(self.fc2(spk), mem2)
            out.append(spk)
        return torch.stack(out)

build = Net
"""

CONVOLUTION = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(2, 4, (3, 5), padding=(1, 2), groups=2), nn.Dropout(0.5))
        self.lif1 = snn.Leaky(beta=torch.rand(4, 1, 1), threshold=0.3)
        self.pool = nn.AvgPool2d(3, 2, padding=1)
        self.conv = nn.Conv2d(4, 3, 3, stride=2, padding="valid", dilation=1, bias=False)
        self.lif2 = snn.Leaky(beta=0.9, threshold=0.05, reset_mechanism="zero")
        self.output = nn.Linear(3 * 1 * 2, 5)
        self.lif3 = snn.Leaky(beta=0.9, threshold=0.2, reset_mechanism="none")

    def forward(self, x):
        out = []
        for row in x:
            spk, _ = self.lif1(self.block(row))
            spk, _ = self.lif2(self.conv(self.pool(spk)))
            spk, _ = self.lif3(self.output(spk.view(spk.size(0), -1)))
            out += [spk]
        return torch.stack(out)

build = Net
"""

NEURON = """
def build():
    return nn.Sequential(nn.Linear(6, 9), {neuron}, nn.Linear(9, 4), snn.Leaky(beta=0.9, init_hidden=True, output=True))
"""

SKIP = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.skip, self.rec = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(6, 4), nn.Linear(4, 4)
        self.lif1, self.lif2 = snn.Leaky(beta=0.9, threshold=0.3), snn.Leaky(beta=0.9, threshold=0.3)

    def forward(self, x):
        spk2, out = torch.zeros(x.shape[1], 4), []
        for t in range(len(x)):
            spk1, _ = self.lif1(self.fc1(x[t]))
            spk2, _ = self.lif2(self.fc2(spk1) + self.skip(x[t]) + self.rec(spk2))
            out.append(spk2)
        return torch.stack(out)

build = Net
"""


def exported(spec: str, folder: Path, shape: tuple[int, ...], constant: bool = False) -> tuple[ExportResult, Any, Any]:
    x = (np.random.default_rng(5).random((T, B, *shape)) < 0.5).astype(np.uint8)
    if constant:
        x[1:] = x[0]
    result = export(
        spec, weights=None, sample_shape=shape, output=folder / "m.nir", inputs=x, record_output=folder / "trained.npz"
    )
    return result, x, load_recording(folder / "trained.npz")


@pytest.mark.parametrize(
    ("body", "form", "shape"),
    [
        (SEQUENTIAL, "step", (6,)),
        (SEQUENCE, "sequence", (6,)),
        (BATCH_FIRST, "batch-first", (6,)),
        (STATIC, "static", (6,)),
        (CONVOLUTION, "sequence", (2, 7, 10)),
    ],
)
def test_replayed_file_fires_as_the_framework(
    body: str, form: str, shape: tuple[int, ...], make_model: Callable[..., str], replay: Any, tmp_path: Path
) -> None:
    result, x, recording = exported(make_model(body), tmp_path, shape, constant=form == "static")
    assert result.convention.startswith(f"{form}: given [")
    graph = nir.read(tmp_path / "m.nir", type_check=False)
    spikes = replay(graph, x)
    assert set(spikes) == set(recording.nodes)
    for name in spikes:
        assert np.array_equal(spikes[name], recording.spikes(name)), name
        assert 0 < recording.spikes(name).mean() < 1, name


NEURONS = (
    "snn.Leaky(beta=0.8, ",
    "snn.Synaptic(alpha=torch.rand(9), beta=0.7, ",
    "snn.RLeaky(beta=0.7, linear_features=9, ",
    "snn.RLeaky(beta=0.7, all_to_all=False, V=torch.randn(9), ",
    "snn.RSynaptic(alpha=0.5, beta=0.7, linear_features=9, ",
    "snn.RSynaptic(alpha=0.5, beta=0.7, all_to_all=False, V=0.3, ",
)
# With init_hidden=True and reset_delay=False, RSynaptic of snnTorch 1.0.0 raises a TypeError of its own.
CASES = [(neuron, delay) for neuron in NEURONS for delay in (True, False) if delay or "RSynaptic" not in neuron]


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize(("neuron", "delay"), CASES)
def test_every_neuron_and_reset_is_replayed_exactly(
    neuron: str, delay: bool, reset: str, make_model: Callable[..., str], replay: Any, tmp_path: Path
) -> None:
    options = f"threshold=0.4, reset_mechanism={reset!r}, reset_delay={delay}, init_hidden=True)"
    result, x, recording = exported(make_model(NEURON.format(neuron=neuron + options)), tmp_path, (6,))
    spikes = replay(nir.read(tmp_path / "m.nir"), x)
    assert np.array_equal(spikes["1"], recording.spikes("1"))
    rules = json.loads(result.graph.nodes["1"].metadata["neurodeploy"])["rules"]
    drops = reset == "zero" and delay and "Leaky(" + "beta=0.8" not in neuron
    assert rules == {"reset": reset, "reset_delay": delay, "spike": ">", "reset_drops_input": drops}


def test_rsynaptic_is_written_as_it_runs(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.lif = snn.RSynaptic(alpha=0.5, beta=0.8, linear_features=4, threshold=0.3, reset_delay=False)

    def forward(self, x):
        zeros = torch.zeros(x.shape[1], 4)
        spk, syn, mem, out = zeros, zeros, zeros, []
        for row in x:
            spk, syn, mem = self.lif(self.fc(row), spk, syn, mem)
            out.append(spk)
        return torch.stack(out)

build = Net
"""
    result, _, recording = exported(make_model(body), tmp_path, (6,))
    assert json.loads(result.graph.nodes["lif"].metadata["neurodeploy"])["rules"]["reset_delay"] is True
    assert any("ignores reset_delay=False" in line for line in result.findings)
    assert recording.spikes("lif").any()


def test_skip_and_recurrence_in_code_become_edges(make_model: Callable[..., str], tmp_path: Path) -> None:
    result, _, recording = exported(make_model(SKIP), tmp_path, (6,))
    assert ("skip", "lif2") in result.graph.edges
    assert {("lif2", "rec"), ("rec", "lif2")} <= set(result.graph.edges)
    assert result.outputs == ("lif2",)
    assert recording.spikes("lif2").any()


def test_ports_give_way_to_modules_of_their_name(make_model: Callable[..., str], tmp_path: Path) -> None:
    result, _, _ = exported(make_model(CONVOLUTION), tmp_path, (2, 7, 10))
    assert type(result.graph.nodes["output"]).__name__ == "Affine"
    assert ("lif3", "output_") in result.graph.edges
    assert result.graph.nodes["conv"].input_shape == (4, 5)


def test_layers_may_take_the_whole_sequence(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten, self.fc = nn.Flatten(2), nn.Linear(6, 4)
        self.lif = snn.Leaky(beta=0.8, threshold=0.3)

    def forward(self, x):
        current = self.fc(self.flatten(x.float()))
        return torch.stack([self.lif(row)[0] for row in current.unbind(0)]).mean(0)

build = Net
"""
    result, _, _ = exported(make_model(body), tmp_path, (2, 3))
    assert (int(result.graph.nodes["flatten"].start_dim), int(result.graph.nodes["flatten"].end_dim)) == (0, 1)
    assert any("how lif decides: spikes are counted" in line for line in result.findings)


def test_two_heads_are_two_outputs(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.utils.parametrizations.weight_norm(nn.Linear(6, 9))
        self.a, self.b = nn.Linear(9, 3), nn.Linear(9, 2)
        self.lif, self.lif_a, self.lif_b = (snn.Leaky(beta=0.9, threshold=0.3) for _ in range(3))

    def forward(self, x):
        a, b = [], []
        for row in x:
            spikes, _ = self.lif(F.dropout(self.fc(row), 0.5, self.training))
            a.append(self.lif_a(self.a(spikes))[0])
            b.append(self.lif_b(self.b(spikes))[0])
        return torch.stack(a), torch.stack(b)

build = Net
"""
    result, _, _ = exported(make_model(body), tmp_path, (6,))
    assert result.outputs == ("lif_a", "lif_b")
    assert {("lif_a", "output_0"), ("lif_b", "output_1")} <= set(result.graph.edges)


def test_trained_decays_survive_exactly(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = """
def build():
    decay = torch.cat([torch.rand(2000), 1 - torch.logspace(-7, -1, 500), torch.logspace(-8, 0, 500),
                       torch.tensor([0.0, 1.0, -0.3, 1.7])])
    lif = snn.Leaky(beta=decay, init_hidden=True, learn_beta=True)
    return nn.Sequential(nn.Linear(2, len(decay)), lif)
"""
    result = export(make_model(body), weights=None, sample_shape=(2,), output=tmp_path / "m.nir")
    node = nir.read(tmp_path / "m.nir").nodes["1"]
    model = __import__("neurodeploy.exporters.load_model", fromlist=["load_model"]).load_model(make_model(body), None)[
        0
    ]
    wanted = model[1].beta.detach().clamp(0, 1).numpy()
    assert np.array_equal(np.float32(1 - 1e-4 / node.tau), wanted)
    assert np.array_equal(np.float32(node.r * 1e-4 / node.tau), np.ones_like(wanted))
    assert np.isfinite(node.tau).all()
    assert not any("values of beta" in line for line in result.findings)


def test_same_model_gives_the_same_bytes(make_model: Callable[..., str], tmp_path: Path) -> None:
    spec = make_model(SEQUENCE)
    first, second = tmp_path / "a.nir", tmp_path / "b.nir"
    for path in (first, second):
        export(spec, weights=None, sample_shape=(6,), output=path)
    assert first.read_bytes() == second.read_bytes()


def test_metadata_names_dialect_and_versions(make_model: Callable[..., str], tmp_path: Path) -> None:
    export(make_model(SEQUENCE), weights=None, sample_shape=(6,), output=tmp_path / "m.nir", dt=1e-3)
    written = json.loads(nir.read(tmp_path / "m.nir").metadata["neurodeploy"])
    assert written["dialect"] == "snntorch"
    assert written["dt"] == 1e-3
    assert set(written["framework"]) == {"snntorch", "torch"}
    assert written["outputs"] == ["lif2", "lif2.v"]


def test_recording_holds_states_and_provenance(make_model: Callable[..., str], tmp_path: Path) -> None:
    _, _, recording = exported(
        make_model(NEURON.format(neuron="snn.Synaptic(alpha=0.5, beta=0.7, init_hidden=True)")), tmp_path, (6,)
    )
    assert recording.nodes["1"].keys() == {"spikes", "v", "u"}
    assert recording.nodes["3"].keys() == {"spikes", "v"}
    assert recording.spikes("1").shape == (T, B, 9)
    assert recording.outputs == ("3",)
    assert recording.meta["backend"] == "trained"


def test_weights_are_loaded(make_model: Callable[..., str], tmp_path: Path) -> None:
    spec = make_model(SEQUENCE)
    state = load_model(spec, None)[0].state_dict()
    state["fc2.weight"] = torch.full((4, 9), 0.25)
    torch.save(state, tmp_path / "w.pt")
    result = export(spec, weights=tmp_path / "w.pt", sample_shape=(6,), output=tmp_path / "m.nir")
    assert (result.graph.nodes["fc2"].weight == 0.25).all()


@pytest.mark.parametrize(
    "body",
    [
        SEQUENCE,
        BATCH_FIRST,
        SKIP,
        NEURON.format(
            neuron="snn.RSynaptic(alpha=0.5, beta=0.7, "
            "linear_features=9, threshold=0.3, reset_mechanism='zero', init_hidden=True)"
        ),
    ],
)
def test_reference_backend_fires_as_the_framework(body: str, make_model: Callable[..., str], tmp_path: Path) -> None:
    _, x, recording = exported(make_model(body), tmp_path, (6,))
    network, _, _ = read_network(tmp_path / "m.nir")
    run = Reference().run(network, dict.fromkeys(network.inputs, x), RunOptions())
    assert run.outputs == recording.outputs
    for name in recording.nodes:
        assert np.array_equal(run.spikes(name), recording.spikes(name)), name
