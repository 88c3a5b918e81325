"""Is Xylo's kernel at least as fast as XyloSim itself, called bare, at one sample?

Of each network the same inputs run through both, in turns, in this process and in one that has XyloSim alone, which
times nothing but its own ``evolve``; the kernel's time holds all that its ``run`` does. Before time is taken, the
spikes of the outputs are seen to be equal, and the kernel has run once. Weights are dense, so that all of them count;
``--rate`` says how often each input channel spikes, on which the load of both depends.

    tools/bench-xylo [--sizes 16-63-8 16-500-8] [--rate 0.3 0.02] [--steps 1000] [--repeats 7] [--samples 64]
        [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.xylosim.install import SIMULATOR, install_xylo
from neurodeploy.backends.xylosim.simulate import WORKER, arguments
from neurodeploy.families.xylo import kernel
from neurodeploy.families.xylo.codes import XyloCodes, XyloNeurons

BARE = """
import json, runpy, sys, time
make_layer = runpy.run_path(sys.argv[1])["make_layer"]
request = json.loads(sys.stdin.readline())
layer, synapses = make_layer(request)
rows = request["rows"]
for line in sys.stdin:
    layer.reset_all()
    start = time.perf_counter()
    spikes = layer.evolve(rows)
    print(json.dumps([time.perf_counter() - start, spikes]), flush=True)
"""


def network(sizes: tuple[int, int, int], seed: int = 0) -> XyloCodes:
    """Return a network whose hidden neurons fire in some of the steps."""
    n_in, n, n_out = sizes
    rng = np.random.default_rng(seed)
    return XyloCodes(
        weight_in=_weights(rng, (n_in, 2, n), 40),
        weight_rec=_weights(rng, (n, 2, n), max(1, 120 // n)),
        weight_out=_weights(rng, (n, 1, n_out), 10),
        shift_in=3,
        shift_rec=1,
        shift_out=2,
        hidden=_neurons(rng, 2, n),
        outputs=_neurons(rng, 1, n_out),
        alias=np.full(n, -1),
    )


def _weights(rng: np.random.Generator, shape: tuple[int, ...], most: int) -> NDArray[np.int64]:
    drawn: NDArray[np.int64] = rng.integers(1, most, shape, endpoint=True) * rng.choice([-1, 1], shape)
    return drawn


def _neurons(rng: np.random.Generator, n_synapses: int, n: int) -> XyloNeurons:
    return XyloNeurons(
        rng.integers(2, 4, (n_synapses, n)), rng.integers(2, 5, n), rng.integers(1000, 3000, n), np.zeros(n, np.int64)
    )


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def measure(sizes: tuple[int, int, int], rate: float, options: argparse.Namespace) -> dict[str, Any]:
    """Return microseconds a step, the median and the extremes, of both, and of the kernel with many samples."""
    codes, n_steps, n_samples = network(sizes), options.steps, options.samples
    inputs = (np.random.default_rng(1).random((n_steps, 1, sizes[0])) < rate).astype(np.uint8)
    many = np.repeat(inputs, n_samples, axis=1)
    request = {"version": 2, "arguments": arguments(codes), "rows": inputs[:, 0].tolist()}
    python = SIMULATOR.python()
    assert python is not None
    command = [str(python), "-I", "-c", BARE, str(WORKER)]
    times: dict[str, list[float]] = {"xylosim": [], "kernel": [], "kernel_many": []}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bare:
        assert bare.stdin is not None and bare.stdout is not None
        print(json.dumps(request), file=bare.stdin)
        ours = kernel.run(codes, inputs)
        for _ in range(options.repeats + 1):
            print(file=bare.stdin, flush=True)
            took, spikes = json.loads(bare.stdout.readline())
            if not np.array_equal(spikes, ours.spikes_out[:, 0]):
                raise SystemExit(f"{sizes}: the output spikes of XyloSim and of the kernel differ")
            times["xylosim"].append(took)
            times["kernel"].append(_timed(lambda: kernel.run(codes, inputs, threads=1))[0])
            times["kernel_many"].append(_timed(lambda: kernel.run(codes, many))[0] / n_samples)
        bare.stdin.close()
    micro = {name: [value * 1e6 / n_steps for value in values[1:]] for name, values in times.items()}
    figures = {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in micro.items()
    }
    return {
        "size": "-".join(map(str, sizes)),
        "rate": rate,
        "microseconds_per_step": figures,
        "hidden_spikes_per_step": float(ours.spikes.sum() / n_steps),
        "times_as_fast": figures["xylosim"]["median"] / figures["kernel"]["median"],
    }


def main() -> int:
    """Measure all sizes; return 1 where the kernel is slower."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["16-63-8", "16-500-8"], help="inputs-hidden-outputs")
    parser.add_argument("--rate", nargs="+", type=float, default=[0.3, 0.02], help="spikes of an input in a step")
    parser.add_argument("--steps", type=int, default=1000, help="steps of a run (1000)")
    parser.add_argument("--repeats", type=int, default=7, help="runs after the first one (7)")
    parser.add_argument("--samples", type=int, default=64, help="samples of the batched runs (64)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    install_xylo(lambda said: print(said, file=sys.stderr))
    results = []
    for size, rate in product(options.sizes, options.rate):
        n_in, n, n_out = (int(part) for part in size.split("-"))
        results.append(found := measure((n_in, n, n_out), rate, options))
        shown = ", ".join(
            f"{name} {value['median']:.2f} ({value['min']:.2f} to {value['max']:.2f})"
            for name, value in found["microseconds_per_step"].items()
        )
        print(f"{size}, {found['hidden_spikes_per_step']:.1f} hidden spikes a step; microseconds a step: {shown}")
        print(f"{size}: the kernel is {found['times_as_fast']:.1f} times as fast as XyloSim")
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    versions = {"numpy": np.__version__, "numba": numba.__version__, "xylosim": SIMULATOR.requirements[-1]}
    if options.json:
        options.json.write_text(json.dumps({**machine, **versions, "results": results}, indent=1) + "\n")
    return 0 if all(found["times_as_fast"] >= 1 for found in results) else 1


if __name__ == "__main__":
    sys.exit(main())
