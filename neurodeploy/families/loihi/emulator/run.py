"""Run a program's samples on the compiled kernels, a thread for each core."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.base import Emulated
from neurodeploy.families.loihi.arithmetic import Arithmetic, find_arithmetic
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.definition import COUNTERS
from neurodeploy.families.loihi.emulator.tables import Layout, lay_out
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.run_options import Inputs, RunOptions, observables


def emulate(program: LoihiProgram, inputs: Inputs, options: RunOptions) -> Emulated:
    """Run a program bit by bit; see :class:`neurodeploy.families.base.Emulated`.

    Args:
        program: the program.
        inputs: spikes uint8, or payloads int32, ``[T, B, *shape]`` for each input of the chip.
        options: what to record, and in which arithmetic.

    Raises:
        DeployError: a name is unknown, or the program has numbers that the kernels cannot hold.
    """
    arithmetic = find_arithmetic(options.arithmetic or program.arithmetic)
    names = options.recorded(tuple(program.latency), program.nodes)
    recorded, counters = _run_samples(program, inputs, arithmetic, names, options)
    return Emulated(recorded, {key: counters[..., i] for i, key in enumerate(COUNTERS)} if options.counters else {})


def _run_samples(
    program: LoihiProgram, inputs: Inputs, arithmetic: Arithmetic, names: tuple[str, ...], options: RunOptions
) -> tuple[dict[str, dict[str, NDArray[Any]]], NDArray[np.int64]]:
    """Run all samples, a thread for each core.

    Returns:
        What was recorded, by node and observable, ``[rows, B, *shape]``, and counters ``[rows, B, populations,
        counters]``.
    """
    from neurodeploy.families.loihi.emulator.kernels import run_sample
    from neurodeploy.preparing import prepare

    layout = lay_out(program, arithmetic)
    columns, column = _columns(program, layout, names)
    n_steps, n_samples = next(iter(inputs.values())).shape[:2]
    rows = n_steps + program.max_latency
    outputs = _outputs(program, names, options, (rows, n_samples))
    counters = np.zeros((rows, n_samples, len(program.populations), len(COUNTERS)), np.int64)
    settings = (arithmetic.wraps_once, options.counters, column, *outputs.values(), counters)
    done = 0

    def one(sample: int) -> None:
        nonlocal done
        run_sample(layout.tables, *_input_rows(program, inputs, layout, sample), rows, sample, *settings)
        done += 1
        if options.progress:
            options.progress(done, n_samples)

    if not run_sample.signatures:
        prepare(run_sample, (layout.tables, *_input_rows(program, inputs, layout, 0), rows, 0, *settings))
    n_threads = min(n_samples, options.threads or os.cpu_count() or 1)
    if n_threads == 1:
        for sample in range(n_samples):
            one(sample)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(one, range(n_samples)))
    for values in outputs.values():
        values.flags.writeable = False
    recorded = {name: _observed(program.population(name), outputs, columns[name], options) for name in names}
    return recorded, counters


def _columns(
    program: LoihiProgram, layout: Layout, names: tuple[str, ...]
) -> tuple[dict[str, slice], NDArray[np.int64]]:
    """Return each recorded node's columns, and the column of each neuron in the tables, or -1."""
    columns: dict[str, slice] = {}
    record = np.full(int(layout.tables.offset[-1]), -1, np.int64)
    width = 0
    for index, population in enumerate(program.populations, start=len(program.inputs)):
        if population.name in names:
            end = width + population.size
            record[layout.place(index, population.name, population.size)] = np.arange(width, end)
            columns[population.name] = slice(width, end)
            width = end
    return columns, record


def _outputs(
    program: LoihiProgram, names: tuple[str, ...], options: RunOptions, extent: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """Return arrays ``[rows, B, columns]`` in the kernel's order, without columns for what is not recorded."""
    populations = [program.population(name) for name in names]
    width = sum(population.size for population in populations)
    sends = "spikes" in options.record
    has_value = any(not population.model.fires for population in populations)
    wanted = {
        "spikes": sends,
        "sent": sends and any(population.is_graded for population in populations),
        "v": any("v" in options.observed(name) for name in names) or has_value,
        "u": "u" in options.record,
    }
    return {
        key: np.zeros((*extent, width if is_wanted else 0), np.uint8 if key == "spikes" else np.int32)
        for key, is_wanted in wanted.items()
    }


def _observed(
    population: LoihiPopulation, outputs: dict[str, NDArray[Any]], columns: slice, options: RunOptions
) -> dict[str, NDArray[Any]]:
    """Return what was recorded of a node, ``[rows, B, *shape]``."""
    found = {}
    for key in observables(options.observed(population.name), population.model.fires):
        source = "sent" if key == "spikes" and population.is_graded else "v" if key == "value" else key
        values = outputs[source][:, :, columns]
        found[key] = values.reshape(*values.shape[:2], *population.shape)
    return found


def _input_rows(
    program: LoihiProgram, inputs: Inputs, layout: Layout, sample: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return a sample's inputs in the tables' order: where something is sent, uint8 ``[T, n]``, and what, int32.

    The second is of no neurons where all inputs are plain spikes.
    """
    tables = layout.tables
    n_steps = len(next(iter(inputs.values())))
    width = int(tables.offset[tables.n_inputs])
    rows = np.zeros((n_steps, width), np.int32 if program.message_bits else np.uint8)
    for index, name in enumerate(program.inputs):
        values = inputs[name][:, sample].reshape(n_steps, -1)
        rows[:, layout.place(index, name, values.shape[1])] = values
    if program.message_bits:
        return (rows != 0).astype(np.uint8), rows
    return rows, np.zeros((n_steps, 0), np.int32)
