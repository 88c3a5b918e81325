"""Take times for the benchmark, and describe a measured figure with its bar."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.comparison.measures import first_difference
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import find_arithmetic
from neurodeploy.families.loihi.program import loihi_program
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import Inputs, RunOptions
from neurodeploy.version import __version__

SHORTEST = 0.02
"""Seconds that one repeat lasts at least; a shorter call is made several times and its mean taken."""

TWIN_STEPS = 20

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says.

    steps: of each run. repeats: of each time. seed: of all random numbers. lava: whether to run Lava beside it.
    neurons: of the largest sparse network.
    """

    steps: int
    repeats: int
    seed: int
    lava: bool
    neurons: int


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure measured several times."""

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return median, smallest and largest."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def times(self, factor: float) -> Spread:
        """Return the same in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.repeats)

    def plus(self, term: float) -> Spread:
        """Return the same, moved."""
        return Spread(self.median + term, self.low + term, self.high + term, self.repeats)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    bar: what the figure has to reach, or None where it is only shown; at_least: or where it has to stay below.
    """

    what: str
    measured: Spread
    unit: str
    bar: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the median meets the bar, or None without one."""
        if self.bar is None:
            return None
        return self.measured.median >= self.bar if self.at_least else self.measured.median <= self.bar

    def cells(self) -> tuple[str, str, str, str]:
        """Return what, measured, bar, met as text."""
        m = self.measured
        spread = f" ({m.low:.3g} .. {m.high:.3g})" if m.repeats > 1 else ""
        bar = "" if self.bar is None else f"{'>=' if self.at_least else '<='} {self.bar:.3g} {self.unit}"
        met = {None: "", True: "met", False: "NOT MET"}[self.met]
        return self.what, f"{m.median:.4g} {self.unit}".rstrip() + spread, bar.rstrip(), met


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the benchmark found: lines of the table, all figures, JSON-ready, and what was left out."""

    rows: tuple[Row, ...]
    details: dict[str, Any]
    skipped: tuple[str, ...] = field(default=())


def timed(call: Call) -> float:
    """Return the mean seconds of a call, made as often as fills the shortest time."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < SHORTEST:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls


def interleaved(calls: dict[str, Call], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each call in each repeat, after a warm-up, turn by turn, so that all meet the same load."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(timed(call))
    return seconds


def ratio(above: list[float], below: list[float], factor: float = 1.0) -> Spread:
    """Return the ratio of two medians, with the spread of the ratios repeat by repeat."""
    each = [factor * a / b for a, b in zip(above, below, strict=True)]
    return Spread(factor * statistics.median(above) / statistics.median(below), min(each), max(each), len(each))


def emulate(program: Program, inputs: Inputs, **options: Any) -> Call:
    """Return a call that runs a program on the emulator."""
    chosen = RunOptions(**options)
    return lambda: Emulator().run(program, inputs, chosen)


def time_lava(program: Program, inputs: Inputs, repeats: int) -> list[float]:
    """Return seconds per step of each repeat, between the first and the last report of progress.

    So its start of some seconds is left out, in its favour.
    """
    seconds = []
    for _ in range(repeats):
        marks: list[tuple[float, int]] = []

        def mark(done: int, _total: int, marks: list[tuple[float, int]] = marks) -> None:
            marks.append((time.perf_counter(), done))

        Lava().run(program, inputs, RunOptions(progress=mark))
        (first, done_first), (last, done_last) = marks[0], marks[-1]
        if done_last == done_first:
            sys.exit("Lava was done before it could be timed; take more --steps")
        seconds.append((last - first) / (done_last - done_first))
    return seconds


def assert_equals_lava(program: Program, inputs: Inputs) -> int:
    """Return how many values of spikes, u and v were compared; end the program if one differs."""
    names = tuple(population.name for population in program.populations)
    record = ("spikes", "u", "v")
    lava = Lava().run(program, inputs, RunOptions(record=record))
    emulator = Emulator().run(program, inputs, RunOptions(record=record, arithmetic="lava"))
    if (different := first_difference(emulator, lava, names, record)) is not None:
        sys.exit(f"emulator and Lava differ: {different}")
    return sum(values.size for observed in lava.nodes.values() for values in observed.values())


def assert_equals_twin(program: Program, inputs: Inputs) -> None:
    """End the program if spikes, v or u of the first steps differ from those of the emulator's NumPy twin."""
    few = {name: values[:TWIN_STEPS] for name, values in inputs.items()}
    traces = definition.run(loihi_program(program, "the definition"), few, find_arithmetic(program.arithmetic))
    found = Emulator().run(program, few, RunOptions(record=("spikes", "v", "u"), raw_time=True))
    for population in program.populations:
        for key, trace in (("spikes", traces.spikes), ("v", traces.v), ("u", traces.u)):
            values = found.nodes[population.name][key]
            if not np.array_equal(values.reshape(trace[population.name].shape), trace[population.name]):
                sys.exit(f"emulator and its NumPy twin differ: {key} of {population.name}")


def shares(program: Program, inputs: Inputs) -> dict[str, float]:
    """Return the share of neurons that fire in a step, for inputs and populations."""
    recording = Emulator().run(program, inputs, RunOptions())
    found = {name: float(np.mean(values)) for name, values in inputs.items()}
    return found | {p.name: float(recording.spikes(p.name).mean()) for p in program.populations}


def assert_share(found: dict[str, float], name: str, wanted: float) -> None:
    """End the program if a population's activity is not within half and twice what the benchmark speaks of."""
    if not wanted / 2 <= found[name] <= wanted * 2:
        sys.exit(f"{name} fires at {found[name]:.4f} a step, {wanted} was meant; another --seed or more --steps")


def synops_per_step(program: Program, inputs: Inputs) -> float:
    """Return how many weights are delivered in a step, as the emulator counts them."""
    counters = Emulator().run(program, inputs, RunOptions(nodes=())).counters
    samples = np.prod(next(iter(inputs.values())).shape[:2])
    return float(counters["synops"].sum() / samples)


def machine() -> dict[str, Any]:
    """Return what was measured on, and with which versions."""
    names = ("numba", "numpy", "scipy")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "neurodeploy": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in names},
        },
    }


def _processor() -> str:
    source = Path("/proc/cpuinfo")
    if source.exists():
        for line in source.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
