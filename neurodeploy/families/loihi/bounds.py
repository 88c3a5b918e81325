"""Bounds of each register of a population over all possible inputs: intervals that no run can leave.

The worst input is every spike of one sign of weight at once, in any order, for ever. Each step of a register is
``x' = decay(x) + c``, which rises with ``x`` and with ``c``; so the highest ``x`` follows from the highest ``c`` alone,
in closed form, truncation included. The lowest x is minus the highest of the same population upside down.

:func:`reach` follows a step of the neuron: input, u, v while it is silent, whether it can fire, v once it fires, clip.
``docs/derivations.md`` has the inequalities and why they hold.
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

_INT32 = 2**31
"""As far as a sum in 32 bits can be from 0."""

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
class Upper:
    """A population seen from above: all that can raise its registers, int64 (n,) each, register units.

    ``decay`` is odd, ``decay(-x) == -decay(x)``, and a sum upside down is the sum of what is upside down. So the
    registers of the population with all signs turned, :meth:`mirrored`, are minus its own, and one set of upper bounds
    gives the lower ones, too. Pairs are the least and the most.

    lost_u, lost_v: what u and v lose in a step, in 4096ths.
    bias: of v. u, v: initial registers.
    input: synaptic input of one step. second: what a second current, or one that lowers v, adds to v in a step.
    wrapped: of u, after it has wrapped. kept: what v is held between by a floor under it, beyond the register without.
    u_set, v_set: the highest to which something other than input sets u and v at any time; beyond the register if
        nothing does.
    u_wraps: bool (n,), where u can wrap, so that it can be all that ``wrapped`` allows.
    """

    lost_u: Ints
    lost_v: Ints
    bias: Ints
    u: Ints
    v: Ints
    input: tuple[Ints, Ints]
    second: tuple[Ints, Ints]
    wrapped: tuple[Ints, Ints]
    kept: tuple[Ints, Ints]
    u_set: Ints
    v_set: Ints
    u_wraps: Flags

    def mirrored(self) -> Upper:
        """Return the population upside down; what sets u and v to 0, or ends of registers, is the same there."""
        input_, second, wrapped, kept = (
            (-high, -low) for low, high in (self.input, self.second, self.wrapped, self.kept)
        )
        return replace(
            self, bias=-self.bias, u=-self.u, v=-self.v, input=input_, second=second, wrapped=wrapped, kept=kept
        )

    def set_to_zero(self, where: Flags | bool) -> Upper:
        """Return the same, but for spikes that can set a v below 0 to 0."""
        return replace(self, v_set=np.maximum(self.v_set, np.where(where, 0, -BEYOND_REGISTERS)))

    def entering(self, u: Ints) -> Ints:
        """Return the most that enters v in a step in which u is at most so much."""
        return u + self.second[1] + self.bias

    def unwrapped(self) -> Ints:
        """Return the highest sum that u can hold before it wraps, from the second step on.

        ``u' <= decay(max(u, u_set)) + input``, and so on from there.
        """
        return _limit(np.maximum(self.u, self.u_set), self.input[1], self.lost_u)

    def climb(self) -> tuple[Ints, Ints]:
        """Return the highest u and v, as if no spike ever lowered v.

        ``u' <= decay(max(u, u_set)) + input``, or all that a wrapped u can be;
        ``v' <= decay(max(v, v_set, floor)) + u' + second + bias``. The first steps are followed one by one, in which
        initial codes fade; after them u is at its highest for ever, and v climbs to where it stays.
        """
        v_set = np.maximum(self.v_set, self.kept[0])
        u, v = self.u, self.v
        highest_u, highest_v = (np.full_like(u, -BEYOND_REGISTERS) for _ in range(2))
        for _ in range(FIRST_STEPS):
            u = decay(np.maximum(u, self.u_set), self.lost_u) + self.input[1]
            u = np.where(self.u_wraps, self.wrapped[1], u)
            v = decay(np.maximum(v, v_set), self.lost_v) + self.entering(u)
            highest_u, highest_v = np.maximum(highest_u, u), np.maximum(highest_v, v)
        later_u = _limit(np.maximum(u, self.u_set), self.input[1], self.lost_u)
        later_u = np.where(self.u_wraps, self.wrapped[1], later_u)
        later_v = _limit(np.maximum(v, v_set), self.entering(later_u), self.lost_v)
        return np.maximum(highest_u, later_u), np.maximum(highest_v, later_v)

    def below_ceiling(self, u: Ints, v: Ints, beside: Ints | int = -BEYOND_REGISTERS) -> Ints:
        """Return the highest v where no step carries on more than a ceiling, if there is one.

        ``v' <= decay(max(v at the start, ceiling)) + u' + second + bias``, unless it is what ``beside`` allows.

        Args:
            u: the highest u, int64 (n,), register units.
            v: the highest v without the ceiling, int64 (n,), register units.
            beside: the highest that something else sets v to, register units; nothing does by default.
        """
        ceiling = self.kept[1]
        bound = decay(np.maximum(self.v, ceiling), self.lost_v) + self.entering(u)
        return np.where(ceiling < BEYOND_REGISTERS, np.minimum(v, np.maximum(bound, beside)), v)


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
    """Return what moves a neuron most in one direction: weights of one sign of a projection, its bias, or nothing.

    Args:
        population: the codes.
        projections: all that flows into it.
        payloads: for each projection the least and the most that a spike carries.
        neuron: the neuron's place in C order over the shape.
        sign: 1 for what raises v, -1 for what lowers it.
    """
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
    upper = _upper(population, (low, high), arithmetic)
    lower = upper.mirrored()
    (u_low, fallen), (u_high, risen) = lower.climb(), upper.climb()
    silent = -lower.below_ceiling(u_low, fallen), upper.below_ceiling(u_high, risen)
    fires = _can_fire(population, silent)
    v_high = _highest_v(population, upper, u_high, fires)
    v_low = -_deepest_v(population, lower, fires, _most_taken(population, v_high))
    v, sinks, climbs = _clipped(population, upper, (v_low, v_high), u_high, fires)
    strays = _strays(upper)
    return Reach((low, high), (-u_low, u_high), v, silent, fires | strays, upper.u_wraps, sinks, climbs)


def _swing(
    population: LoihiPopulation, projection: CodedProjection, payload: Payload, arithmetic: Arithmetic
) -> tuple[Floats, Floats]:
    """Return the most that one projection's input can lower and raise each neuron's u in a step."""
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


def _upper(population: LoihiPopulation, input_: tuple[Ints, Ints], arithmetic: Arithmetic) -> Upper:
    """Return all that can raise the registers of a population that has not fired."""
    model, never = population.model, np.full(population.size, -BEYOND_REGISTERS)
    cleared = np.zeros_like(never) if model.reset_interval or model.clears_u else never
    reset = np.zeros_like(never) if model.reset_interval else never
    floor = never if population.v_min is None else population.v_min.astype(np.int64)
    full = np.full_like(never, STATE_LIMIT)
    second, second_wraps = _second_currents(population, input_, arithmetic)
    upper = Upper(
        lost_u=population.du.astype(np.int64) + 1,
        lost_v=population.dv.astype(np.int64),
        bias=population.bias_mantissa.astype(np.int64) << population.bias_exponent,
        u=population.u_init.astype(np.int64),
        v=population.v_init.astype(np.int64),
        input=input_,
        second=second,
        wrapped=(1 - full, full),
        kept=(floor, -never),
        u_set=cleared,
        v_set=np.maximum(reset, 1 - STATE_LIMIT),
        u_wraps=np.zeros(population.size, bool),
    )
    wraps = (upper.unwrapped() > STATE_LIMIT) | (upper.mirrored().unwrapped() >= STATE_LIMIT)
    stays_out = (wraps & _outruns_one_turn(upper.lost_u, input_, arithmetic)) | (
        np.maximum(-second[0], second[1]) > 2 * STATE_LIMIT
    )
    wrapped = np.where(stays_out, -_INT32, 1 - full), np.where(stays_out, _INT32, full)
    return replace(upper, u_wraps=wraps | second_wraps, wrapped=wrapped)


def _outruns_one_turn(lost: Ints, input_: tuple[Ints, Ints], arithmetic: Arithmetic) -> Flags:
    """Tell where a current can leave its register so far that the one turn by which Lava brings it back is too little.

    ``decay(2**23) + input >= 3 * 2**23``: a turn is ``2 * 2**23``.
    """
    farthest = decay(np.full_like(lost, STATE_LIMIT), lost) + np.maximum(input_[1], -input_[0])
    outruns: Flags = (farthest >= 3 * STATE_LIMIT) & arithmetic.wraps_once
    return outruns


def _second_currents(
    population: LoihiPopulation, input_: tuple[Ints, Ints], arithmetic: Arithmetic
) -> tuple[tuple[Ints, Ints], Flags]:
    """Return the least and the most that a second current, and one that lowers v, add to v; can the second wrap.

    The second current takes the input with the other sign. Where Lava does not bring it back, it is beyond a register.
    """
    low, high = input_
    raised, lowered, wraps = np.zeros_like(low), np.zeros_like(low), np.zeros(population.size, bool)
    if population.du_second is not None:
        lost = population.du_second.astype(np.int64) + 1
        raised, lowered = (np.maximum(_limit(np.zeros_like(low), c, lost), 0) for c in (-low, high))
        wraps = (raised > STATE_LIMIT) | (lowered >= STATE_LIMIT)
        full = np.where(_outruns_one_turn(lost, input_, arithmetic), _INT32, STATE_LIMIT)
        raised, lowered = (np.where(wraps, full, side) for side in (raised, lowered))
    if population.model.adapts == "v" and population.adapt_step is not None:
        lowered = lowered + STATE_LIMIT - 1
    return (-lowered, raised), wraps


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


def _threshold(population: LoihiPopulation) -> Ints:
    threshold: Ints = population.threshold_code.astype(np.int64) << ALIGN_BITS
    return threshold


def _can_fire(population: LoihiPopulation, silent: tuple[Ints, Ints]) -> Flags:
    """Tell which neurons can fire: those whose v, before their first spike, gets to a threshold."""
    model, threshold = population.model, _threshold(population)
    fires: Flags = silent[1] >= threshold if model.spike == ">=" else silent[1] > threshold
    if population.threshold_low_code is not None:
        fires = fires | (silent[0] < population.threshold_low_code.astype(np.int64) << ALIGN_BITS)
    if model.reset == "subtract-pending":
        fires = fires | (population.v_init >= threshold)
    return fires


def _highest_v(population: LoihiPopulation, upper: Upper, u_high: Ints, fires: Flags) -> Ints:
    """Return the highest v before the spike test, of neurons that can fire or not.

    Spikes lower v, but for those that set one below 0 to 0; and what they take from it bounds it by itself.
    """
    _, risen = upper.set_to_zero(fires & _zeroes_negatives(population)).climb()
    highest: Ints = np.where(fires, np.minimum(risen, _bound_by_resets(population, upper, u_high)), risen)
    return highest


def _bound_by_resets(population: LoihiPopulation, upper: Upper, u_high: Ints) -> Ints:
    """Return a bound on v before the spike test, from what a spike takes; BEYOND_REGISTERS where none follows.

    A neuron that stays silent carries on at most the highest threshold, so ``v' <= decay(threshold) + entering``, or
    what the first step makes of the initial v, or 0 after a reset: ``onward``.
    """
    model, threshold = population.model, _threshold(population)
    nothing = np.full_like(threshold, BEYOND_REGISTERS)
    raised = _highest_threshold(population, threshold)
    if raised is None or model.reset in ("none", "subtract-pending"):
        return nothing
    entering, taken = upper.entering(u_high), threshold * _most(population)
    started = decay(upper.v, upper.lost_v) + entering
    onward: Ints = np.maximum(np.maximum(decay(raised, upper.lost_v) + entering, started), 0)
    counts_all = model.max_spikes is None
    if model.reset in ("zero", "zero-late"):
        # After a spike v is 0, which is no more than a threshold.
        return onward
    if model.reset == "subtract":
        # What is left after a spike must be no more than a threshold again; spikes without limit leave less than one.
        stays = (onward - taken <= raised) & (upper.v <= raised) | counts_all
        return np.where(stays & (threshold > 0), onward, nothing)
    # Late: v is carried on whole, and what is taken comes after the decay of the next step.
    beyond = np.maximum(raised + entering, started)
    stays = (decay(beyond, upper.lost_v) - taken + entering <= beyond) | counts_all
    return np.where(stays & (threshold > 0) & (population.adapt_step is None), np.maximum(beyond, 0), nothing)


def _highest_threshold(population: LoihiPopulation, threshold: Ints) -> Ints | None:
    """Return the highest that spikes can raise the threshold to, or None where nobody can say.

    ``b' <= decay(b) + most spikes * adapt_step``, clipped at the register's end.
    """
    if population.model.adapts != "threshold" or population.adapt_decay is None or population.adapt_step is None:
        return threshold
    if population.model.max_spikes is None:
        return None
    rise = _most(population) * population.adapt_step.astype(np.int64)
    raised = _limit(np.zeros_like(threshold), rise, population.adapt_decay.astype(np.int64))
    highest: Ints = threshold + np.minimum(raised, STATE_LIMIT - 1)
    return highest


def _most_taken(population: LoihiPopulation, v_high: Ints) -> Ints:
    """Return the most that one step's spikes subtract: what v holds, in as many thresholds as one step can send."""
    taken: Ints = np.minimum(_threshold(population) * _most(population), np.clip(v_high, 0, STATE_LIMIT))
    return taken


