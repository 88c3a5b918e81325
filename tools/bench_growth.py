"""How does the emulator's time grow with activity and with neurons, and does a network of a million neurons fit?"""

from __future__ import annotations

from typing import Any

import bench_networks as networks
import numpy as np
from bench_measure import (
    Part,
    Row,
    Settings,
    Spread,
    assert_equals_twin,
    assert_share,
    emulate,
    interleaved,
    shares,
    synops_per_step,
)
from bench_sparse import SHARE, sparse_in_process

ACTIVITIES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
BUSY = 0.05
"""From here on what spikes deliver outweighs what every neuron costs in every step."""

SMALLEST = 1000
FAN_OUT = 100
NEURON_STEPS = 20_000_000
"""Neurons times steps in a run of a sparse network, about."""

FEWEST_STEPS = 20
ACTIVITY_BAR = 1.1
SIZE_BAR = 1.5
"""Largest slopes in double logarithm: 1 is in proportion, 2 would be with the square."""

MEMORY_BAR = 24.0


def measure_activity(settings: Settings) -> Part:
    """Time 1024-1024-1024 while all layers fire at 0.1 % to 50 %."""
    rng = np.random.default_rng(settings.seed)
    program = networks.relay(rng)
    points: list[dict[str, Any]] = []
    calls = {}
    for share in ACTIVITIES:
        inputs = networks.spikes(rng, share, (settings.steps, 1, networks.RELAY_SIZE))
        assert_equals_twin(program, inputs)
        found = shares(program, inputs)
        for name in ("hidden", "output"):
            assert_share(found, name, share)
        calls[f"{share:g}"] = emulate(program, inputs, threads=1)
        points.append({"share": share, "shares": found, "synops_per_step": synops_per_step(program, inputs)})
    for point, seconds in zip(points, interleaved(calls, settings.repeats).values(), strict=True):
        point["seconds_per_step"] = [s / settings.steps for s in seconds]
    rows = []
    for lowest in (ACTIVITIES[0], BUSY):
        chosen = [p for p in points if p["share"] >= lowest]
        slope = _slope([p["synops_per_step"] for p in chosen], [p["seconds_per_step"] for p in chosen])
        what = f"time over SynOps, {100 * lowest:g} % to {100 * ACTIVITIES[-1]:g} % active, log-log slope"
        rows.append(Row(what, slope, "", ACTIVITY_BAR, at_least=False))
    return Part(tuple(rows), {"network": f"{networks.RELAY_SIZE} x 3, dense", "points": points})


def measure_size(settings: Settings) -> Part:
    """Time recurrent sparse networks of growing size, each in a process of its own."""
    points = []
    sizes = [n for n in (SMALLEST * 10**k for k in range(10)) if n < settings.neurons]
    for neurons in (*sizes, settings.neurons):
        steps = min(settings.steps, max(FEWEST_STEPS, NEURON_STEPS // neurons))
        points.append(sparse_in_process(neurons, FAN_OUT, steps, settings.repeats, settings.seed))
    slope = _slope([p["neurons"] for p in points], [p["seconds_per_step"] for p in points])
    what = f"time over neurons, {SMALLEST:,} to {settings.neurons:,}, log-log slope"
    details = {"fan_out": FAN_OUT, "share": SHARE, "points": points}
    return Part((Row(what, slope, "", SIZE_BAR, at_least=False),), details)


def measure_large(settings: Settings) -> Part:
    """Build, compile and run the largest sparse network, and say what memory that took."""
    found = sparse_in_process(settings.neurons, FAN_OUT, FEWEST_STEPS, settings.repeats, settings.seed)
    per_step = Spread.of(found["seconds_per_step"])
    what = f"{found['neurons']:,} neurons, {found['synapses']:,} synapses"
    rows = (
        Row(f"{what}, peak memory", Spread.of([found["peak_gib"]]), "GiB", MEMORY_BAR, at_least=False),
        Row(f"{what}, building and compiling", Spread.of([found["build_and_compile_s"]]), "s"),
        Row(f"{what}, a step", per_step.times(1e3), "ms"),
        Row(f"{what}, a synaptic operation", per_step.times(1e9 / found["synops_per_step"]), "ns"),
    )
    return Part(rows, found)


def _slope(x: list[float], seconds: list[list[float]]) -> Spread:
    """Return the slope of log time over log x by least squares, fitted to each repeat."""
    if len(x) < 2:
        raise SystemExit("a slope needs two sizes; take more --neurons")

    def fitted(y: list[float]) -> float:
        return float(np.polyfit(np.log(x), np.log(y), 1)[0])

    return Spread.of([fitted(list(row)) for row in zip(*seconds, strict=True)])
