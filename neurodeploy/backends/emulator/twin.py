"""What the emulator computes, in plain NumPy: the definition that the fast kernels must equal bit for bit.

Written for reading, not for speed; works on int64 throughout and names every place where a register is narrower.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import ALIGN_BITS, STATE_LIMIT, Arithmetic, decay
from neurodeploy.backends.base import Inputs
from neurodeploy.program import CodedPopulation, CodedProjection, Program

Ints = NDArray[np.int64]

COUNTERS = ("spikes", "synops", "active", "u_wraps", "v_clips")
"""Events counted for each population and step: spikes fired, weights delivered (stored zeros too), neurons with any
state, input or bias to work on, currents that left their register and were wrapped, potentials that were clipped."""


@dataclass(frozen=True, eq=False, slots=True)
class Traces:
    """A whole run, in hardware rows; int64 ``[T, B, n]`` for each population, counters ``[T, B, populations]``."""

    spikes: dict[str, Ints]
    v: dict[str, Ints]
    u: dict[str, Ints]
    counters: dict[str, Ints]


def to_int32(x: Ints) -> Ints:
    """Return x as an int32 register holds it."""
    return x.astype(np.int32).astype(np.int64)


def wrap(u: Ints, arithmetic: Arithmetic) -> Ints:
    """Return u brought back into (-2**23, 2**23]: by one turn only (Lava), or by as many as it takes (the chip)."""
    turn = 2 * STATE_LIMIT
    if arithmetic.wraps_once:
        wrapped: Ints = u - turn * (u > STATE_LIMIT) + turn * (u <= -STATE_LIMIT)
    else:
        wrapped = (u + STATE_LIMIT - 1) % turn - STATE_LIMIT + 1
    return wrapped


def synapses(projection: CodedProjection, spikes: Ints, arithmetic: Arithmetic) -> Ints:
    """Return what spikes deliver to each neuron, in weight units.

    Args:
        projection: the synapses.
        spikes: 0 or 1, ``[B, *source shape]``.
        arithmetic: whether a negative exponent shifts the sum or each weight.

    Returns:
        int64 ``[B, n]``.
    """
    weight = projection.weight.astype(np.int64)
    if projection.exponent < 0 and not arithmetic.shifts_sum:
        weight = weight >> -projection.exponent
    flat = spikes.reshape(len(spikes), -1)
    total = _correlate(projection, weight, spikes) if projection.is_conv else flat @ weight.T
    if projection.exponent < 0:
        return total >> -projection.exponent if arithmetic.shifts_sum else total
    return total << projection.exponent


def neuron(
    population: CodedPopulation, u: Ints, v: Ints, a: Ints, arithmetic: Arithmetic
) -> tuple[Ints, Ints, Ints, dict[str, Ints]]:
    """Return u, v and spikes after one step, and what was counted on the way.

    Args:
        population: the codes.
        u, v: registers, ``[B, n]``.
        a: input in weight units, ``[B, n]``.
        arithmetic: how u wraps.
    """
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    active = (u != 0) | (v != 0) | (a != 0) | (bias != 0)
    current = to_int32(decay(u, population.du.astype(np.int64) + 1) + to_int32(a << ALIGN_BITS))
    wraps = (current > STATE_LIMIT) | (current <= -STATE_LIMIT)
    u = wrap(current, arithmetic)
    potential = to_int32(decay(v, population.dv.astype(np.int64)) + u + bias)
    v = np.clip(potential, -(STATE_LIMIT - 1), STATE_LIMIT - 1)
    spikes = (v > (population.threshold_code.astype(np.int64) << ALIGN_BITS)).astype(np.int64)
    counts = {"spikes": spikes, "active": active, "u_wraps": wraps, "v_clips": v != potential}
    return u, np.where(spikes, 0, v), spikes, {key: value.sum(axis=1) for key, value in counts.items()}


def run(program: Program, inputs: Inputs, arithmetic: Arithmetic) -> Traces:
    """Run a program on spikes ``[T, B, *shape]``; the traces have ``T + max latency`` hardware rows."""
    n_steps, n_samples = next(iter(inputs.values())).shape[:2]
    rows = n_steps + program.max_latency
    shapes = program.shapes
    fired = {name: np.zeros((rows, n_samples, prod(shape)), np.int64) for name, shape in shapes.items()}
    for name, values in inputs.items():
        fired[name][:n_steps] = values.reshape(n_steps, n_samples, -1)
    v = {p.name: np.tile(p.v_init.astype(np.int64), (n_samples, 1)) for p in program.populations}
    u = {p.name: np.tile(p.u_init.astype(np.int64), (n_samples, 1)) for p in program.populations}
    v_trace = {name: np.zeros_like(fired[name]) for name in v}
    u_trace = {name: np.zeros_like(fired[name]) for name in u}
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
                counters["synops"][t, :, index] += delivered(projection, arriving)
            u[name], v[name], spikes, counts = neuron(population, u[name], v[name], to_int32(a), arithmetic)
            fired[name][t], u_trace[name][t], v_trace[name][t] = spikes, u[name], v[name]
            for key, count in counts.items():
                counters[key][t, :, index] = count
    return Traces({name: fired[name] for name in v}, v_trace, u_trace, counters)


def delivered(projection: CodedProjection, spikes: Ints) -> Ints:
    """Return how many weights spikes ``[B, *source shape]`` deliver, stored zeros counted; int64 ``[B]``."""
    if not projection.is_conv:
        counts: Ints = spikes.reshape(len(spikes), -1).sum(axis=1) * len(projection.weight)
    else:
        counts = _correlate(projection, np.ones_like(projection.weight, dtype=np.int64), spikes).sum(axis=1)
    return counts


def _correlate(projection: CodedProjection, weight: Ints, spikes: Ints) -> Ints:
    """Return the cross-correlation of spikes ``[B, C, H, W]`` with weights, flattened to ``[B, n]``."""
    conv = projection.conv()
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