def _deepest_v(population: LoihiPopulation, lower: Upper, fires: Flags, taken: Ints) -> Ints:
    """Return the highest ``-v`` before the spike test, of neurons that can fire or not.

    Args:
        population: the codes.
        lower: the population upside down.
        fires: neurons that can fire; a spike sets v to 0, or to what is left of it, so not below 0 in its own step.
        taken: most that one step's spikes subtract.
    """
    u, deepest = lower.set_to_zero(fires).climb()
    after = np.full_like(u, -BEYOND_REGISTERS)
    if population.model.reset in ("subtract-late", "subtract-pending"):
        # v was at least what is taken, so a step lowers it to no less than what decay had taken of that; unless v
        # was set to 0 between the spike and its subtraction.
        drained = taken if population.model.reset_interval else -(-taken * lower.lost_v // (1 << DECAY_BITS))
        after = np.where(fires, drained + lower.entering(u), -BEYOND_REGISTERS)
        onward = np.maximum(after, _limit(after, lower.entering(u), lower.lost_v))
        deepest = np.maximum(deepest, np.where(fires, onward, -BEYOND_REGISTERS))
    return lower.below_ceiling(u, deepest, after)


def _clipped(
    population: LoihiPopulation, upper: Upper, v: tuple[Ints, Ints], u_high: Ints, fires: Flags
) -> tuple[tuple[Ints, Ints], Flags, Flags]:
    """Return v before the spike test and after it, within its register, and where it can be clipped below and above."""
    (v_low, v_high), top, strays = v, STATE_LIMIT - 1, _strays(upper)
    potential = v_high
    if population.model.reset == "zero-late":
        # v is clipped before the spike of the step before sets it to 0.
        potential = np.maximum(v_high, decay(v_high, upper.lost_v) + upper.entering(u_high))
    sinks, climbs = (v_low < -top) | strays, (potential > top) | strays
    # A spike can leave 0 behind.
    v_low, v_high = np.where(fires, np.minimum(v_low, 0), v_low), np.where(fires, np.maximum(v_high, 0), v_high)
    floor = upper.kept[0]
    v_low, v_high = np.maximum(v_low, floor), np.maximum(v_high, floor)
    lowest = np.maximum(np.where(sinks, -top, np.clip(v_low, -top, top)), floor)
    return (lowest, np.where(climbs, top, np.clip(v_high, -top, top))), sinks, climbs


def _strays(upper: Upper) -> Flags:
    """Tell where u, or a second current, can be beyond its register for good, so that v can be anything."""
    strays: Flags = upper.wrapped[1] > STATE_LIMIT
    return strays


def _most(population: LoihiPopulation) -> int:
    """Return the most spikes of one step, or a number beyond all that a register can hold."""
    top = int(BEYOND_REGISTERS // STATE_LIMIT)
    return min(population.model.max_spikes or top, top)


def _zeroes_negatives(population: LoihiPopulation) -> bool:
    """Tell whether a spike can set a negative v to 0."""
    model = population.model
    return model.reset == "zero-late" or model.refractory > 0 or population.threshold_low_code is not None
