"""Random legal NIR graphs, and whether all that integer arithmetic gives for them agrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
from fuzz_files import check_kernel, pick

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.ir.run_options import RunOptions

DT = 1e-4
Shape = tuple[int, ...]


def random_graph(rng: np.random.Generator) -> tuple[nir.NIRGraph, Shape]:
    """Return a graph of 1 to 5 layers with convolutions, pools, skips and loops, and the shape of its input."""
    shape: Shape = (int(rng.integers(1, 8)),) if rng.random() < 0.5 else tuple(int(n) for n in rng.integers(1, 7, 3))
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array(shape)})}
    edges: list[tuple[str, str]] = []
    taken: list[tuple[str, Shape]] = [("input", shape)]
    for index in range(int(rng.integers(1, 6))):
        before, shape = taken[-1]
        before, shape = _synapses(f"s{index}", before, shape, nodes, edges, rng)
        name = f"n{index}"
        nodes[name] = _neurons(shape, rng)
        edges.append((before, name))
        if rng.random() < 0.3 and len(taken) > 1:
            _dense(f"skip{index}", pick(rng, taken[:-1]), (name, shape), nodes, edges, rng)
        if rng.random() < 0.3 and len(shape) == 1:
            nodes[f"loop{index}"] = nir.Linear(rng.normal(0, 0.3, (shape[0], shape[0])))
            edges += [(name, f"loop{index}"), (f"loop{index}", name)]
        taken.append((name, shape))
    nodes["output"] = nir.Output({"output": np.array(shape)})
    edges.append((taken[-1][0], "output"))
    rules = {
        "reset": pick(rng, ("zero", "subtract")),
        "reset_delay": bool(rng.random() < 0.3),
        "spike": pick(rng, (">", ">=")),
    }
    said = json.dumps({"dialect": "snntorch", "dt": DT, "rules": rules})
    return nir.NIRGraph(nodes, edges, metadata={"neurodeploy": said}, type_check=False), taken[0][1]


def _synapses(
    name: str, before: str, shape: Shape, nodes: dict[str, Any], edges: list[tuple[str, str]], rng: np.random.Generator
) -> tuple[str, Shape]:
    """Add what lies before a layer's neurons; return its last node and the shape that leaves it."""
    for part in range(int(rng.integers(1, 4))):
        own = f"{name}_{part}"
        if len(shape) == 3:
            made = _on_maps(shape, rng)
        elif rng.random() < 0.15:
            made = nir.Scale(rng.uniform(0.2, 2, shape)), shape
        else:
            n = int(rng.integers(1, 9))
            weight = rng.normal(0, 1.0 / np.sqrt(shape[0]), (n, shape[0])) * pick(rng, (1.0, 1.0, 0.0, 100.0))
            made = (nir.Linear(weight) if rng.random() < 0.5 else nir.Affine(weight, rng.normal(0, 0.1, n))), (n,)
        nodes[own], shape = made
        edges.append((before, own))
        before = own
    return before, shape


def _on_maps(shape: Shape, rng: np.random.Generator) -> tuple[Any, Shape]:
    channels, height, width = shape
    match int(rng.integers(4)):
        case 0 if min(height, width) >= 2:
            kind = nir.SumPool2d if rng.random() < 0.5 else nir.AvgPool2d
            return kind(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), (channels, height // 2, width // 2)
        case 1:
            return nir.Flatten({"input": np.array(shape)}, 0, -1), (channels * height * width,)
        case _:
            kernel = [int(rng.integers(1, min(3, n) + 1)) for n in (height, width)]
            padding = [int(rng.integers(0, 2)) for _ in kernel]
            stride = [int(rng.integers(1, 3)) for _ in kernel]
            groups = channels if rng.random() < 0.2 else 1
            n_out = groups * int(rng.integers(1, 4))
            weight = rng.normal(0, 0.6, (n_out, channels // groups, *kernel))
            rows, columns = (
                (n + 2 * p - k) // s + 1 for n, p, k, s in zip((height, width), padding, kernel, stride, strict=True)
            )
            bias = rng.normal(0, 0.1, n_out) if rng.random() < 0.5 else np.zeros(n_out)
            node = nir.Conv2d((height, width), weight, tuple(stride), tuple(padding), (1, 1), groups, bias)
            return node, (n_out, rows, columns)


def _dense(
    name: str,
    source: tuple[str, Shape],
    target: tuple[str, Shape],
    nodes: dict[str, Any],
    edges: list[tuple[str, str]],
    rng: np.random.Generator,
) -> None:
    """Join two populations of one axis by synapses."""
    if len(source[1]) == 1 and len(target[1]) == 1:
        nodes[name] = nir.Linear(rng.normal(0, 0.5, (target[1][0], source[1][0])))
        edges += [(source[0], name), (name, target[0])]


def _neurons(shape: Shape, rng: np.random.Generator) -> Any:
    """Return neurons whose constants are one for all, or differ."""

    def drawn(low: float, high: float) -> Any:
        return np.full(shape, rng.uniform(low, high)) if rng.random() < 0.6 else rng.uniform(low, high, shape)

    beta, zeros = drawn(0.3, 0.98), np.zeros(shape)
    threshold = drawn(0.3, 2.0)
    tau, r = DT / (1 - beta), 1 / (1 - beta)
    if rng.random() < 0.3:
        alpha = drawn(0.2, 0.9)
        return nir.CubaLIF(
            tau_syn=DT / (1 - alpha), tau_mem=tau, r=r, v_leak=zeros, v_threshold=threshold, v_reset=zeros,
            w_in=1 / (1 - alpha),
        )  # fmt: skip
    if rng.random() < 0.2:
        return nir.IF(r=np.full(shape, 1 / DT), v_threshold=threshold, v_reset=zeros)
    return nir.LIF(tau=tau, r=r, v_leak=zeros, v_threshold=threshold, v_reset=zeros)


def run_graph(rng: np.random.Generator, path: Path, with_lava: bool) -> None:
    """Compile a random graph and run it.

    Raises:
        DeployError: the chip cannot run it.
        ArithmeticError: kernels, definition and (with ``with_lava``) Lava do not agree.
    """
    graph, shape = random_graph(rng)
    nir.write(path, graph)
    bits, per_channel = int(pick(rng, (8, 8, 4, 2))), bool(rng.random() < 0.3)
    x = (rng.random((10, 2, *shape)) < 0.4).astype(np.uint8)
    target = str(pick(rng, ("loihi2", "loihi2", "loihi1")))
    program = compile(path, target, allow_silent=True, weight_bits=bits, per_channel=per_channel)
    check_kernel(program, {"input": x})
    if with_lava:
        run = RunOptions(record=("spikes", "u", "v"), arithmetic="lava", raw_time=True)
        try:
            theirs = Lava().run(program, {"input": x}, run)
        except DeployError as error:
            if "Conv holds" in error.what:
                return
            raise
        ours = Emulator().run(program, {"input": x}, run)
        for node, observed in theirs.nodes.items():
            for key, values in observed.items():
                if not np.array_equal(values, ours.nodes[node][key]):
                    raise ArithmeticError(f"emulator and Lava differ in {key} of {node}")
