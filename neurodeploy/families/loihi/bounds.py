"""Bounds of each register of a population over all possible inputs: intervals that no run can leave.

The worst input is every spike of one sign of weight at once, in any order, for ever. Each step of a register is
``x' = decay(x) + c``, which rises with ``x`` and with ``c``; so the highest ``x`` follows from the highest ``c`` alone,
in closed form, truncation included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, LOIHI, STATE_LIMIT, Arithmetic, decay
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.needs import can, refuse_missing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Payload = tuple[int, int]

CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""The needs of neurons and synapses for which the bounds hold, see :mod:`neurodeploy.ir.needs`."""

BEYOND_REGISTERS = 1 << 44
"""Beyond every register, and small enough that no product leaves int64."""

FIRST_STEPS = 64
"""Steps that are followed one by one, so that initial codes of u, which fade, do not count for ever."""


@dataclass(frozen=True, eq=False, slots=True)
class Reach:
    """Lowest and highest register values of each neuron, int64 (n,), and what can leave its register, bool (n,).

    sums: input of one step, register units. u: after the wrap. v: before the spike test and after it.
    quiet: v as long as the neuron has not fired. fires: whether it can fire at all.
    wraps: u can leave its 24 bits. sinks, climbs: v can be clipped at the lowest or the highest value.
    """

    sums: tuple[Ints, Ints]
    u: tuple[Ints, Ints]
    v: tuple[Ints, Ints]
    quiet: tuple[Ints, Ints]
    fires: Flags
    wraps: Flags
    sinks: Flags
    climbs: Flags


@dataclass(frozen=True, eq=False, slots=True)
class _Side:
    """One side of an interval; the lower side is the upper side of the population turned upside down.

    swing: most of one step's input. u, v: initial registers. lift_u, lift_v: values to which something other than
    input can set them at any time. u_free: where u can wrap, so that it is always ``u_full``. second: most of what a
    second current, or one that lowers v, adds to v in a step.
    """

    swing: Ints
    bias: Ints
    u: Ints
    v: Ints
    lift_u: Ints
    lift_v: Ints
    u_free: Flags
    u_full: Ints
    second: Ints


def swings(
    population: LoihiPopulation,
    projections: tuple[CodedProjection, ...],
    payloads: tuple[Payload, ...],
    arithmetic: Arithmetic = LOIHI,
) -> tuple[Floats, Floats]:
    """Return the most that one step's input can lower and raise each neuron's u, register units.

    Args:
        population: the codes.
        projections: all that flows into it.
        payloads: for each projection the least and the most that a spike carries.
        arithmetic: what a negative exponent shifts.
    """
    low, high = np.zeros(population.size), np.zeros(population.size)
    for projection, payload in zip(projections, payloads, strict=True):
        lowered, raised = _swing(population, projection, payload, arithmetic)
        low, high = low + lowered, high + raised
    return low, high


def driver(
    population: LoihiPopulation,
    projections: tuple[CodedProjection, ...],
    payloads: tuple[Payload, ...],
    neuron: int,
    sign: int,
) -> str:
    """Return what moves a neuron most in one direction: weights of one sign of a projection, its bias, or nothing."""
    bias = sign * (int(population.bias_mantissa[neuron]) << population.bias_exponent)
    strongest, name = max(bias, 0), "its bias" if bias > 0 else "nothing"
    for projection, payload in zip(projections, payloads, strict=True):
        moved = sign * int(_swing(population, projection, payload, LOIHI)[sign > 0][neuron])
        if moved > strongest:
            weights = "positive" if (sign > 0) == (payload[1] >= -payload[0]) else "negative"
            strongest, name = moved, f"{weights} weights of {projection.name}"
    return name


