"""Memory of the reference grows with what is recorded, not with steps times neurons."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import json, resource
import numpy as np
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Conv2d, Flatten, Linear

rng = np.random.default_rng(0)
rule = NeuronRule(reset="value")
shapes = {"hidden": (10, 100, 100), "output": (10,)}
populations = tuple(Population(n, s, rule, decay_mem=np.full(s, 0.9), threshold=np.ones(s)) for n, s in shapes.items())
projections = (
    Projection("input", "hidden", (Conv2d(rng.normal(0, 0.5, (10, 1, 3, 3)), None, (1, 1), (1, 1)),)),
    Projection("hidden", "output", (Flatten(), Linear(rng.normal(0, 0.01, (10, 100_000)).astype(np.float32)))),
)
network = Network({"input": (1, 100, 100)}, populations, projections, ("output",), 1e-3, "nir")
for steps in STEPS:
    x = (rng.random((steps, 1, 1, 100, 100), dtype=np.float32) < 0.05).astype(np.uint8)
    recording = Reference().run(network, {"input": x}, RunOptions(nodes=("output",)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "steps": recording.n_steps, "spikes": int(recording.spikes("output").sum())}))
"""


def peak_bytes(*steps: int) -> list[int]:
    """Return the most memory that a process has had after each of its runs, of more and more steps."""
    code = CODE.replace("STEPS", str(steps))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["steps"] for result in results] == list(steps)
    assert all(result["spikes"] > 0 for result in results)
    return [int(result["peak"]) for result in results]


def test_more_steps_take_only_the_memory_of_their_input() -> None:
    # 2000 steps of 100,000 neurons as float32 would be 800 MB, as bytes 200 MB; their input is 20 MB.
    few, many = peak_bytes(200, 2200)
    assert many - few < 200e6


@pytest.mark.slow
def test_ten_thousand_steps_of_a_hundred_thousand_neurons_stay_under_two_gibibytes() -> None:
    (most,) = peak_bytes(10_000)
    assert most < 2 * 2**30
