"""The fixed-point emulator: Loihi's integer neuron and synapses, event-driven, parallel over samples."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neurodeploy
from neurodeploy.arithmetic import Arithmetic, find_arithmetic
from neurodeploy.backends.base import Inputs, RunOptions, expect, model_rows, spike_inputs
from neurodeploy.backends.emulator.tables import Layout, lay_out
from neurodeploy.backends.emulator.twin import COUNTERS
from neurodeploy.program import Program
from neurodeploy.recording import Recording


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
        layout = lay_out(subject, arithmetic)
        n_steps, n_samples = next(iter(spikes.values())).shape[:2]
        run = _Run(subject, layout, arithmetic, names, options)
        arrays, counters = run.all_samples(_input_rows(subject, layout, spikes), n_steps, n_samples)
        populations = list(subject.latency)
        cut = {
            key: np.stack(
                [
                    model_rows(values[..., i], subject.latency[p], n_steps, options.raw_time)
                    for i, p in enumerate(populations)
                ],
                -1,
            )
            for key, values in counters.items()
        }
        nodes = {
            name: {
                key: model_rows(values, subject.latency[name], n_steps, options.raw_time)
                for key, values in observed.items()
            }
            for name, observed in arrays.items()
        }
        meta = {
            "backend": self.name,
            "versions": {"neurodeploy": neurodeploy.__version__},
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


class _Run:
    """One call of the emulator: buffers for all samples, filled by threads."""

    def __init__(
        self, program: Program, layout: Layout, arithmetic: Arithmetic, names: tuple[str, ...], options: RunOptions
    ) -> None:
        self.program, self.layout, self.arithmetic, self.names, self.options = (
            program,
            layout,
            arithmetic,
            names,
            options,
        )
        self.columns: dict[str, int] = {}
        self.width = 0
        self.record = np.full(int(layout.tables.offset[-1]), -1, np.int64)
        for index, population in enumerate(program.populations, start=layout.tables.n_inputs):
            if population.name in names:
                first = int(layout.tables.offset[index])
                self.record[first : first + population.size] = np.arange(self.width, self.width + population.size)
                self.columns[population.name] = self.width
                self.width += population.size

    def all_samples(
        self, x: NDArray[np.uint8], n_steps: int, n_samples: int
    ) -> tuple[dict[str, dict[str, NDArray[Any]]], dict[str, NDArray[np.int64]]]:
        """Return what was recorded, by node and observable in hardware rows, and the counters ``[rows, B, nodes]``."""
        rows = n_steps + self.program.max_latency
        shapes = self.program.shapes
        wanted = self.options.record
        nodes: dict[str, dict[str, NDArray[Any]]] = {
            name: {
                key: np.empty((rows, n_samples, *shapes[name]), np.uint8 if key == "spikes" else np.int32)
                for key in wanted
            }
            for name in self.names
        }
        counters = np.zeros((n_samples, rows, len(self.program.populations), len(COUNTERS)), np.int64)
        done = 0

        def one(sample: int) -> None:
            nonlocal done
            self._one_sample(sample, x, rows, nodes, counters[sample])
            done += 1
            if self.options.progress:
                self.options.progress(done, n_samples)

        with ThreadPoolExecutor(max_workers=min(n_samples, os.cpu_count() or 1)) as pool:
            list(pool.map(one, range(n_samples)))
        return nodes, {key: counters[..., i].transpose(1, 0, 2) for i, key in enumerate(COUNTERS)}

    def _one_sample(
        self,
        sample: int,
        x: NDArray[np.uint8],
        rows: int,
        nodes: dict[str, dict[str, NDArray[Any]]],
        counters: NDArray[np.int64],
    ) -> None:
        from neurodeploy.backends.emulator.kernels import run_sample

        width = {key: self.width if key in self.options.record else 0 for key in ("v", "u")}
        outputs: dict[str, NDArray[Any]] = {
            "spikes": np.zeros((rows, self.width), np.uint8),
            "v": np.zeros((rows, width["v"]), np.int32),
            "u": np.zeros((rows, width["u"]), np.int32),
        }
        run_sample(
            self.layout.tables, x[sample], rows, self.arithmetic.wraps_once, self.record,
            outputs["spikes"], outputs["v"], outputs["u"], counters,
        )  # fmt: skip
        for name, first in self.columns.items():
            place = first + self.layout.order[name]
            for key, array in nodes[name].items():
                array[:, sample] = outputs[key][:, place].reshape(rows, *self.program.shapes[name])


def _input_rows(program: Program, layout: Layout, inputs: Inputs) -> NDArray[np.uint8]:
    """Return all inputs side by side in the tables' order, uint8 ``[B, T, n]``."""
    sides = []
    for name, shape in program.inputs.items():
        values = inputs[name]
        flat = values.reshape(*values.shape[:2], prod(shape)).transpose(1, 0, 2)
        laid = np.empty_like(flat, order="C")
        laid[:, :, layout.order[name]] = flat
        sides.append(laid)
    return np.ascontiguousarray(np.concatenate(sides, axis=2))
