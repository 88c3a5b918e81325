"""The integer step of a neuron, in NumPy alone: what the emulator's definition and Lava's worker both compute with.

Nothing of the package is imported here but :mod:`arithmetic`, so that the worker, which has no package, can load both.
All arrays are int64 ``[B, n]`` or ``(n,)`` in register units, unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT, Arithmetic, decay

if TYPE_CHECKING:
    from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

TOP = STATE_LIMIT - 1
"""v and the adaptation are clipped to +-TOP."""


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
    model = population.model
    if is_reset_row(model, row):
        state = replace(state, **{name: np.zeros_like(state.u) for name in ("u", "v", "second")})
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    active = _is_active(population, state, a, bias)
    entering = to_int32(a << ALIGN_BITS)
    u, u_wraps = _current(state.u, population.du, entering, arithmetic)
    second, second_wraps = second_current(population, state.second, entering, arithmetic)
    owed = owed_thresholds(population, state)
    potential = to_int32(
        decay(state.v, population.dv.astype(np.int64)) + u + bias + second - lowered(population, state)
    )
    potential = to_int32(potential - owed * threshold(population))
    v = np.clip(potential, -TOP, TOP)
    clips = v != potential
    v = held_at_zero(population, state, v)
    sent = fire(population, state, v)
    after = after_spikes(population, replace(state, u=u, v=v, second=second), sent, owed)
    counts = {"spikes": np.abs(sent) * model.fires, "active": active, "u_wraps": u_wraps | second_wraps}
    return after, {key: value.sum(axis=1) for key, value in {**counts, "v_clips": clips}.items()}


def is_reset_row(model: NeuronModel, row: int) -> bool:
    """Tell whether u, v and the second current are set to 0 before hardware row ``row``."""
    return bool(model.reset_interval) and (row + 1) % model.reset_interval == model.reset_offset


def _is_active(population: LoihiPopulation, state: State, a: Ints, bias: Ints) -> Flags:
    """Tell which neurons have any state, input or bias to work on; a u that no neuron keeps does not count."""
    keeps_u = bool((population.du < 2**DECAY_BITS - 1).any())
    active: Flags = ((state.u != 0) & keeps_u) | (state.second != 0) | (state.v != 0) | (a != 0) | (bias != 0)
    return active


def _current(current: Ints, lost: NDArray[Any], entering: Ints, arithmetic: Arithmetic) -> tuple[Ints, Flags]:
    """Return a current after decay and input, wrapped, and where it did wrap."""
    current = to_int32(decay(current, lost.astype(np.int64) + 1) + entering)
    return wrap(current, arithmetic), (current > STATE_LIMIT) | (current <= -STATE_LIMIT)


def second_current(
    population: LoihiPopulation, second: Ints, entering: Ints, arithmetic: Arithmetic
) -> tuple[Ints, Flags]:
    """Return the second current, which takes the input with the other sign, and where it wrapped; 0 without one.

    Args:
        population: the codes.
        second: the current before.
        entering: the step's input.
        arithmetic: how it wraps.
    """
    if population.du_second is None:
        return second, np.zeros(second.shape, bool)
    return _current(second, population.du_second, -entering, arithmetic)


def threshold(population: LoihiPopulation) -> Ints:
    """Return the threshold without what spikes raise it by, ``(n,)``."""
    shifted: Ints = population.threshold_code.astype(np.int64) << ALIGN_BITS
    return shifted


def lowered(population: LoihiPopulation, state: State) -> Ints | int:
    """Return what spikes of before take from v in this step."""
    return state.b if population.model.adapts == "v" else 0


def _level(population: LoihiPopulation, state: State) -> Ints:
    """Return the threshold of this step."""
    return threshold(population) + (0 if population.model.adapts == "v" else state.b)


def owed_thresholds(population: LoihiPopulation, state: State) -> Ints:
    """Return how many thresholds are subtracted before the spike test."""
    match population.model.reset:
        case "subtract-late":
            return state.fired
        case "subtract-pending":
            return _held(population, state.v, _level(population, state))
    return np.zeros_like(state.v)


def _held(population: LoihiPopulation, v: Ints, level: Ints) -> Ints:
    """Return how often v holds the threshold, as often as one step can send."""
    model = population.model
    held = (v >= level if model.spike == ">=" else v > level).astype(np.int64)
    if model.max_spikes != 1:
        held = held * np.clip(v // np.maximum(level, 1), 1, model.max_spikes or STATE_LIMIT)
    return held


def held_at_zero(population: LoihiPopulation, state: State, v: Ints) -> Ints:
    """Return v, 0 where a spike of before holds it there.

    Args:
        population: the codes.
        state: the registers before the step.
        v: of this step, before the spike test.
    """
    holds = state.hold > 0
    if population.model.reset == "zero-late":
        holds = holds | (state.fired != 0)
    return np.where(holds, 0, v)


def fire(population: LoihiPopulation, state: State, v: Ints) -> Ints:
    """Return what is sent: 0 or 1, a count, or -1 too.

    Args:
        population: the codes.
        state: the registers before the step.
        v: as it meets the threshold.
    """
    sent = _held(population, v, _level(population, state))
    if population.threshold_low_code is not None:
        sent = sent - (v < population.threshold_low_code.astype(np.int64) << ALIGN_BITS)
    return sent


def after_spikes(population: LoihiPopulation, state: State, sent: Ints, owed: Ints) -> State:
    """Return the registers once spikes have had their effect; ``fired`` is what was sent.

    Args:
        population: the codes.
        state: u, v and the second current of this step, all else of the step before.
        sent: of :func:`fire`.
        owed: of :func:`owed_thresholds`.
    """
    model, u, second = population.model, state.u, state.second
    if model.clears_u:
        due = sent if model.clears_u == "now" else state.fired
        u, second = (np.where(due != 0, 0, one) for one in (u, second))
    hold = np.where(sent != 0, model.refractory, np.maximum(state.hold - 1, 0))
    return State(u, _reset(population, state, sent, owed), sent, hold, _adapted(population, state.b, sent), second)


def _reset(population: LoihiPopulation, state: State, sent: Ints, owed: Ints) -> Ints:
    """Return v after a reset in this step, and not below its floor."""
    v = state.v
    match population.model.reset:
        case "zero":
            v = np.where(sent != 0, 0, v)
        case "subtract":
            v = v - sent * _level(population, state)
        case "subtract-pending":
            v = np.minimum(v - (sent - owed) * threshold(population), TOP)
    return v if population.v_min is None else np.maximum(v, population.v_min)


def _adapted(population: LoihiPopulation, b: Ints, sent: Ints) -> Ints:
    """Return the adaptation: what is kept of it, and a step for each spike."""
    if population.adapt_decay is None or population.adapt_step is None:
        return b
    raised = decay(b, population.adapt_decay.astype(np.int64)) + sent * population.adapt_step
    clipped: Ints = np.clip(raised, -TOP, TOP)
    return clipped