def reach(
    population: LoihiPopulation,
    projections: tuple[CodedProjection, ...],
    payloads: tuple[Payload, ...],
    arithmetic: Arithmetic,
) -> Reach:
    """Return how far the registers of a population get, whatever its sources send.

    Args:
        population: the codes.
        projections: all that flows into it.
        payloads: for each projection the least (0 or below) and the most (0 or above) that its source sends.
        arithmetic: how u wraps.

    Raises:
        LackingError: the bounds do not hold of such neurons or synapses.
    """
    refuse_missing((population, *projections), CAN, "the proof of register bounds")
    low, high = (_whole(side) for side in swings(population, projections, payloads, arithmetic))
    threshold = population.threshold_code.astype(np.int64) << ALIGN_BITS
    never = np.zeros(population.size, bool)
    upper, lower = _sides(population, low, high, arithmetic)
    quiet = -_fallen(population, lower, never, threshold), _risen(population, upper)[1]
    fires = quiet[1] >= threshold if population.model.spike == ">=" else quiet[1] > threshold
    if population.threshold_low_code is not None:
        fires = fires | (quiet[0] < population.threshold_low_code.astype(np.int64) << ALIGN_BITS)
    if population.model.reset == "subtract-pending":
        fires = fires | (population.v_init >= threshold)
    model, zero = population.model, np.where(fires, 0, -BEYOND_REGISTERS)
    rising = replace(
        upper, lift_v=np.maximum(upper.lift_v, zero if _zeroes_negatives(population) else -BEYOND_REGISTERS)
    )
    falling = replace(lower, lift_v=np.maximum(lower.lift_v, zero))
    u_high, v_high = _risen(population, rising)
    u_low = -_risen(population, lower)[0]
    v_high = np.where(fires, np.minimum(v_high, _held(population, upper, u_high, threshold)), v_high)
    taken = np.minimum(threshold * _most(population), np.clip(v_high, 0, STATE_LIMIT))
    v_low = -_fallen(population, falling, fires, taken)
    potential = v_high
    if model.reset == "zero-late":
        potential = np.maximum(
            v_high, decay(v_high, population.dv.astype(np.int64)) + u_high + upper.second + upper.bias
        )
    top = STATE_LIMIT - 1
    astray = upper.u_full > STATE_LIMIT
    climbs, sinks = (potential > top) | astray, (v_low < -top) | astray
    v_high, v_low = np.where(fires, np.maximum(v_high, 0), v_high), np.where(fires, np.minimum(v_low, 0), v_low)
    if population.v_min is not None:
        v_high, v_low = np.maximum(v_high, population.v_min), np.maximum(v_low, population.v_min)
    v = np.where(sinks, -top, np.clip(v_low, -top, top)), np.where(climbs, top, np.clip(v_high, -top, top))
    if population.v_min is not None:
        v = np.maximum(v[0], population.v_min), v[1]
    return Reach((low, high), (u_low, u_high), v, quiet, fires | astray, upper.u_free, sinks, climbs)


def _swing(
    population: LoihiPopulation, projection: CodedProjection, payload: Payload, arithmetic: Arithmetic
) -> tuple[Floats, Floats]:
    if projection.exponent < 0 and not arithmetic.shifts_sum:
        projection = replace(projection, weight=projection.weight >> -projection.exponent, exponent=0)
    negative, positive = (side.astype(np.float64) for side in projection.row_sums())
    least, most = payload
    sums = most * negative + least * positive, most * positive + least * negative
    per_neuron = population.size // max(len(negative), 1)
    low, high = (np.repeat(np.floor(side * 2.0**projection.exponent) * 2**ALIGN_BITS, per_neuron) for side in sums)
    return low, high


def _whole(values: Floats) -> Ints:
    whole: Ints = np.clip(values, -BEYOND_REGISTERS, BEYOND_REGISTERS).astype(np.int64)
    return whole


