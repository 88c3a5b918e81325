"""How fast is the emulator on 784-512-10 and on three convolutions, beside C, beside Lava, and on two threads?"""

from __future__ import annotations

from typing import Any

import bench_networks as networks
import numpy as np
from bench_kernel import Kernel, build_kernel
from bench_measure import (
    Call,
    Part,
    Row,
    Settings,
    Spread,
    assert_equals_lava,
    assert_equals_twin,
    assert_share,
    emulate,
    interleaved,
    ratio,
    shares,
    synops_per_step,
    time_lava,
)
from numpy.typing import NDArray

from neurodeploy.backends.lava.backend import Lava
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import Inputs

DENSE_SHARE = 0.1
CONV_SHARE = 0.05
BATCH = 64
THREADS = 2
LAVA_CONV_STEPS = 100
LAVA_CONV_SECONDS = 0.025
"""A step of Lava on the three convolutions, as it was measured when the bar was set."""

KERNEL_BAR = 50.0
LAVA_BAR = 300.0
COUNTERS_BAR = 10.0
THREADS_BAR = 1.8


def measure_dense(settings: Settings) -> Part:
    """Time 784-512-10 on one sample and one thread, beside the C kernel and Lava, with counters and without."""
    rng = np.random.default_rng(settings.seed)
    program = networks.dense(rng)
    inputs = networks.spikes(rng, DENSE_SHARE, (settings.steps, 1, networks.DENSE_SIZES[0]))
    assert_equals_twin(program, inputs)
    fired = shares(program, inputs)
    for name in ("hidden", "output"):
        assert_share(fired, name, DENSE_SHARE)
    calls = {"emulator": emulate(program, inputs, threads=1), "uncounted": _uncounted(program, inputs)}
    kernel, skipped = build_kernel(), []
    if isinstance(kernel, Kernel):
        calls["kernel"] = _kernel_call(kernel, program, inputs)
        calls["rows"] = _kernel_call(kernel, program, inputs, tiled=False)
    else:
        skipped.append(f"dense beside C: {kernel}")
    seconds = interleaved(calls, settings.repeats)
    per_step = {name: [s / settings.steps for s in values] for name, values in seconds.items()}
    emulator, uncounted = per_step["emulator"], per_step["uncounted"]
    synops = synops_per_step(program, inputs)
    details: dict[str, Any] = {"shares": fired, "synops_per_step": synops}
    rows = [Row("784-512-10, a step", Spread.of(emulator).times(1e6), "us")]
    if isinstance(kernel, Kernel):
        kernel_synops = float(inputs["input"].sum()) / settings.steps * networks.DENSE_SIZES[1]
        rows.append(Row("784-512-10, emulator", Spread.of([1e-9 * synops / s for s in emulator]), "GSynOps/s"))
        for name, key in (("row by row", "rows"), ("tiles in registers", "kernel")):
            rows += _beside_kernel(name, emulator, synops, per_step[key], kernel_synops)
        details |= {"kernel": kernel.name, "compiler": kernel.compiler, "kernel_synops_per_step": kernel_synops}
        rates = {"emulator": synops, "uncounted": synops, "rows": kernel_synops, "kernel": kernel_synops}
        details["synops_per_second"] = {name: [count / s for s in per_step[name]] for name, count in rates.items()}
    more = ratio(emulator, uncounted, 100.0).plus(-100.0)
    rows.append(Row("784-512-10, time that counters take", more, "%", COUNTERS_BAR, at_least=False))
    if reason := _no_lava(settings):
        skipped.append(f"dense beside Lava: {reason}")
    else:
        details["values_compared"] = assert_equals_lava(program, inputs)
        per_step["lava"] = time_lava(program, inputs, settings.repeats)
        rows.append(Row("784-512-10, emulator over Lava", ratio(per_step["lava"], emulator), "times", LAVA_BAR))
    return Part(tuple(rows), details | {"seconds_per_step": per_step}, tuple(skipped))


