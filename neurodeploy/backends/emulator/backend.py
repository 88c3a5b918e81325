"""The fixed-point emulator: Loihi's integer neuron and synapses, event-driven, parallel over samples."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import Arithmetic, find_arithmetic
from neurodeploy.backends.base import Inputs, RunOptions, expect, model_rows, spike_inputs
from neurodeploy.backends.emulator.tables import Layout, lay_out
from neurodeploy.backends.emulator.twin import COUNTERS
from neurodeploy.program import Program
from neurodeploy.recording import Recording
from neurodeploy.synapses import Shape
from neurodeploy.version import __version__


class Emulator:
    """Runs a program bit by bit as Lava's simulator, or as the chip; see :mod:`neurodeploy.arithmetic`."""

    name = "emulator"

    def missing(self) -> str | None:
        """Return None: the emulator needs nothing beyond neurodeploy itself."""
        return None

    def run(self, subject: Program, inputs: Inputs, options: RunOptions) -> Recording:
        """Run a program.

        Args:
            subject: the program.
            inputs: spikes, ``[T, B, *shape]`` for each input.
            options: what to record, and in which arithmetic.

        Returns:
            Spikes uint8, u and v int32, counters int64 ``[T, B, nodes]`` (see ``twin.COUNTERS``) in the rows of each
            node.

        Raises:
            DeployError: inputs do not fit or are no spikes, or a name is unknown.
        """
        expect(Program, subject, self.name)
        spikes = spike_inputs(subject, inputs)
        arithmetic = find_arithmetic(options.arithmetic or subject.arithmetic)
        names = options.recorded(tuple(population.name for population in subject.populations))
        n_steps = len(next(iter(spikes.values())))
        recorded, counters = _run_samples(subject, spikes, arithmetic, names, options)
        populations = list(subject.latency)
        cut = {
            key: np.stack(
                [
                    model_rows(v[..., i], subject.latency[p], n_steps, options.raw_time)
                    for i, p in enumerate(populations)
                ],
                axis=-1,
            )
            for key, v in counters.items()
        }
        nodes = {
            name: {
                key: model_rows(values, subject.latency[name], n_steps, options.raw_time)
                for key, values in observed.items()
            }
            for name, observed in recorded.items()
        }
        meta = {
            "backend": self.name,
            "versions": {"neurodeploy": __version__},
            "target": subject.target,
            "arithmetic": arithmetic.name,
            "dialect": subject.dialect,
            "dt": subject.dt,
            "latency": subject.latency,
            "raw_time": options.raw_time,
            "outputs": list(subject.outputs),
            "counter_nodes": populations,
            "model_sha256": subject.provenance.get("model_sha256", ""),
        }
        return Recording(nodes, meta, cut)


def _run_samples(
    program: Program, inputs: Inputs, arithmetic: Arithmetic, names: tuple[str, ...], options: RunOptions
) -> tuple[dict[str, dict[str, NDArray[Any]]], dict[str, NDArray[np.int64]]]:
    """Run all samples, a thread for each core.

    Returns:
        What was recorded, by node and observable, ``[rows, B, *shape]``, and counters ``[rows, B, populations]``.
    """
    from neurodeploy.backends.emulator.kernels import run_sample

    layout = lay_out(program, arithmetic)
    columns, record = _columns(program, layout, names)
    x = _input_rows(program, inputs)
    n_samples, rows = len(x), x.shape[1] + program.max_latency
    width = max((end for _, end in columns.values()), default=0)
    outputs = {
        key: np.zeros(
            (n_samples, rows, width if key in options.record else 0), np.uint8 if key == "spikes" else np.int32
        )
        for key in ("spikes", "v", "u")
    }
    if "spikes" not in options.record:
        outputs["spikes"] = np.zeros((n_samples, rows, width), np.uint8)
    counters = np.zeros((n_samples, rows, len(program.populations), len(COUNTERS)), np.int64)
    done = 0

    def one(sample: int) -> None:
        nonlocal done
        run_sample(
            layout.tables, x[sample], rows, arithmetic.wraps_once, record,
            outputs["spikes"][sample], outputs["v"][sample], outputs["u"][sample], counters[sample],
        )  # fmt: skip
        done += 1
        if options.progress:
            options.progress(done, n_samples)

    n_threads = min(n_samples, os.cpu_count() or 1)
    if n_threads == 1:
        for sample in range(n_samples):
            one(sample)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(one, range(n_samples)))
    recorded = {
        name: {key: _by_row(outputs[key][:, :, first:end], program.shapes[name]) for key in options.record}
        for name, (first, end) in columns.items()
    }
    return recorded, {key: counters[..., i].transpose(1, 0, 2) for i, key in enumerate(COUNTERS)}


def _columns(
    program: Program, layout: Layout, names: tuple[str, ...]
) -> tuple[dict[str, tuple[int, int]], NDArray[np.int64]]:
    """Return each recorded node's first and last column, and the column of each neuron in the tables, or -1."""
    columns: dict[str, tuple[int, int]] = {}
    record = np.full(int(layout.tables.offset[-1]), -1, np.int64)
    width = 0
    for index, population in enumerate(program.populations, start=layout.tables.n_inputs):
        if population.name in names:
            end = width + population.size
            record[layout.tables.offset[index] + layout.order[population.name]] = np.arange(width, end)
            columns[population.name] = (width, end)
            width = end
    return columns, record


def _by_row(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return ``[B, rows, n]`` as ``[rows, B, *shape]``."""
    return values.transpose(1, 0, 2).reshape(values.shape[1], values.shape[0], *shape)


def _input_rows(program: Program, inputs: Inputs) -> NDArray[np.uint8]:
    """Return all inputs side by side, uint8 ``[B, T, n]``; in the tables' order, (H, W, C) for three axes."""
    sides = []
    for name, shape in program.inputs.items():
        axes = (1, 0, 3, 4, 2) if len(shape) == 3 else (1, 0, *range(2, 2 + len(shape)))
        turned = inputs[name].transpose(axes)
        sides.append(turned.reshape(*turned.shape[:2], -1))
    return np.ascontiguousarray(np.concatenate(sides, axis=2))