def _sides(population: LoihiPopulation, low: Ints, high: Ints, arithmetic: Arithmetic) -> tuple[_Side, _Side]:
    """Return the upper side and the lower side, turned upside down, of a population that has not fired."""
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    u, v = population.u_init.astype(np.int64), population.v_init.astype(np.int64)
    nowhere, top = np.full(population.size, -BEYOND_REGISTERS), STATE_LIMIT - 1
    model = population.model
    reset = np.zeros_like(nowhere) if model.reset_interval else nowhere
    cleared = np.zeros_like(nowhere) if model.reset_interval or model.clears_u else nowhere
    floor = nowhere if population.v_min is None else population.v_min.astype(np.int64)
    no, full = np.zeros(population.size, bool), np.full(population.size, STATE_LIMIT)
    raised, lowered, more = _second_currents(population, low, high, arithmetic)
    upper = _Side(high, bias, u, v, cleared, np.maximum(np.maximum(reset, floor), -top), no, full, raised)
    lower = _Side(-low, -bias, -u, -v, cleared, np.maximum(reset, -top), no, full, lowered)
    lost = population.du.astype(np.int64) + 1
    highest, lowest = (_highest_current(side, lost) for side in (upper, lower))
    wraps = (highest > STATE_LIMIT) | (lowest >= STATE_LIMIT)
    if arithmetic.wraps_once:
        turn = decay(full, lost) + np.maximum(high, -low)
        full = np.where(wraps & (turn >= 3 * STATE_LIMIT), 2**31, STATE_LIMIT)
    wraps, full = wraps | more, np.where(np.maximum(raised, lowered) > 2 * STATE_LIMIT, 2**31, full)
    lowest_full = np.where(full > STATE_LIMIT, full, STATE_LIMIT - 1)
    return replace(upper, u_free=wraps, u_full=full), replace(lower, u_free=wraps, u_full=lowest_full)


def _second_currents(
    population: LoihiPopulation, low: Ints, high: Ints, arithmetic: Arithmetic
) -> tuple[Ints, Ints, Flags]:
    """Return the most that a second current, and one that lowers v, raise and lower v in a step; can the second wrap.

    Where Lava does not bring it back, that is beyond any register.
    """
    raised, lowered, wraps = np.zeros_like(low), np.zeros_like(low), np.zeros(population.size, bool)
    if population.du_second is not None:
        lost, full = population.du_second.astype(np.int64) + 1, np.full(population.size, STATE_LIMIT)
        raised, lowered = (np.maximum(_limit(np.zeros_like(low), c, lost), 0) for c in (-low, high))
        wraps = (raised > STATE_LIMIT) | (lowered >= STATE_LIMIT)
        if arithmetic.wraps_once:
            full = np.where(decay(full, lost) + np.maximum(high, -low) >= 3 * STATE_LIMIT, 2**31, full)
        raised, lowered = (np.where(wraps, full, side) for side in (raised, lowered))
    if population.model.adapts == "v" and population.adapt_step is not None:
        lowered = lowered + STATE_LIMIT - 1
    return raised, lowered, wraps


def _highest_current(side: _Side, lost: Ints) -> Ints:
    return _limit(np.maximum(side.u, side.lift_u), side.swing, lost)


