"""What cannot be exported is refused with its place and a way out, never dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from neurodeploy.errors import DeployError
from neurodeploy.exporters.export import export

pytest.importorskip("snntorch", reason="snnTorch is not installed")

LIF = "snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True)"

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.more = nn.Linear(6, 4), nn.Linear(4, 4), {more}
        self.lif1, self.lif2 = snn.Leaky(beta=0.9, threshold=0.3), snn.Leaky(beta=0.9, threshold=0.3)

    def forward(self, x):
        out, earlier = [], torch.zeros(x.shape[1], 4)
        for t in range(len(x)):
            {loop}
            out.append(spk2)
        return torch.stack(out)

build = Net
"""


def net(loop: str, more: str = "nn.Identity()") -> str:
    return NET.format(loop=loop.replace("; ", "\n            "), more=more)


def sequential(*parts: str) -> str:
    return f"build = lambda: nn.Sequential({', '.join(parts)})"


def refuse(spec: str, folder: Path, match: str, shape: tuple[int, ...] = (6,), **options: object) -> DeployError:
    with pytest.raises(DeployError, match=match) as caught:
        export(spec, weights=None, sample_shape=shape, output=folder / "m.nir", **options)  # type: ignore[arg-type]
    assert not (folder / "m.nir").exists()
    return caught.value


