"""The integer step in NumPy, which every other implementation must equal bit for bit.

Written for reading, not for speed; works on int64 throughout and names every place where a register is narrower.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT, Arithmetic, decay
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.program import LoihiProgram, input_limit
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
class State:
    """The state that a population carries from step to step, int64 ``[B, n]``.

    u, v: current and potential. fired: what it sent in the step before. hold: steps for which v is still held at 0.
    b: by how much the threshold is raised, or v lowered. second: the second current.
    """

    u: Ints
    v: Ints
    fired: Ints
    hold: Ints
    b: Ints
    second: Ints


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


def neuron(
    population: LoihiPopulation, state: State, a: Ints, row: int, arithmetic: Arithmetic
) -> tuple[State, dict[str, Ints]]:
    """Return the registers after one step, with what was sent in ``fired``, and what was counted.

    Args:
        population: the codes.
        state: the registers before.
        a: input in weight units, ``[B, n]``.
        row: hardware row, from 0.
        arithmetic: how u wraps.
    """
    model, floor = population.model, -(STATE_LIMIT - 1)
    threshold = population.threshold_code.astype(np.int64) << ALIGN_BITS
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    u, v, second = state.u, state.v, state.second
    if model.reset_interval and (row + 1) % model.reset_interval == model.reset_offset:
        u, v, second = (np.zeros_like(u) for _ in range(3))
    keeps_u = bool((population.du < 2**DECAY_BITS - 1).any())
    active = ((u != 0) & keeps_u) | (second != 0) | (v != 0) | (a != 0) | (bias != 0)
    current = to_int32(decay(u, population.du.astype(np.int64) + 1) + to_int32(a << ALIGN_BITS))
    wraps = (current > STATE_LIMIT) | (current <= -STATE_LIMIT)
    u = wrap(current, arithmetic)
    if population.du_second is not None:
        other = to_int32(decay(second, population.du_second.astype(np.int64) + 1) - to_int32(a << ALIGN_BITS))
        wraps = wraps | (other > STATE_LIMIT) | (other <= -STATE_LIMIT)
        second = wrap(other, arithmetic)
    lowered, raised = (state.b, 0 * state.b) if model.adapts == "v" else (0 * state.b, state.b)
    potential = to_int32(decay(v, population.dv.astype(np.int64)) + u + bias + second - lowered)
    owed = _owed(population, state, v, threshold + raised)
    potential = to_int32(potential - owed * threshold)
    v = np.clip(potential, floor, STATE_LIMIT - 1)
    clips = v != potential
    if model.reset == "zero-late":
        v = np.where(state.fired, 0, v)
    v = np.where(state.hold > 0, 0, v)
    sent, v_after = _fire(population, v, threshold + raised)
    if model.reset == "subtract-pending":
        v_after = np.minimum(v - (sent - owed) * threshold, STATE_LIMIT - 1)
    hold = np.where(sent != 0, model.refractory, np.maximum(state.hold - 1, 0))
    b = state.b
    if population.adapt_decay is not None and population.adapt_step is not None:
        b = decay(b, population.adapt_decay.astype(np.int64)) + sent * population.adapt_step
        b = np.clip(b, floor, STATE_LIMIT - 1)
    if population.v_min is not None:
        v_after = np.maximum(v_after, population.v_min)
    if model.clears_u:
        due = sent if model.clears_u == "now" else state.fired
        u, second = (np.where(due != 0, 0, one) for one in (u, second))
    counts = {"spikes": np.abs(sent) * model.fires, "active": active, "u_wraps": wraps, "v_clips": clips}
    return State(u, v_after, sent, hold, b, second), {key: value.sum(axis=1) for key, value in counts.items()}


def _owed(population: LoihiPopulation, state: State, v: Ints, threshold: Ints) -> Ints:
    """Return how many thresholds are subtracted before the spike test."""
    match population.model.reset:
        case "subtract-late":
            return state.fired
        case "subtract-pending":
            return _held(population, v, threshold)
    return np.zeros_like(v)


def _held(population: LoihiPopulation, v: Ints, threshold: Ints) -> Ints:
    """Return how often v holds the threshold, as often as one step can send."""
    model = population.model
    held = (v >= threshold if model.spike == ">=" else v > threshold).astype(np.int64)
    if model.max_spikes != 1:
        held = held * np.clip(v // np.maximum(threshold, 1), 1, model.max_spikes or STATE_LIMIT)
    return held


def _fire(population: LoihiPopulation, v: Ints, threshold: Ints) -> tuple[Ints, Ints]:
    """Return what is sent, and v after a reset in this step."""
    model = population.model
    sent = _held(population, v, threshold)
    if population.threshold_low_code is not None:
        sent = sent - (v < population.threshold_low_code.astype(np.int64) << ALIGN_BITS)
    if model.reset == "zero":
        v = np.where(sent != 0, 0, v)
    elif model.reset == "subtract":
        v = v - sent * threshold
    return sent, v


def run(program: LoihiProgram, inputs: Inputs, arithmetic: Arithmetic) -> Traces:
    """Run a program on spikes or payloads ``[T, B, *shape]``; the traces have ``T + max latency`` hardware rows."""
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
    """Return how many of the weights in question spikes ``[B, *source shape]`` deliver; int64 ``[B]``."""
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
