"""Is Xylo's kernel at least as fast as XyloSim itself, called bare, and 100 times as fast as through rockpool?

Of each network the same inputs run through both, in turns, in this process and in one that has XyloSim alone, which
times nothing but its own ``evolve``; the kernel's time holds all that its ``run`` does. Before time is taken, the
spikes of the outputs are seen to be equal, and the kernel has run once. Weights are dense, so that all of them count;
``--rate`` says how often each input channel spikes, on which the load of both depends. Rockpool runs where
a Python with rockpool is: the frameworks' environment (`tools/test-frameworks`), or ``--rockpool PYTHON``.

    tools/bench-xylo [--sizes 16-63-8 16-500-8] [--rate 0.3 0.02] [--steps 1000] [--repeats 7] [--samples 64]
        [--rockpool PYTHON] [--json FILE]
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


THROUGH_ROCKPOOL = """
import json, sys, time, types, warnings
warnings.simplefilter("ignore")
import numpy as np
sys.modules["samna"] = types.ModuleType("samna")  # which talks to boards, and is fetched when it is imported
import rockpool.devices
for name in ("xylo", "xylo.syns61300", "xylo.syns61201"):
    # Their own __init__ needs samna, and the simulator does not.
    package = types.ModuleType(f"rockpool.devices.{name}")
    package.__path__ = [f"{folder}/{name.replace('.', '/')}" for folder in rockpool.devices.__path__]
    sys.modules[package.__name__] = package
from rockpool.devices.xylo.syns61201.xylo_sim import XyloSim
request = json.loads(sys.stdin.readline())
arrays = {key: np.asarray(values) for key, values in request["arrays"].items()}
module = XyloSim.from_specification(**arrays, **request["shifts"], verify_config=False)
rows = np.asarray(request["rows"])
for line in sys.stdin:
    module.reset_state()
    start = time.perf_counter()
    spikes, _, _ = module(rows, record=True)
    took = time.perf_counter() - start
    print(json.dumps([took, np.asarray(spikes).reshape(len(rows), -1).astype(int).tolist()]), flush=True)
"""
"""Times rockpool's own module, which returns all registers of each step, as the kernel does."""

FRAMEWORKS = Path(__file__).parents[1] / ".venv-frameworks" / "bin" / "python"


def rockpool_request(codes: XyloCodes, rows: Any) -> dict[str, Any]:
    """Return a network as ``XyloSim.from_specification`` takes it, JSON-ready, and the input of each step."""
    hidden, outputs = codes.hidden, codes.outputs
    arrays = {
        "weights_in": codes.weight_in.swapaxes(1, 2),
        "weights_rec": codes.weight_rec.swapaxes(1, 2),
        "weights_out": codes.weight_out[:, 0],
        "dash_mem": hidden.dash_mem,
        "dash_mem_out": outputs.dash_mem,
        "dash_syn": hidden.dash_syn[0],
        "dash_syn_2": hidden.dash_syn[1],
        "dash_syn_out": outputs.dash_syn[0],
        "threshold": hidden.threshold_code,
        "threshold_out": outputs.threshold_code,
    }
    shifts = {
        "weight_shift_in": codes.shift_in,
        "weight_shift_rec": codes.shift_rec,
        "weight_shift_out": codes.shift_out,
    }
    return {"arrays": {key: values.tolist() for key, values in arrays.items()}, "shifts": shifts, "rows": rows}


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


class Timed:
    """A process that runs the same input whenever it is asked to, and says how long that took, and what came out.

    Args:
        command: the process. request: its first line. packages: a folder of packages that it is given, or None.
    """

    def __init__(self, command: list[str], request: dict[str, Any], packages: str | None = None) -> None:
        environment = None if packages is None else {**os.environ, "PYTHONPATH": packages}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._write(json.dumps(request))

    def run(self) -> tuple[float, list[list[int]]]:
        """Return seconds, and the spikes of the outputs in each step."""
        self._write("")
        assert self._process.stdout is not None
        took, spikes = json.loads(self._process.stdout.readline())
        return took, spikes

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)


def measure(sizes: tuple[int, int, int], rate: float, options: argparse.Namespace) -> dict[str, Any]:
    """Return microseconds a step, the median and the extremes, of both, and of the kernel with many samples."""
    codes, n_steps, n_samples = network(sizes), options.steps, options.samples
    inputs = (np.random.default_rng(1).random((n_steps, 1, sizes[0])) < rate).astype(np.uint8)
    many = np.repeat(inputs, n_samples, axis=1)
    request = {"version": 2, "arguments": arguments(codes), "rows": inputs[:, 0].tolist()}
    python = SIMULATOR.python()
    assert python is not None
    others = {"xylosim": Timed([str(python), "-I", "-c", BARE, str(WORKER)], request)}
    if options.rockpool.exists():
        packages = next(python.parents[1].glob("lib/python*/site-packages"))
        wanted = rockpool_request(codes, inputs[:, 0].tolist())
        others["rockpool"] = Timed([str(options.rockpool), "-c", THROUGH_ROCKPOOL], wanted, str(packages))
    times: dict[str, list[float]] = {name: [] for name in (*others, "kernel", "kernel_many")}
    ours = kernel.run(codes, inputs)
    for _ in range(options.repeats + 1):
        for name, other in others.items():
            took, spikes = other.run()
            if not np.array_equal(spikes, ours.spikes_out[:, 0]):
                raise SystemExit(f"{sizes}: the output spikes of {name} and of the kernel differ")
            times[name].append(took)
        times["kernel"].append(_timed(lambda: kernel.run(codes, inputs, threads=1))[0])
        times["kernel_many"].append(_timed(lambda: kernel.run(codes, many))[0] / n_samples)
    for other in others.values():
        other.close()
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
        "times_as_fast": {name: figures[name]["median"] / figures["kernel"]["median"] for name in others},
    }


def main() -> int:
    """Measure all sizes; return 1 where the kernel is slower than XyloSim, or not 100 times as fast as rockpool's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["16-63-8", "16-500-8"], help="inputs-hidden-outputs")
    parser.add_argument("--rate", nargs="+", type=float, default=[0.3, 0.02], help="spikes of an input in a step")
    parser.add_argument("--steps", type=int, default=1000, help="steps of a run (1000)")
    parser.add_argument("--repeats", type=int, default=7, help="runs after the first one (7)")
    parser.add_argument("--samples", type=int, default=64, help="samples of the batched runs (64)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--rockpool", type=Path, default=FRAMEWORKS, help="a Python with rockpool, if it is there")
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
        faster = ", ".join(f"{times:.1f} times {name}" for name, times in found["times_as_fast"].items())
        print(f"{size}: the kernel is as fast as {faster}")
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    versions = {"numpy": np.__version__, "numba": numba.__version__, "xylosim": SIMULATOR.requirements[-1]}
    if options.json:
        options.json.write_text(json.dumps({**machine, **versions, "results": results}, indent=1) + "\n")
    least = {"xylosim": 1, "rockpool": 100}
    return 0 if all(one >= least[name] for found in results for name, one in found["times_as_fast"].items()) else 1


if __name__ == "__main__":
    sys.exit(main())