def _limit(start: Ints, input_: Ints, lost: Ints) -> Ints:
    """Return the highest x of steps ``x' = decay(x, lost) + input`` from ``start``, the start itself left out.

    From below, x ends at the first whole number that a step leaves as it is, ``ceil(x * lost / 4096) == input``; from
    above it only falls.
    """
    first = decay(start, lost) + input_
    full, some = 1 << DECAY_BITS, np.maximum(lost, 1)
    still = np.where(input_ > 0, (input_ - 1) * full // some + 1, -(-input_ * full // some))
    still = np.where(lost > 0, still, np.where(input_ > 0, BEYOND_REGISTERS, first))
    highest: Ints = np.clip(np.maximum(first, still), -BEYOND_REGISTERS, BEYOND_REGISTERS)
    return highest


def _risen(population: LoihiPopulation, side: _Side) -> tuple[Ints, Ints]:
    """Return the highest u and v, as if no spike ever lowered v."""
    lost_u, lost_v = population.du.astype(np.int64) + 1, population.dv.astype(np.int64)
    u, v = side.u, side.v
    top_u, top_v = (np.full(population.size, -BEYOND_REGISTERS) for _ in range(2))
    for _ in range(FIRST_STEPS):
        u = np.where(side.u_free, side.u_full, decay(np.maximum(u, side.lift_u), lost_u) + side.swing)
        v = decay(np.maximum(v, side.lift_v), lost_v) + u + side.second + side.bias
        top_u, top_v = np.maximum(top_u, u), np.maximum(top_v, v)
    later = np.where(side.u_free, side.u_full, _limit(np.maximum(u, side.lift_u), side.swing, lost_u))
    highest = _limit(np.maximum(v, side.lift_v), later + side.second + side.bias, lost_v)
    return np.maximum(top_u, later), np.maximum(top_v, highest)


def _fallen(population: LoihiPopulation, side: _Side, fires: Flags, taken: Ints) -> Ints:
    """Return the highest ``-v``: what a late subtraction takes from v, and a floor under v, are taken into account.

    Args:
        population: the codes.
        side: the lower side, upside down.
        fires: neurons that can fire.
        taken: most that one step's spikes subtract.
    """
    u, fallen = _risen(population, side)
    lost = population.dv.astype(np.int64)
    step = u + side.second + side.bias
    after = np.full(population.size, -BEYOND_REGISTERS)
    if population.model.reset in ("subtract-late", "subtract-pending"):
        # v was at least what is taken, so a step lowers it to no less than what decay had taken of that; unless v
        # was set to 0 between the spike and its subtraction.
        drained = taken if population.model.reset_interval else -(-taken * lost // (1 << DECAY_BITS))
        after = np.where(fires, drained + step, -BEYOND_REGISTERS)
        fallen = np.maximum(fallen, np.where(fires, np.maximum(after, _limit(after, step, lost)), -BEYOND_REGISTERS))
    if population.v_min is not None:
        floor = decay(np.maximum(side.v, -population.v_min.astype(np.int64)), lost) + step
        fallen = np.minimum(fallen, np.maximum(floor, after))
    return fallen


def _held(population: LoihiPopulation, side: _Side, u_high: Ints, threshold: Ints) -> Ints:
    """Return a bound on v before the spike test, from what a spike takes; BEYOND_REGISTERS where none does."""
    model, lost = population.model, population.dv.astype(np.int64)
    step = np.where(side.u_free, side.u_full, u_high) + side.second + side.bias
    most = threshold
    raises = model.adapts == "threshold"
    if raises and population.adapt_decay is not None and population.adapt_step is not None:
        if model.max_spikes is None:
            return np.full(population.size, BEYOND_REGISTERS)
        rise = _most(population) * population.adapt_step.astype(np.int64)
        raised = _limit(np.zeros_like(threshold), rise, population.adapt_decay.astype(np.int64))
        most = threshold + np.minimum(raised, STATE_LIMIT - 1)
    started: Ints = decay(side.v, lost) + step
    onward: Ints = np.maximum(np.maximum(decay(most, lost) + step, started), 0)
    if model.reset in ("zero", "zero-late"):
        return onward
    if model.reset in ("none", "subtract-pending"):
        return np.full_like(threshold, BEYOND_REGISTERS)
    taken = threshold * _most(population)
    if model.reset == "subtract":
        stays = (onward - taken <= most) & (side.v <= most) | (model.max_spikes is None)
        bound: Ints = np.where(stays & (threshold > 0), onward, BEYOND_REGISTERS)
        return bound
    beyond = np.maximum(most + step, started)
    stays = (decay(beyond, lost) - taken + step <= beyond) | (model.max_spikes is None)
    bound = np.where(stays & (threshold > 0) & (population.adapt_step is None), np.maximum(beyond, 0), BEYOND_REGISTERS)
    return bound


def _most(population: LoihiPopulation) -> int:
    """Return the most spikes of one step, or a number beyond all that a register can hold."""
    top = int(BEYOND_REGISTERS // STATE_LIMIT)
    return min(population.model.max_spikes or top, top)


def _zeroes_negatives(population: LoihiPopulation) -> bool:
    """Tell whether a spike can set a negative v to 0."""
    model = population.model
    return model.reset == "zero-late" or model.refractory > 0 or population.threshold_low_code is not None
