"""Is the reference at least as fast as the training frameworks on the same network, spike for spike the same?

A 784-512-10 network (uniform random weights, decay 0.9) at 10 % input spikes, on the CPU, only the output kept. Each
framework runs its own neurons in its fastest documented way, under torch.no_grad; the reference runs the same network
in that framework's dialect. First
the spikes of both are compared with each other: a share below 1 means rounding ties, which are counted. Times are
medians, in microseconds a step and sample.

    tools/bench-reference [--steps 1000] [--batches 1 64] [--repeats 5] [--output bench.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.coding.scoring import agreement
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear

SIZES = (784, 512, 10)
INPUT_SHARE = 0.1
DECAY = 0.9

Run = Callable[[torch.Tensor], torch.Tensor]
"""From spikes float32 [T, B, n] to output spikes [T, B, n]."""

RULES = {
    "snntorch": (NeuronRule(reset="subtract", reset_delay=True), DECAY, 1.0),
    "norse": (NeuronRule(reset="value"), DECAY, 1.0 - DECAY),
    "spikingjelly": (NeuronRule(spike=">=", reset="value"), DECAY, 1.0),
    "sinabs": (NeuronRule(spike=">=", reset="subtract", max_spikes=None), float(np.exp(-0.1)), 1.0),
}
"""Rule, decay and input gain of each framework's leaky neuron as it is set up below."""


def weights(name: str, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Return weights under which both layers fire, whatever the input gain."""
    scale = 1.0 / RULES[name][2]
    return [rng.uniform(-0.1 * scale, 0.11 * scale, (SIZES[i + 1], SIZES[i])).astype(np.float32) for i in range(2)]


def linears(matrices: list[NDArray[np.float32]]) -> list[torch.nn.Linear]:
    """Return torch layers with these weights and no bias."""
    layers = [torch.nn.Linear(m.shape[1], m.shape[0], bias=False) for m in matrices]
    for layer, matrix in zip(layers, matrices, strict=True):
        layer.weight.data = torch.from_numpy(matrix)
    return layers


def snntorch_run(matrices: list[NDArray[np.float32]]) -> Run:
    """Step by step, states passed on."""
    import snntorch

    one, two = linears(matrices)
    cells = [snntorch.Leaky(beta=DECAY, reset_mechanism="subtract") for _ in range(2)]

    def run(x: torch.Tensor) -> torch.Tensor:
        v1, v2 = (cell.reset_mem() for cell in cells)
        rows = []
        for row in x:
            spikes, v1 = cells[0](one(row), v1)
            spikes, v2 = cells[1](two(spikes), v2)
            rows.append(spikes)
        return torch.stack(rows)

    return run


def norse_run(matrices: list[NDArray[np.float32]]) -> Run:
    """Step by step in a SequentialState."""
    import norse.torch as norse
    from norse.torch.functional.lif_box import LIFBoxParameters

    parameters = LIFBoxParameters(tau_mem_inv=torch.tensor(1e3 * (1.0 - DECAY)), v_th=torch.tensor(1.0))
    one, two = linears(matrices)
    model = norse.SequentialState(one, norse.LIFBoxCell(parameters), two, norse.LIFBoxCell(parameters))

    def run(x: torch.Tensor) -> torch.Tensor:
        state, rows = None, []
        for row in x:
            spikes, state = model(row, state)
            rows.append(spikes)
        return torch.stack(rows)

    return run


def spikingjelly_run(matrices: list[NDArray[np.float32]]) -> Run:
    """All steps at once, step mode m."""
    from spikingjelly.activation_based import functional, neuron

    one, two = linears(matrices)
    tau = 1.0 / (1.0 - DECAY)
    nodes = [neuron.LIFNode(tau=tau, decay_input=False, v_reset=0.0, step_mode="m") for _ in range(2)]

    def run(x: torch.Tensor) -> torch.Tensor:
        for node in nodes:
            functional.reset_net(node)
        return nodes[1](two(nodes[0](one(x))))  # type: ignore[no-any-return]

    return run


def sinabs_run(matrices: list[NDArray[np.float32]]) -> Run:
    """All steps at once; sinabs has samples first."""
    import sinabs.layers

    one, two = linears(matrices)
    nodes = [sinabs.layers.LIF(tau_mem=10.0, norm_input=False) for _ in range(2)]

    def run(x: torch.Tensor) -> torch.Tensor:
        for node in nodes:
            node.reset_states()
        return nodes[1](two(nodes[0](one(x.transpose(0, 1))))).transpose(0, 1)  # type: ignore[no-any-return]

    return run


FRAMEWORKS = {"snntorch": snntorch_run, "norse": norse_run, "spikingjelly": spikingjelly_run, "sinabs": sinabs_run}


def network(name: str, matrices: list[NDArray[np.float32]]) -> Network:
    """Return the same network in a framework's dialect."""
    rule, decay, gain = RULES[name]
    names = ("input", "hidden", "output")
    populations = tuple(
        Population(n, (size,), rule, decay_mem=np.full(size, decay), threshold=np.ones(size), gain_mem=gain)
        for n, size in zip(names[1:], SIZES[1:], strict=True)
    )
    projections = tuple(Projection(names[i], names[i + 1], (Linear(matrices[i]),)) for i in range(2))
    return Network({"input": SIZES[:1]}, populations, projections, names[-1:], 1e-3, name)


def median_us(call: Callable[[], Any], repeats: int, cells: int) -> float:
    """Return the median time of a call after a warm-up, in microseconds divided by ``cells``."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1e6 * statistics.median(seconds) / cells


def compare(name: str, steps: int, batch: int, repeats: int) -> dict[str, Any]:
    """Return times of a framework and of the reference on its network, and the share of spikes in common."""
    rng = np.random.default_rng(0)
    matrices = weights(name, rng)
    x = (rng.random((steps, batch, SIZES[0])) < INPUT_SHARE).astype(np.uint8)
    run, net = FRAMEWORKS[name](matrices), network(name, matrices)
    spikes = torch.from_numpy(x).float()
    options = RunOptions(nodes=("output",))
    with torch.no_grad():
        theirs = run(spikes).numpy().astype(np.int64)
        ours = Reference().run(net, {"input": x}, options).spikes("output")
        shared = agreement(ours.astype(np.int64), theirs)
        if shared < 0.999:
            raise SystemExit(f"{name}: only {shared:.4f} of the spikes are shared; the networks are not the same")
        theirs_us = median_us(lambda: run(spikes), repeats, steps * batch)
    ours_us = median_us(lambda: Reference().run(net, {"input": x}, options), repeats, steps * batch)
    return {
        "framework_us": theirs_us,
        "reference_us": ours_us,
        "shared_spikes": shared,
        "output_spikes": int(theirs.sum()),
    }


def main() -> None:
    """Run the benchmark and print, and on request write, its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "network": "-".join(map(str, SIZES)),
        "steps": arguments.steps,
        "unit": "microseconds a step and sample, median",
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("torch", *FRAMEWORKS)},
    }
    for batch in arguments.batches:
        rows = {name: compare(name, arguments.steps, batch, arguments.repeats) for name in FRAMEWORKS}
        fastest = min(row["framework_us"] for row in rows.values())
        slowest = max(row["reference_us"] for row in rows.values())
        result[f"batch_{batch}"] = {**rows, "fastest_framework_over_slowest_reference": fastest / slowest}
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
