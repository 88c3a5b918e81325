"""Do the emulator and its twin compute, on random programs, what Lava's own runtime computes, bit for bit?

The programs are those of ``tests/conformance/programs.py``: all that Lava can express, and our own programmable neurons
on top of Lava's. Each is drawn from a seed of its own, ``--seed`` and those that follow, so that a failing seed can be
run alone: ``--seed 1234 --programs 1``. Compared are the spikes (payloads where graded), u and v of every neuron in
every hardware step; no value may differ.

    tools/prove-lava [--programs 300] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LAVA
from neurodeploy.families.loihi.program import loihi_program
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.conformance.programs import N_SAMPLES, N_STEPS, census, differences, draw

OPTIONS = RunOptions(record=("spikes", "u", "v"), arithmetic="lava", raw_time=True)
BATCH = 50
"""Programs for one start of Lava: enough for its start not to count."""

LABELS = {
    "LIF": "LIF",
    "LIFReset": "LIFReset",
    "TernaryLIF": "TernaryLIF",
    "custom": "programmable",
    "dense": "dense",
    "sparse": "sparse",
    "conv": "convolutions",
    "reshaped": "of them reshaped",
    "delayed": "with longer delays",
    "graded": "with graded spikes",
}


def compare(program: Program, inputs: Inputs) -> tuple[dict[str, str], int]:
    """Return what differs from the twin, by seed and population, and how many values were compared with Lava's."""
    traces = definition.run(
        loihi_program(program, "the definition"),
        {name: values.astype(np.int64) for name, values in inputs.items()},
        LAVA,
    )
    runs: dict[str, Recording] = {"Lava": Lava().run(program, inputs, OPTIONS)}
    runs["emulator"] = Emulator().run(program, inputs, OPTIONS)
    found = {
        node: f"{name} differs from the twin in {what}"
        for name, recording in runs.items()
        for node, what in differences(recording, traces).items()
    }
    return found, sum(values.size for observed in runs["Lava"].nodes.values() for values in observed.values())


def main() -> int:
    """Draw, run and compare; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=300, help="how many random programs (300)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first one (0)")
    options = parser.parse_args()
    if options.programs < 1 or options.seed < 0:
        parser.error("there must be at least one program, and seeds are 0 or more")
    if (reason := Lava().missing()) is not None:
        parser.error(reason)
    kinds: Counter[str] = Counter()
    found: dict[str, str] = {}
    n_values, start, end = 0, time.monotonic(), options.seed + options.programs
    for seed in range(options.seed, end, BATCH):
        program, inputs = draw(seed, min(BATCH, end - seed))
        kinds.update(census(program))
        differing, compared = compare(program, inputs)
        found.update(differing)
        n_values += compared
        print(f"seeds {seed} to {min(seed + BATCH, end) - 1}: {len(differing)} differ", file=sys.stderr, flush=True)
    print(f"{options.programs} programs, {kinds['neurons']} neurons, {N_STEPS} steps of {N_SAMPLES} samples")
    print(", ".join(f"{kinds[key]} {label}" for key, label in LABELS.items()))
    print(f"{n_values} values of spikes, u and v compared in {time.monotonic() - start:.0f} s")
    for node, what in sorted(found.items()):
        print(f"seed {node.partition('.')[0]}: {node.partition('.')[2]}: {what}")
    print("DIFFERENT" if found else "Lava = twin = emulator")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
