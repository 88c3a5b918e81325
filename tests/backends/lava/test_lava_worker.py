from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.lava.backend import Job, Lava, run_worker
from neurodeploy.backends.lava.install import lava_python
from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import RunOptions

ALL = RunOptions(record=("spikes", "v", "u"), raw_time=True)
GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "lava-golden"
NODES = ("a", "b", "d", "out", "idle")


@pytest.fixture(scope="module")
def rich(population: Callable[..., Any], projection: Callable[..., Any], program_of: Callable[..., Program]) -> Program:
    """Every kind of projection, loops with stale spikes, codes for each neuron, and a part that stands alone."""
    rng = np.random.default_rng(7)

    def even(*shape: int, limit: int = 50) -> Any:
        return 2 * rng.integers(-limit // 2, limit, shape)

    conv: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    grouped = {**conv, "stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    each = {key: rng.integers(low, high, 6) for key, (low, high) in {"du": (500, 4096), "dv": (0, 900)}.items()}
    starts = {"u_init": rng.integers(-(2**15), 2**15, 6), "v_init": rng.integers(-(2**14), 2**14, 6)}
    return program_of(
        {"image": (2, 6, 5), "line": (7,)},
        [
            population("a", (4, 3, 7), du=3000, threshold_code=60),
            population("b", (3, 3, 7), latency=3, v_init=77, threshold_code=70),
            population("d", (6,), threshold_code=rng.integers(40, 90, 6), **each, **starts),
            population("idle", (2,), bias_mantissa=[511, -40], bias_exponent=3, threshold_code=100),
            population("out", (5,), latency=2, bias_mantissa=-3, threshold_code=[55, 60, 65, 70, 75]),
        ],
        [
            projection("image", "a", even(4, 1, 3, 2), exponent=1, **grouped),
            projection("a", "b", even(3, 4, 3, 3), **{**conv, "delay": 3}),
            projection("b", "b", even(3, 3, 3, 3), **conv),
            projection("a", "d", even(6, 84, limit=30), delay=2),
            projection("line", "d", rng.integers(0, 120, (6, 7)), sign_mode="excitatory"),
            projection("d", "d", -rng.integers(0, 99, (6, 6)), sign_mode="inhibitory"),
            projection("d", "d", even(6, 6), delay=4, exponent=1),
            projection("b", "out", 16 * even(5, 63, limit=7), weight_bits=4),
            projection("d", "out", even(5, 6), delay=5),
        ],
    )


@pytest.fixture(scope="module")
def spikes(rich: Program) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    return {name: (rng.random((14, 3, *shape)) < 0.3).astype(np.uint8) for name, shape in rich.inputs.items()}


@pytest.fixture(scope="module")
def together(lava: Lava, rich: Program, spikes: dict[str, np.ndarray]) -> Recording:
    return lava.run(rich, spikes, ALL)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("key", ALL.record)
def test_lava_equals_plain_replay(
    node: str, key: str, together: Recording, rich: Program, spikes: dict[str, np.ndarray], replayed: Any
) -> None:
    np.testing.assert_array_equal(together.nodes[node][key], replayed(rich, spikes)[f"{node}/{key}"])


def test_every_node_fires_and_rests_in_the_replayed_net(together: Recording) -> None:
    rates = {node: float(together.spikes(node).mean()) for node in NODES}
    assert all(0.01 < rate < 0.9 for rate in rates.values()), rates


def test_samples_in_one_run_equal_each_alone(
    lava: Lava, rich: Program, spikes: dict[str, np.ndarray], together: Recording
) -> None:
    for sample in range(3):
        alone = lava.run(rich, {name: values[:, sample : sample + 1] for name, values in spikes.items()}, ALL)
        for node in NODES:
            for key in ALL.record:
                np.testing.assert_array_equal(together.nodes[node][key][:, sample], alone.nodes[node][key][:, 0])


def test_lava_equals_emulator(rich: Program, spikes: dict[str, np.ndarray], together: Recording) -> None:
    emulator = pytest.importorskip("neurodeploy.backends.emulator.backend", reason="the emulator is not built yet")
    options = RunOptions(record=ALL.record, raw_time=True, arithmetic="lava")
    emulated = emulator.Emulator().run(rich, spikes, options)
    for node in NODES:
        for key in ALL.record:
            np.testing.assert_array_equal(together.nodes[node][key], emulated.nodes[node][key])


class Golden:
    """A recorded net of Lava, said as a program; ``prefix`` keeps several apart in one."""

    def __init__(self, name: str, population: Any, projection: Any) -> None:
        self.name = name
        self.manifest = json.loads((GOLDEN / f"{name}.meta.json").read_text())
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            self.arrays = dict(arrays)
        nodes = {key: {k: self._value(v) for k, v in node.items()} for key, node in self.manifest["nodes"].items()}
        self.lifs = [key for key, node in nodes.items() if node["type"] in ("lif", "lif_reset")]
        self.inputs = {f"{name}.inp": in_rows(nodes["inp"]["data"])}
        self.populations = [self._lif(key, nodes[key], population) for key in self.lifs]
        edges, self.projections = self.manifest["edges"], []
        for key, node in nodes.items():
            if node["type"] in ("dense", "delay_dense", "conv"):
                source = next(f"{name}.{a}" for a, b in edges if b == key)
                target = next(f"{name}.{b}" for a, b in edges if a == key)
                before = nodes[source.split(".")[1]].get("shape", ())
                make = self._conv if node["type"] == "conv" else self._dense
                self.projections += make(source, target, node, projection, before)

    def _value(self, value: Any) -> Any:
        return self.arrays[value["npz"]] if isinstance(value, dict) else value

    def _lif(self, key: str, node: dict[str, Any], population: Any) -> Any:
        # Exponents by neuron are folded into the mantissas; the 16 bits in which Lava holds them are enough for that.
        mantissa, exponent = np.asarray(node.get("bias_mant", 0)), np.asarray(node.get("bias_exp", 0))
        bias = np.where(exponent >= 0, mantissa << np.maximum(exponent, 0), mantissa >> np.maximum(-exponent, 0))
        shape = node["shape"]
        return population(
            f"{self.name}.{key}",
            (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape,
            du=node["du"],
            dv=node["dv"],
            threshold_code=node["vth"],
            u_init=node.get("u0", 0),
            v_init=node.get("v0", 0),
            model=NeuronModel(**{key: node[key] for key in ("reset_interval", "reset_offset") if key in node}),
            **(
                {"bias_mantissa": mantissa, "bias_exponent": exponent}
                if exponent.ndim == 0
                else {"bias_mantissa": bias}
            ),
        )

    def _dense(self, source: str, target: str, node: dict[str, Any], projection: Any, before: Any) -> list[Any]:
        raw = node["weights"]
        mode = "excitatory" if raw.min() >= 0 else "inhibitory" if raw.max() <= 0 else "mixed"
        weight = raw >> 1 << 1 if mode == "mixed" else raw
        delays = np.asarray(node.get("delays", np.zeros_like(raw)))
        made = []
        for delay in np.unique(delays):
            part = np.where(delays == delay, weight, 0)
            if len(before) == 3:
                part = part.reshape(-1, *before).transpose(0, 3, 1, 2).reshape(part.shape)
            options = {"exponent": int(node.get("weight_exp", 0)), "sign_mode": mode, "delay": int(delay) + 1}
            made.append(projection(source, target, part, **options))
        return made

    def _conv(self, source: str, target: str, node: dict[str, Any], projection: Any, before: Any) -> list[Any]:
        weight = node["weight"].transpose(0, 3, 1, 2)[:, :, ::-1, ::-1]
        options = {key: node[key] for key in ("stride", "padding", "dilation", "groups")}
        return [projection(source, target, weight, **options)]


def in_rows(values: np.ndarray) -> np.ndarray:
    """Return ``[T, X, Y, C]`` as ``[T, C, X, Y]``, other shapes as they are."""
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


GOLDEN_NAMES = ("fc1", "fc2_bias", "recurrent", "delays", "conv", "neg_decay_trunc", "saturating_24bit", "lif_reset")


@pytest.fixture(scope="module")
def goldens(lava: Lava, population: Any, projection: Any, program_of: Any) -> dict[str, tuple[Golden, Any]]:
    """All golden nets in one program, run at once."""
    if not GOLDEN.is_dir():
        pytest.skip(f"the golden nets are outside the repository, in {GOLDEN}")
    nets = [Golden(name, population, projection) for name in GOLDEN_NAMES]
    inputs = {key: values for net in nets for key, values in net.inputs.items()}
    n_steps = max(map(len, inputs.values()))
    spikes = {key: np.zeros((n_steps, 1, *values.shape[1:]), np.uint8) for key, values in inputs.items()}
    for key, values in inputs.items():
        spikes[key][: len(values), 0] = values
    populations, projections = (
        [item for net in nets for item in getattr(net, key)] for key in ("populations", "projections")
    )
    program = program_of({key: values.shape[2:] for key, values in spikes.items()}, populations, projections)
    # Straight to the worker: the nets hold codes that the backend refuses (odd weights in a Conv, 14-bit biases).
    python = lava_python()
    assert python
    arrays, _ = run_worker(python, Job(program, spikes, tuple(p.name for p in populations), ALL))
    return {net.name: (net, arrays) for net in nets}


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_net_is_met_bit_for_bit(name: str, goldens: dict[str, tuple[Golden, Any]]) -> None:
    net, arrays = goldens[name]
    for lif in net.lifs:
        for key, letter in (("spikes", "s"), ("v", "v"), ("u", "u")):
            expected = in_rows(net.arrays[f"trace.{lif}.{letter}"])
            np.testing.assert_array_equal(arrays[f"{name}.{lif}/{key}"][: len(expected), 0], expected)
