"""How much faster is the emulator than Lava's simulator on the same program, bit for bit the same?

A 784-512-10 network (uniform random weights, decay 0.9) at 10 % input spikes, one sample. Both run in the same call,
spikes of both layers recorded; first it is asserted that spikes, u and v are equal. The emulator has one thread; its
time is the median of repeated runs with everything that a caller pays (checks, layout, unpacking). Lava's time is the
slope of its own progress, so that its start of seconds is left out, in its favour.

    tools/bench [--steps 1000] [--repeats 7] [--output bench.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.backends.base import Inputs, RunOptions
from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.comparison.measures import first_difference
from neurodeploy.compiler import compile
from neurodeploy.network import Network, Population, Projection
from neurodeploy.program import Program
from neurodeploy.rule import NeuronRule
from neurodeploy.synapses import Linear
from neurodeploy.version import __version__

SIZES = (784, 512, 10)
INPUT_SHARE = 0.1
LAYERS = ("hidden", "output")


def build_program(rng: np.random.Generator) -> Program:
    """Return the compiled network, with weights under which both layers fire."""
    rule = NeuronRule(reset="value", reset_delay=True)
    names = ("input", *LAYERS)
    populations = tuple(
        Population(n, (size,), rule, decay_mem=np.full(size, 0.9), threshold=np.ones(size))
        for n, size in zip(LAYERS, SIZES[1:], strict=True)
    )
    projections = tuple(
        Projection(
            names[i], names[i + 1], (Linear(rng.uniform(-0.1, 0.13, (SIZES[i + 1], SIZES[i])).astype(np.float32)),)
        )
        for i in range(2)
    )
    network = Network({"input": SIZES[:1]}, populations, projections, LAYERS[-1:], 1e-3, "nir")
    return compile(network, "loihi2")


def time_emulator(program: Program, inputs: Inputs, repeats: int) -> list[float]:
    """Return seconds per step of each repeat, after one run that compiles or loads the kernels."""
    n_steps = len(inputs["input"])
    Emulator().run(program, inputs, RunOptions())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        Emulator().run(program, inputs, RunOptions())
        seconds.append((time.perf_counter() - start) / n_steps)
    return seconds


def time_lava(program: Program, inputs: Inputs, repeats: int) -> list[float]:
    """Return seconds per step of each repeat, between the first and the last report of progress."""
    seconds = []
    for _ in range(repeats):
        marks: list[tuple[float, int]] = []

        def mark(done: int, _total: int, marks: list[tuple[float, int]] = marks) -> None:
            marks.append((time.perf_counter(), done))

        Lava().run(program, inputs, RunOptions(progress=mark))
        (first, done_first), (last, done_last) = marks[0], marks[-1]
        seconds.append((last - first) / (done_last - done_first))
    return seconds


def assert_equal(program: Program, inputs: Inputs) -> int:
    """Return how many values of spikes, u and v were compared; end the program if one differs."""
    options = RunOptions(record=("spikes", "u", "v"))
    lava = Lava().run(program, inputs, options)
    emulator = Emulator().run(program, inputs, RunOptions(record=options.record, arithmetic="lava"))
    different = first_difference(emulator, lava, LAYERS, options.record)
    if different is not None:
        sys.exit(f"emulator and Lava differ: {different}")
    return sum(values.size for observed in lava.nodes.values() for values in observed.values())


def summary(seconds: list[float]) -> dict[str, Any]:
    """Return median and spread in microseconds."""
    micro = sorted(1e6 * s for s in seconds)
    return {"median_us": statistics.median(micro), "min_us": micro[0], "max_us": micro[-1], "repeats": len(micro)}


def main() -> None:
    """Run the benchmark and print, and on request write, its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if (reason := Lava().missing()) is not None:
        sys.exit(reason)
    rng = np.random.default_rng(arguments.seed)
    program = build_program(rng)
    x = (rng.random((arguments.steps, 1, SIZES[0])) < INPUT_SHARE).astype(np.uint8)
    compared = assert_equal(program, {"input": x})
    emulator = time_emulator(program, {"input": x}, arguments.repeats)
    lava = time_lava(program, {"input": x}, arguments.repeats)
    recording = Emulator().run(program, {"input": x}, RunOptions())
    synops = int(recording.counters["synops"].sum()) / arguments.steps
    result = {
        "network": "-".join(map(str, SIZES)),
        "steps": arguments.steps,
        "input_share": INPUT_SHARE,
        "synops_per_step": synops,
        "values_compared": compared,
        "emulator_us_per_step": summary(emulator),
        "lava_us_per_step": summary(lava),
        "lava_over_emulator": statistics.median(lava) / statistics.median(emulator),
        "emulator_gsynops_per_s": synops / statistics.median(emulator) / 1e9,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {"neurodeploy": __version__, "numba": version("numba"), "numpy": version("numpy")},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
