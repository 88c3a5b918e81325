"""Memory of the reference grows with what is recorded, not with steps times neurons."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CODE = """
import json, resource
import numpy as np
from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.network import Network, Population, Projection
from neurodeploy.rule import NeuronRule
from neurodeploy.synapses import Conv2d, Flatten, Linear

rng = np.random.default_rng(0)
rule = NeuronRule(reset="value")
shapes = {"hidden": (10, 100, 100), "output": (10,)}
populations = tuple(Population(n, s, rule, decay_mem=np.full(s, 0.9), threshold=np.ones(s)) for n, s in shapes.items())
projections = (
    Projection("input", "hidden", (Conv2d(rng.normal(0, 0.5, (10, 1, 3, 3)), None, (1, 1), (1, 1)),)),
    Projection("hidden", "output", (Flatten(), Linear(rng.normal(0, 0.01, (10, 100_000)).astype(np.float32)))),
)
network = Network({"input": (1, 100, 100)}, populations, projections, ("output",), 1e-3, "nir")
x = (rng.random((STEPS, 1, 1, 100, 100), dtype=np.float32) < 0.05).astype(np.uint8)
recording = Reference().run(network, {"input": x}, RunOptions(nodes=("output",)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "steps": recording.n_steps, "spikes": int(recording.spikes("output").sum())}))
"""


def peak_bytes(steps: int) -> int:
    code = CODE.replace("STEPS", str(steps))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["steps"] == steps
    assert result["spikes"] > 0
    return int(result["peak"])


def test_more_steps_take_only_the_memory_of_their_input() -> None:
    # 2000 steps of 100,000 neurons as float32 would be 800 MB, as bytes 200 MB; their input is 20 MB.
    assert peak_bytes(2200) - peak_bytes(200) < 200e6


@pytest.mark.slow
def test_ten_thousand_steps_of_a_hundred_thousand_neurons_stay_under_two_gibibytes() -> None:
    assert peak_bytes(10_000) < 2 * 2**30
