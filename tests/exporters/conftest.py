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
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.recording import load_recording
from neurodeploy.ir.run_options import RunOptions

torch = pytest.importorskip("torch", reason="torch is not installed")
SNNTORCH = "import snntorch as snn\n"


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., str]:
    """Write a model file; returns its spec."""

    def make(body: str, factory: str = "build", imports: str = SNNTORCH) -> str:
        head = f"import torch\nfrom torch import nn\nimport torch.nn.functional as F\n{imports}"
        path = tmp_path / "net.py"
        path.write_text(head + "torch.manual_seed(3)\n" + body)
        return f"{path}:{factory}"

    return make


@pytest.fixture
def reproduced(make_model: Callable[..., str], tmp_path: Path) -> Callable[..., ExportResult]:
    """Export a model, read it back and run it: every spike, and every v and u that it has, is the framework's."""

    def check(body: str, imports: str, shape: tuple[int, ...] = (6,), silent: tuple[str, ...] = ()) -> ExportResult:
        code = body if "build" in body else f"build = lambda: {body}\n"
        spec, output, record = make_model(code, imports=imports), tmp_path / "m.nir", tmp_path / "trained.npz"
        x = (np.random.default_rng(5).random((15, 4, *shape)) < 0.5).astype(np.uint8)
        result = export(spec, weights=None, sample_shape=shape, output=output, inputs=x, record_output=record)
        network, trained = read_network(output)[0], load_recording(record)
        run = Reference().run(network, dict.fromkeys(network.inputs, x), RunOptions(record=("spikes", "v", "u")))
        for node, observed in trained.nodes.items():
            for key, values in observed.items():
                if key == "spikes":
                    assert node in silent or (values.any() and not values.all()), node
                    np.testing.assert_array_equal(run.spikes(node), values, err_msg=node)
                else:
                    limit = 1e-5 * max(np.abs(values).max(), 1e-3)
                    np.testing.assert_allclose(
                        run.nodes[node][key], values, rtol=0, atol=limit, err_msg=f"{node} {key}"
                    )
        return result

    return check


@pytest.fixture
def refused(make_model: Callable[..., str], tmp_path: Path) -> Callable[[str, str, str], None]:
    """Export a module of six inputs that cannot be: it is refused in these words."""

    def check(body: str, imports: str, match: str) -> None:
        spec = make_model(f"build = lambda: {body}", imports=imports)
        with pytest.raises(DeployError, match=match):
            export(spec, weights=None, sample_shape=(6,), output=tmp_path / "m.nir")

    return check


@pytest.fixture
def replay() -> Callable[[Any, Any], dict[str, Any]]:
    return replay_in_numpy


def replay_in_numpy(graph: Any, x: Any) -> dict[str, Any]:
    """Run a graph from its NIR parameters alone, in numpy; recurrence is that of RLeaky and RSynaptic."""
    return Replay(graph, x).run()


class Replay:
    def __init__(self, graph: Any, x: Any) -> None:
        self.graph, self.x = graph, x
        self.dt = json.loads(graph.metadata["neurodeploy"])["dt"]
        neurons = [name for name, node in graph.nodes.items() if type(node).__name__ in ("LIF", "CubaLIF")]
        rest = {name: np.zeros((x.shape[1], *graph.nodes[name].v_threshold.shape), np.float32) for name in neurons}
        self.v, self.i, self.late = dict(rest), dict(rest), dict(rest)
        self.rows: dict[str, list[Any]] = {name: [] for name in neurons}

    def run(self) -> dict[str, Any]:
        for step in range(len(self.x)):
            for name in self.rows:
                self.spikes(name, step)
            self.late = {name: rows[-1] for name, rows in self.rows.items()}
        return {name: np.stack(rows) for name, rows in self.rows.items()}

    def spikes(self, name: str, step: int) -> Any:
        if len(self.rows[name]) <= step:
            self.rows[name].append(self.fire(name, self.entering(name, step)))
        return self.rows[name][step]

    def entering(self, name: str, step: int) -> Any:
        return sum(self.value(source, step, name) for source, target in self.graph.edges if target == name)

    def value(self, name: str, step: int, asked_by: str) -> Any:
        if name in self.rows:
            return self.late[name] if asked_by == f"{name}.w_rec" else self.spikes(name, step)
        if type(self.graph.nodes[name]).__name__ == "Input":
            return self.x[step].astype(np.float32)
        return apply(self.graph.nodes[name], self.entering(name, step))

    def fire(self, name: str, entering: Any) -> Any:
        node, v = self.graph.nodes[name], self.v[name]
        rules = json.loads(node.metadata["neurodeploy"])["rules"]
        theta, owed = np.float32(node.v_threshold), v > np.float32(node.v_threshold)
        if hasattr(node, "tau_syn"):
            entering = self.i[name] = np.float32(1 - self.dt / node.tau_syn) * self.i[name] + entering
        beta = np.float32(1 - self.dt / getattr(node, "tau_mem", getattr(node, "tau", None)))
        if rules["reset"] == "zero":
            v = np.where(
                owed & rules["reset_drops_input"], np.float32(0), beta * np.where(owed, np.float32(0), v) + entering
            )
        else:
            v = beta * v + entering - owed * theta * (rules["reset"] == "subtract")
        spikes = (v > theta).astype(np.float32)
        if not rules["reset_delay"]:
            v = v - (spikes - owed) * {"subtract": theta, "zero": v, "none": 0}[rules["reset"]]
        self.v[name] = v.astype(np.float32)
        return spikes


def apply(node: Any, x: Any) -> Any:
    match type(node).__name__:
        case "Linear":
            return x @ node.weight.T
        case "Scale":
            return x * node.scale.astype(np.float32)
        case "Affine":
            return x @ node.weight.T + node.bias
        case "Flatten":
            start, end = int(node.start_dim) + 1, int(node.end_dim) % (x.ndim - 1) + 1
            return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])
        case "AvgPool2d":
            return windows(x, tuple(node.kernel_size), node.stride, node.padding).mean((-2, -1), dtype=np.float32)
        case "Conv2d":
            view = windows(x, node.weight.shape[2:], node.stride, node.padding, node.dilation)
            groups = int(node.groups)
            parts = zip(np.split(view, groups, 1), np.split(node.weight, groups, 0), strict=True)
            out = [np.einsum("bchwij,ocij->bohw", part, weight) for part, weight in parts]
            return np.concatenate(out, 1) + node.bias[:, None, None]
    raise TypeError(type(node).__name__)


def windows(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any = (1, 1)) -> Any:
    pad, step, gap = (tuple(int(n) for n in np.broadcast_to(pair, 2)) for pair in (padding, stride, dilation))
    x = np.pad(x, ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    extent = [g * (int(k) - 1) + 1 for g, k in zip(gap, kernel, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, extent, (2, 3))
    return view[:, :, :: step[0], :: step[1], :: gap[0], :: gap[1]]
