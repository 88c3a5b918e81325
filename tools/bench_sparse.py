"""Build, compile and time a large sparse network in a process of its own, whose memory is then this network's alone.

python tools/bench_sparse.py NEURONS FAN_OUT STEPS REPEATS SEED
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bench_networks as networks
import numpy as np
from bench_measure import assert_equals_twin, assert_share, emulate, interleaved, shares

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import Inputs, RunOptions

SHARE = 0.01
TWIN_NEURONS = 10_000
"""Up to so many neurons a run is compared with the NumPy twin; beyond, what it delivered against the input's spikes."""


def sparse_in_process(neurons: int, fan_out: int, steps: int, repeats: int, seed: int) -> dict[str, Any]:
    """Return what a fresh process measured: times, activity, synapses, peak memory.

    Raises:
        RuntimeError: the process failed; with what it said.
    """
    arguments = [str(n) for n in (neurons, fan_out, steps, repeats, seed)]
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the sparse network of {neurons} neurons failed: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(neurons: int, fan_out: int, steps: int, repeats: int, seed: int) -> dict[str, Any]:
    """Return what is measured here; see ``sparse_in_process``."""
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    program = networks.recurrent(rng, neurons, fan_out)
    built = time.perf_counter() - start
    inputs = networks.spikes(rng, SHARE, (steps, 1, neurons))
    synops = _check(program, inputs, fan_out)
    found = shares(program, inputs)
    assert_share(found, "output", SHARE)
    (seconds,) = interleaved({"run": emulate(program, inputs, threads=1)}, repeats).values()
    return {
        "neurons": neurons,
        "synapses": sum(p.weight.size for p in program.projections),
        "weight_bits": program.projections[-1].weight_bits,
        "steps": steps,
        "shares": found,
        "synops_per_step": synops,
        "build_and_compile_s": built,
        "seconds_per_step": [s / steps for s in seconds],
        "peak_gib": _peak_bytes() / 2**30,
        "warnings": list(program.warnings),
    }


def _check(program: Program, inputs: Inputs, fan_out: int) -> float:
    """Return synaptic operations in a step, after a check that a run is right."""
    if inputs["input"].shape[2] <= TWIN_NEURONS:
        assert_equals_twin(program, inputs)
    steps = len(inputs["input"])
    recording = Emulator().run(program, inputs, RunOptions(raw_time=True))
    fired = recording.spikes("output")[:-1].sum(dtype=np.int64)
    wanted = int(inputs["input"].sum(dtype=np.int64) + fan_out * fired)
    found = int(recording.counters["synops"].sum())
    assert found == wanted, f"{found} weights were delivered, {wanted} have to be"
    return found / steps


def _peak_bytes() -> int:
    """Return the largest memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    print(json.dumps(measure(*(int(word) for word in sys.argv[1:]))))
