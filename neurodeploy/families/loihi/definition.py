"""The integer run in NumPy, which every other implementation must equal bit for bit; a neuron's step is in ``step``.

Written for reading, not for speed; works on int64 throughout and names every place where a register is narrower.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, Arithmetic
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.program import LoihiProgram, input_limit
from neurodeploy.families.loihi.step import State, neuron, to_int32
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.run_options import Inputs
from neurodeploy.ir.synapses import as_map

Ints = NDArray[np.int64]

COUNTERS = ("spikes", "synops", "active", "u_wraps", "v_clips", "arrivals", "synops_dense", "input_wraps")
"""Events counted for each population and step: spikes fired, weights other than 0 delivered, neurons with any
state, input or bias to work on (a u that no neuron keeps does not count), currents that left their register and
were wrapped, potentials that were clipped, spikes that arrived, once for each projection, and what a
dense store would deliver: for each spike a weight to every neuron, or to all that a kernel covers, those of 0 too; and
sums of one step's input that leave the register in which the chip sums them, where it has a narrower one than u: it
wraps there, and this arithmetic does not."""


CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What is defined here of all that programs can need, see :mod:`neurodeploy.ir.needs`; the host has run before."""


@dataclass(frozen=True, eq=False, slots=True)
class Traces:
    """A whole run, in hardware rows; int64 ``[T, B, n]`` for each population, counters ``[T, B, populations]``."""

    spikes: dict[str, Ints]
    v: dict[str, Ints]
    u: dict[str, Ints]
    counters: dict[str, Ints]


def synapses(projection: CodedProjection, spikes: Ints, arithmetic: Arithmetic) -> Ints:
    """Return what spikes deliver to each neuron, in weight units.

    Args:
        projection: the synapses.
        spikes: 0 or 1, or payloads, ``[B, *source shape]``.
        arithmetic: whether a negative exponent shifts the sum or each weight.

    Returns:
        int64 ``[B, n]``, of an int32 register.
    """
    weight = projection.weight.astype(np.int64)
    if projection.exponent < 0 and not arithmetic.shifts_sum:
        weight = weight >> -projection.exponent
    total = to_int32(_weighted(projection, weight, spikes))
    if projection.exponent < 0:
        return total >> -projection.exponent if arithmetic.shifts_sum else total
    return to_int32(total << projection.exponent)


def start(population: LoihiPopulation, n_samples: int) -> State:
    """Return the registers before the first hardware step.

    Raises:
        LackingError: the population is of another kind than is defined here.
    """
    refuse_missing((population,), CAN, "the emulator's definition")
    u, v = (np.tile(code.astype(np.int64), (n_samples, 1)) for code in (population.u_init, population.v_init))
    return State(u, v, *(np.zeros_like(u) for _ in range(4)))


def run(program: LoihiProgram, inputs: Inputs, arithmetic: Arithmetic) -> Traces:
    """Run a program on spikes or payloads ``[T, B, *shape]``; the traces have ``T + max latency`` hardware rows.

    Args:
        program: the codes.
        inputs: for each input ``[T, B, *shape]``, 0 or 1, or whole numbers where it is graded.
        arithmetic: how u wraps, and what a negative exponent shifts.
    """
    refuse_missing(program.parts, CAN, "the emulator's definition")
    n_steps, n_samples = next(iter(inputs.values())).shape[:2]
    rows = n_steps + program.max_latency
    shapes = program.shapes
    fired = {name: np.zeros((rows, n_samples, prod(shape)), np.int64) for name, shape in shapes.items()}
    for name, values in inputs.items():
        fired[name][:n_steps] = values.reshape(n_steps, n_samples, -1)
    states = {p.name: start(p, n_samples) for p in program.populations}
    v_trace = {name: np.zeros_like(fired[name]) for name in states}
    u_trace = {name: np.zeros_like(fired[name]) for name in states}
    counters = {key: np.zeros((rows, n_samples, len(program.populations)), np.int64) for key in COUNTERS}
    for t in range(rows):
        for index, population in enumerate(program.populations):
            name = population.name
            a = np.zeros((n_samples, population.size), np.int64)
            for projection in program.projections:
                if projection.target != name or t < projection.delay:
                    continue
                arriving = fired[projection.source][t - projection.delay].reshape(n_samples, *shapes[projection.source])
                a += synapses(projection, arriving, arithmetic)
                counters["synops"][t, :, index] += delivered(projection, arriving, projection.weight != 0)
                counters["synops_dense"][t, :, index] += _delivered_densely(projection, arriving, population.size)
                counters["arrivals"][t, :, index] += (arriving != 0).reshape(n_samples, -1).sum(axis=1)
            if (limit := input_limit(program)) is not None:
                summed = to_int32(a) << ALIGN_BITS
                beyond = (summed < -limit) | (summed >= limit)
                counters["input_wraps"][t, :, index] = beyond.sum(axis=1)
            state, counts = neuron(population, states[name], to_int32(a), t, arithmetic)
            states[name] = state
            fired[name][t], u_trace[name][t], v_trace[name][t] = state.fired, state.u, state.v
            for key, count in counts.items():
                counters[key][t, :, index] = count
    return Traces({name: fired[name] for name in states}, v_trace, u_trace, counters)