def measure_batch(settings: Settings) -> Part:
    """Time 64 samples of 784-512-10 on two threads and on one."""
    rng = np.random.default_rng(settings.seed)
    program = networks.dense(rng)
    inputs = networks.spikes(rng, DENSE_SHARE, (settings.steps, BATCH, networks.DENSE_SIZES[0]))
    calls: dict[str, Call] = {str(n): emulate(program, inputs, threads=n) for n in (1, THREADS)}
    one, two = (call() for call in calls.values())
    for name in ("hidden", "output"):
        assert np.array_equal(one.spikes(name), two.spikes(name)), f"threads change the spikes of {name}"
    seconds = interleaved(calls, settings.repeats)
    per_step = {name: [s / settings.steps / BATCH for s in values] for name, values in seconds.items()}
    rows = (
        Row(f"batch {BATCH}, a step and sample, one thread", Spread.of(per_step["1"]).times(1e6), "us"),
        Row(f"batch {BATCH}, two threads over one", ratio(seconds["1"], seconds[str(THREADS)]), "times", THREADS_BAR),
    )
    return Part(rows, {"batch": BATCH, "seconds_per_step_and_sample_by_threads": per_step})


def measure_conv(settings: Settings) -> Part:
    """Time three convolutions and a dense layer, beside Lava."""
    rng = np.random.default_rng(settings.seed)
    program = networks.convolutions(rng)
    inputs = networks.spikes(rng, CONV_SHARE, (settings.steps, 1, 1, networks.CONV_SIDE, networks.CONV_SIDE))
    assert_equals_twin(program, inputs)
    fired = shares(program, inputs)
    for name in networks.CONV_NAMES:
        assert_share(fired, name, CONV_SHARE)
    (seconds,) = interleaved({"emulator": emulate(program, inputs, threads=1)}, settings.repeats).values()
    emulator = [s / settings.steps for s in seconds]
    per_step, skipped = {"emulator": emulator}, []
    most = 1e6 * LAVA_CONV_SECONDS / LAVA_BAR
    rows = [Row("3 convolutions + dense 10, a step", Spread.of(emulator).times(1e6), "us", most, at_least=False)]
    details: dict[str, Any] = {"shares": fired, "synops_per_step": synops_per_step(program, inputs)}
    if reason := _no_lava(settings):
        skipped.append(f"conv beside Lava: {reason}")
    else:
        few = {"input": inputs["input"][:LAVA_CONV_STEPS]}
        details["values_compared"] = assert_equals_lava(program, few)
        per_step["lava"] = time_lava(program, few, settings.repeats)
        rows.append(Row("3 convolutions + dense 10, emulator over Lava", ratio(per_step["lava"], emulator), "times"))
    return Part(tuple(rows), details | {"seconds_per_step": per_step}, tuple(skipped))


def _uncounted(program: Program, inputs: Inputs) -> Call:
    return emulate(program, inputs, threads=1, counters=False)


def _no_lava(settings: Settings) -> str | None:
    """Return why Lava is left out, or None."""
    return Lava().missing() if settings.lava else "--no-lava"


def _beside_kernel(
    name: str, emulator: list[float], synops: float, kernel: list[float], kernel_synops: float
) -> list[Row]:
    """Return synaptic operations per second of a C kernel, and the share of them that the emulator reaches."""
    giga, kernel_giga = ([1e-9 * n / s for s in times] for n, times in ((synops, emulator), (kernel_synops, kernel)))
    return [
        Row(f"784-512, C kernel, {name}, synapses alone", Spread.of(kernel_giga), "GSynOps/s"),
        Row(f"784-512-10, emulator's part of C's, {name}", ratio(giga, kernel_giga, 100.0), "%", KERNEL_BAR),
    ]


def _kernel_call(kernel: Kernel, program: Program, inputs: Inputs, *, tiled: bool = True) -> Call:
    """Return a call that sums the first layer's weights for all steps, after a check against NumPy."""
    codes = program.projections[0].weight
    low = codes >> 1
    assert (low << 1 == codes).all() and low.min() >= -128 and low.max() <= 127, "weights are not of 8 bits"
    weight = np.ascontiguousarray(low.T.astype(np.int8))
    x: NDArray[np.uint8] = inputs["input"][:, 0]
    active = np.nonzero(x)[1].astype(np.int32)
    first = np.concatenate([[0], np.cumsum(x.sum(axis=1, dtype=np.int64))])
    every = np.zeros((len(x), weight.shape[1]), np.int32)
    kernel.accumulate(weight, active, first, every, tiled=tiled)
    wanted = (x.astype(np.float32) @ weight.astype(np.float32)).astype(np.int32)
    assert np.array_equal(every, wanted), "the C kernel's sums differ from NumPy's"
    total = np.zeros(weight.shape[1], np.int32)
    return lambda: kernel.accumulate(weight, active, first, total, tiled=tiled)