@pytest.mark.parametrize(
    ("loop", "match"),
    [
        (
            "spk1, _ = self.lif1(F.relu(self.fc1(x[t]))); spk2, _ = self.lif2(self.fc2(spk1))",
            r"relu\(\) is not supported",
        ),
        ("spk1, mem1 = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(mem1))", "a state of lif1 .* feeds fc2"),
        (
            "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(spk1.sort(1)[0][:, :4]))",
            "is not supported",
        ),
        (
            "spk1, m = self.lif1(self.fc1(x[t])); self.lif1.mem = m * 0.5; spk2, _ = self.lif2(self.fc2(spk1))",
            "mem of lif1 is changed",
        ),
        (
            "spk1, _ = self.lif1(self.fc1(x[t]), earlier + 0.2); spk2, _ = self.lif2(self.fc2(spk1))",
            "mem of lif1 does not start from zero",
        ),
        (
            "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(torch.ones(x.shape[1], 4)))",
            "lif2 is given a tensor that does not",
        ),
        ("spk2, _ = self.lif1(self.fc1(x[len(x) - 1 - t]))", "fc1 reaches lif1 after -2 steps"),
        (
            "c = self.fc1(x[t]); c.data.mul_(0.5); spk2, _ = self.lif1(c)",
            "the graph does not compute what the model does",
        ),
        (
            "spk1, _ = self.lif1(self.fc1(x[t])); spk1, _ = self.lif1(self.fc2(spk1)); spk2 = spk1",
            "lif1 is used twice in a step",
        ),
        (
            "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(spk1) * (1 + t))",
            "A network on a chip has the same connections",
        ),
        (
            "spk1, _ = self.lif1(self.fc1(x[t])); spk2, _ = self.lif2(self.fc2(spk1 * spk1))",
            r"mul\(\) is not supported, and its result feeds lif2(?s:.*)No neuron on a chip multiplies",
        ),
        (
            "spk1, _ = self.lif1(self.fc1(torch.bernoulli(x[t] * 0.5))); spk2, _ = self.lif2(self.fc2(spk1))",
            r"bernoulli\(\) is not supported(?s:.*)encode rate",
        ),
    ],
)
def test_what_happens_between_modules_is_refused(
    loop: str, match: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    refuse(make_model(net(loop)), tmp_path, match)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (
            "nn.Sequential(nn.Identity(), nn.BatchNorm1d(4, track_running_stats=False))",
            r"batch_norm\(\) in more.1 is not supported(?s:.*)running statistics",
        ),
        ("nn.ReLU()", r"relu\(\) in more is not supported(?s:.*)Use spiking neurons in its place"),
        ("nn.LayerNorm(4)", r"layer_norm\(\) in more is not supported(?s:.*)use batch normalisation"),
    ],
)
def test_modules_without_a_node_are_named_by_path(
    more: str, match: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    refuse(
        make_model(net("spk1, _ = self.lif1(self.more(self.fc1(x[t]))); spk2, _ = self.lif2(self.fc2(spk1))", more)),
        tmp_path,
        match,
    )


@pytest.mark.parametrize(
    ("neuron", "match"),
    [
        ("snn.SLSTM(4, 4, init_hidden=True)", "1: SLSTM is not supported .*nearest are RLeaky and RSynaptic"),
        (
            "snn.Leaky(beta=0.9, init_hidden=True, graded_spikes_factor=0.0)",
            "1: Leaky has a graded_spikes_factor of 0",
        ),
        (
            "snn.Alpha(alpha=0.9, beta=0.8, init_hidden=True, reset_mechanism='subtract')",
            "1: Alpha has reset_mechanism='subtract', which takes from its currents",
        ),
        (
            "type('My', (snn.Leaky,), {'forward': lambda self, x: x})(beta=0.9)",
            "it is a Leaky with a forward of its own",
        ),
        ("snn.Leaky(beta=0.9, init_hidden=True, state_quant=lambda v: v)", "1: Leaky has state_quant"),
        (
            "snn.Leaky(beta=0.9, init_hidden=True, spike_grad=lambda v: (v >= 0).float())",
            "fires other than at v > threshold",
        ),
        (
            "snn.Leaky(beta=torch.tensor([0.9, float('nan'), 0.9, 0.9]), init_hidden=True)",
            "1.beta hold NaN or infinite values",
        ),
    ],
)
def test_neurons_that_would_lose_something_are_named(
    neuron: str, match: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    refuse(make_model(sequential("nn.Linear(6, 4)", neuron, "nn.Linear(4, 2)", LIF)), tmp_path, match)


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_inhibition_is_refused(make_model: Callable[..., str], tmp_path: Path) -> None:
    neuron = "snn.Leaky(beta=0.9, init_hidden=True, inhibition=True)"
    refuse(make_model(sequential("nn.Linear(6, 4)", neuron)), tmp_path, "1: Leaky has inhibition=True")


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        ("nn.MaxPool2d(2, dilation=2)", "with dilation"),
        ("nn.LPPool2d(2, 2)", "is not supported"),
        ("nn.Upsample((2048, 2048))", r"interpolate\(\) as a matrix of 64 x 4194304 weights"),
    ],
)
def test_options_that_nir_lacks_are_named(
    layer: str, match: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    refuse(make_model(sequential(layer, LIF)), tmp_path, match, (1, 8, 8))


@pytest.mark.parametrize(
    "layer",
    [
        "nn.Conv2d(1, 2, 3, padding=1, padding_mode='circular')",
        "nn.Conv2d(1, 2, 2, padding='same', dilation=3)",
        "nn.AvgPool2d(3, ceil_mode=True)",
        "nn.AvgPool2d(3, padding=1, count_include_pad=False)",
        "nn.AdaptiveAvgPool2d(3)",
        "nn.Upsample(scale_factor=2)",
        "nn.Sequential(nn.Flatten(2), nn.ConvTranspose1d(1, 2, 3, stride=2))",
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_linear_options_that_nir_lacks_become_matrices(
    layer: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    spec = make_model(sequential(layer, LIF))
    result = export(spec, weights=None, sample_shape=(1, 8, 8), output=tmp_path / "m.nir")
    assert any("check: equal in spikes of 1 of 1 nodes" in line for line in result.findings)
    assert any("shape" in str(node.metadata) for node in result.graph.nodes.values())


def test_convolutional_gates_are_refused_with_the_nearest(make_model: Callable[..., str], tmp_path: Path) -> None:
    neuron = "snn.SConv2dLSTM(2, 2, 3, init_hidden=True)"
    refuse(make_model(sequential("nn.Conv2d(1, 2, 3)", neuron)), tmp_path, "with conv2d_channels", (1, 8, 8))


def test_resetting_at_every_step_leaves_one_step_to_run(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 4), snn.Leaky(beta=0.9)

    def forward(self, x):
        return self.lif(self.fc(x), self.lif.init_leaky())[0]

build = Net
"""
    x = np.ones((9, 2, 6), np.uint8)
    error = refuse(make_model(body), tmp_path, "the input has 9 steps, but the model always runs 1", inputs=x)
    assert "let forward loop over them, or take the states" in error.fix
    export(make_model(body), weights=None, sample_shape=(6,), output=tmp_path / "m.nir", inputs=x[:1])


def test_fixed_number_of_steps_is_found_or_asked_for(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = net("pass").replace("range(len(x))", "range(9)").replace("pass", "spk2, _ = self.lif1(self.fc1(x[t]))")
    error = refuse(make_model(body), tmp_path, "no way to call it works")
    assert "give --input with that many" in error.fix
    x = np.ones((9, 2, 6), np.uint8)
    result = export(make_model(body), weights=None, sample_shape=(6,), output=tmp_path / "m.nir", inputs=x)
    assert "fixed in the model" in result.convention


def test_static_model_refuses_changing_data(make_model: Callable[..., str], tmp_path: Path) -> None:
    body = net("spk2, _ = self.lif1(self.fc1(x))").replace("range(len(x))", "range(4)").replace("x.shape[1]", "1")
    x = np.random.default_rng(0).random((4, 2, 6)).astype(np.float32)
    refuse(make_model(body), tmp_path, "the input changes from step to step", inputs=x)
    refuse(make_model(body), tmp_path, "has 7 steps, but the model always runs 4", inputs=np.ones((7, 2, 6), np.uint8))


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("net.py", "does not name a factory"),
        ("missing.py:build", "does not exist"),
        ("no_such_package_here.net:build", "no module is called 'no_such_package_here.net'"),
        ("math:pi", "it is a float, not a factory"),
        ("json:nothing", "the module defines no 'nothing'"),
    ],
)
def test_spec_that_leads_nowhere_is_refused(spec: str, match: str, tmp_path: Path) -> None:
    refuse(spec, tmp_path, match)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("build = lambda: 3", "the factory returns a int"),
        ("def build(n): pass", "the factory fails: TypeError"),
        ("def build(): raise SystemExit(0)", "the factory fails: SystemExit: 0"),
        ("import sys; sys.exit(0)", "fails while it is imported: SystemExit: 0"),
        (
            "import argparse; p = argparse.ArgumentParser(); p.add_argument('--n', default=1); p.parse_args()",
            "the module defines no",
        ),
        ("def build(): raise RuntimeError('no data')", "the factory fails: RuntimeError: no data"),
        ("def other(): pass", "(?s)the module defines no 'build'.*what it defines: other"),
        ("import no_such_package_here", "the module needs no_such_package_here"),
        ("raise ValueError('early')", "fails while it is imported: ValueError: early"),
        (
            "build = lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU())",
            r"(?s)relu\(\) in 1 is not supported.*neurodeploy convert",
        ),
        (f"build = lambda: nn.Sequential(nn.Linear(7, 4), {LIF})", "no way to call it works"),
    ],
)
def test_broken_model_file_is_refused(body: str, match: str, make_model: Callable[..., str], tmp_path: Path) -> None:
    refuse(make_model(body), tmp_path, match)


def test_weights_that_do_not_fit_name_every_key(make_model: Callable[..., str], tmp_path: Path) -> None:
    spec = make_model(sequential("nn.Linear(6, 4)", LIF))
    torch.save({"0.weight": torch.zeros(4, 5), "2.bias": torch.zeros(1)}, tmp_path / "w.pt")
    match = r"lacks 0.bias, .*; the model lacks 2.bias; 0.weight is \[4, 5\] in the file and \[4, 6\] in the model"
    with pytest.raises(DeployError, match=match):
        export(spec, weights=tmp_path / "w.pt", sample_shape=(6,), output=tmp_path / "m.nir")


def test_weights_of_another_kind_are_refused(make_model: Callable[..., str], tmp_path: Path) -> None:
    spec = make_model(sequential("nn.Linear(6, 4)", LIF))
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "w.pt")
    with pytest.raises(DeployError, match="the file holds a dict of epoch, state_dict, not a state dict"):
        export(spec, weights=tmp_path / "w.pt", sample_shape=(6,), output=tmp_path / "m.nir")
    (tmp_path / "w.pt").write_bytes(b"junk")
    with pytest.raises(DeployError, match=r"pickled objects|the weights cannot be read"):
        export(spec, weights=tmp_path / "w.pt", sample_shape=(6,), output=tmp_path / "m.nir")
    with pytest.raises(DeployError, match="does not exist"):
        export(spec, weights=tmp_path / "none.pt", sample_shape=(6,), output=tmp_path / "m.nir")


def test_missing_framework_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = refuse("net.py:build", tmp_path, "torch is not installed")
    assert error.fix == "Install it: pip install 'neurodeploy[torch]'."


def test_data_of_another_shape_is_refused(make_model: Callable[..., str], tmp_path: Path) -> None:
    spec = make_model(sequential("nn.Linear(6, 4)", LIF))
    refuse(spec, tmp_path, r"shape \[5, 2, 7\]", inputs=np.zeros((5, 2, 7)))
    refuse(spec, tmp_path, "a recording needs input data", record_output=tmp_path / "r.npz")
    refuse(spec, tmp_path, "dt cannot be 0", dt=0.0)
    refuse(spec, tmp_path, "is not a sample shape", shape=())