def delivered(projection: CodedProjection, spikes: Ints, which: NDArray[np.bool_]) -> Ints:
    """Return how many of the weights in question spikes ``[B, *source shape]`` deliver; int64 ``[B]``.

    Args:
        projection: the synapses.
        spikes: int64 ``[B, *source shape]``; all that are not 0 count alike.
        which: bool of the weights' shape, those that are counted.
    """
    counts: Ints = _weighted(projection, which.astype(np.int64), (spikes != 0).astype(np.int64)).sum(axis=1)
    return counts


def _delivered_densely(projection: CodedProjection, spikes: Ints, n_out: int) -> Ints:
    if not projection.is_sparse:
        return delivered(projection, spikes, np.ones(projection.weight.shape, np.bool_))
    return np.asarray((spikes != 0).reshape(len(spikes), -1).sum(axis=1) * n_out, np.int64)


def _weighted(projection: CodedProjection, weight: Ints, spikes: Ints) -> Ints:
    """Return spikes ``[B, *source shape]`` times weights of the projection's layout, int64 ``[B, n]``."""
    flat = spikes.reshape(len(spikes), -1)
    if projection.is_conv:
        return _correlate(projection, weight, spikes)
    if projection.indices is not None and projection.indptr is not None:
        of_source = np.repeat(np.arange(flat.shape[1]), np.diff(projection.indptr))
        total = np.zeros((projection.n_out or 0, len(flat)), np.int64)
        np.add.at(total, projection.indices, (flat[:, of_source] * weight).T)
        return total.T
    product: Ints = flat @ weight.T
    return product


def _correlate(projection: CodedProjection, weight: Ints, spikes: Ints) -> Ints:
    """Return the cross-correlation of spikes ``[B, C, H, W]`` with weights, flattened to ``[B, n]``."""
    conv, spikes = projection.conv(), spikes.reshape(len(spikes), *as_map(spikes.shape[1:]))
    out_shape = conv.output_shape(spikes.shape[1:])
    out = np.zeros((len(spikes), *out_shape), np.int64)
    padded = np.pad(spikes, ((0, 0), (0, 0), *((p, p) for p in conv.padding)))
    n_out, per_group, height, width = weight.shape
    for group in range(conv.groups):
        rows = slice(group * n_out // conv.groups, (group + 1) * n_out // conv.groups)
        channels = padded[:, group * per_group : (group + 1) * per_group]
        for row in range(height):
            for column in range(width):
                top, left = row * conv.dilation[0], column * conv.dilation[1]
                bottom = top + conv.stride[0] * (out_shape[1] - 1) + 1
                right = left + conv.stride[1] * (out_shape[2] - 1) + 1
                window = channels[:, :, top : bottom : conv.stride[0], left : right : conv.stride[1]]
                out[:, rows] += np.einsum("nchw,oc->nohw", window, weight[rows, :, row, column])
    return out.reshape(len(spikes), -1)
