"""How long does the very first run take, and the first run of every later process?

Alone, this is the process that is measured: ``python tools/bench_first.py`` prints the seconds of its first run, of
importing all that this needs, and of the second run, as JSON. Numba's cache is where NUMBA_CACHE_DIR says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bench_networks as networks
import numpy as np
from bench_measure import Part, Row, Settings, Spread

COMPILE_BAR = 20.0
LOAD_BAR = 1.0
STEPS = 10
MOST_COMPILATIONS = 3
"""Repeats of what takes many seconds."""


def measure_first(settings: Settings) -> Part:
    """Time the first run with an empty cache, and in processes that find it filled."""
    compiling, loading = [], []
    for _ in range(min(settings.repeats, MOST_COMPILATIONS)):
        with tempfile.TemporaryDirectory() as folder:
            compiling.append(_in_process(folder))
            loading += [_in_process(folder) for _ in range(max(1, settings.repeats // MOST_COMPILATIONS))]
    rows = (
        Row("first run ever, compiling", _spread(compiling, "first_run_s"), "s", COMPILE_BAR, at_least=False),
        Row("first run of a process, loading", _spread(loading, "first_run_s"), "s", LOAD_BAR, at_least=False),
        Row("importing what a run needs", _spread(loading, "import_s"), "s"),
    )
    return Part(rows, {"compiling": compiling, "loading": loading})


def _spread(found: list[dict[str, float]], key: str) -> Spread:
    return Spread.of([one[key] for one in found])


def _in_process(cache: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).resolve())]
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_here() -> dict[str, Any]:
    """Return the seconds of importing the kernels, of the first run, and of the second."""
    rng = np.random.default_rng(0)
    program = networks.dense(rng)
    inputs = networks.spikes(rng, 0.1, (STEPS, 1, networks.DENSE_SIZES[0]))
    marks = [time.perf_counter()]
    import neurodeploy.families.loihi.emulator.kernels
    from neurodeploy.backends.emulator.backend import Emulator
    from neurodeploy.ir.run_options import RunOptions

    assert neurodeploy.families.loihi.emulator.kernels
    marks.append(time.perf_counter())
    for _ in range(2):
        Emulator().run(program, inputs, RunOptions())
        marks.append(time.perf_counter())
    imported, first, second = np.diff(marks)
    return {"import_s": float(imported), "first_run_s": float(first), "second_run_s": float(second)}


if __name__ == "__main__":
    print(json.dumps(measure_here()))
