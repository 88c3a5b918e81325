"""Run a program's samples on Xylo's compiled step, and count what happens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.base import Emulated
from neurodeploy.families.xylo.codes import STATE_MAX, STATE_MIN, XyloRun
from neurodeploy.families.xylo.kernel import run
from neurodeploy.families.xylo.layout import Layout, lay_out
from neurodeploy.families.xylo.population import XyloPopulation, XyloProgram
from neurodeploy.ir.run_options import Inputs, RunOptions, observables

Arrays = dict[str, NDArray[Any]]


def emulate(program: XyloProgram, inputs: Inputs, options: RunOptions) -> Emulated:
    """Run a program bit by bit; see :class:`neurodeploy.families.base.Emulated`.

    Args:
        program: the program.
        inputs: counts from 0 to 15, int32 ``[T, B, *shape]`` for each input.
        options: what to record.

    Raises:
        DeployError: a name is unknown.
    """
    layout, counts = laid_out(program, inputs)
    found = run(layout.codes, counts, options.threads)
    if options.progress:
        options.progress(counts.shape[1], counts.shape[1])
    return recorded(program, layout, found, counts, options)


def laid_out(program: XyloProgram, inputs: Inputs) -> tuple[Layout, NDArray[np.int64]]:
    """Return the configuration of a program, and what it is sent, int64 [rows, B, n_in]."""
    layout = lay_out(program.inputs, program.populations, program.projections)
    return layout, layout.counts(inputs)


def recorded(
    program: XyloProgram, layout: Layout, found: XyloRun, counts: NDArray[np.int64], options: RunOptions
) -> Emulated:
    """Return a run as recordings have it, in hardware rows.

    Args:
        program: what ran.
        layout: its configuration.
        found: all registers after each step.
        counts: int64 [rows, B, n_in], what entered.
        options: what to record.
    """
    names = options.recorded(tuple(program.latency), program.nodes)
    states = {p.name: layout.states(found, p.name) for p in program.populations}
    nodes = {name: _observed(program.population(name), states[name], options) for name in names}
    return Emulated(nodes, _counted(program, layout, states, counts) if options.counters else {})


def _observed(population: XyloPopulation, states: Arrays, options: RunOptions) -> Arrays:
    """Return what was recorded of a node, ``[rows, B, *shape]``."""
    sources = {"spikes": states["spikes"], "v": states["v"], "u": states["i"], "value": states["v"]}
    found = {}
    for key in observables(options.observed(population.name), population.fires):
        dtype = np.uint8 if key == "spikes" and not population.is_graded else np.int32
        values = np.ascontiguousarray(sources[key], dtype=dtype).reshape(*sources[key].shape[:2], *population.shape)
        values.flags.writeable = False
        found[key] = values
    return found


def _counted(
    program: XyloProgram, layout: Layout, states: dict[str, Arrays], counts: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Return events int64 [rows, B, populations]: spikes, weights delivered, active neurons, saturated registers."""
    sent = {name: states[name]["spikes"].astype(np.int64) for name in states}
    entered = {name: counts[:, :, place] for name, place in layout.channels.items()}
    rows, n_samples = counts.shape[:2]
    found = {
        key: np.zeros((rows, n_samples, len(program.populations)), np.int64)
        for key in ("spikes", "synops", "active", "i_saturated", "v_saturated")
    }
    for index, population in enumerate(program.populations):
        own = states[population.name]
        found["spikes"][:, :, index] = sent[population.name].sum(axis=2)
        found["active"][:, :, index] = ((own["i"] != 0) | (own["v"] != 0)).sum(axis=2)
        for key in ("i", "v"):
            at_end = (own[key] == STATE_MIN) | (own[key] == STATE_MAX)
            if key == "v" and not population.fires:
                # At its end v meets the threshold, and the chip takes all of it away.
                at_end |= own["spikes"] > 0
            found[f"{key}_saturated"][:, :, index] = at_end.sum(axis=2)
        for p in (p for p in program.projections if p.target == population.name):
            fan_out = np.count_nonzero(p.weight, axis=0)
            events = (entered if p.source in entered else sent)[p.source] @ fan_out
            found["synops"][p.delay :, :, index] += events[: rows - p.delay]
    return found
