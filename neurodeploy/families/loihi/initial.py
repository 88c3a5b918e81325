"""Initial codes: registers that are at the model's initial state when a deep layer's first input arrives.

A population at latency L takes L steps of decay and bias before its row 0. The integer step is run backwards L times
from the state that row 0 must start from; where that state cannot be reached without a spike, or within the register,
the nearest one is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT, decay

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class InitialCodes:
    """Registers before the first hardware step, int64 (n,), and by how much v misses its goal at row 0."""

    u: Ints
    v: Ints
    v_error: Ints


def initial_codes(
    du: Ints,
    dv: Ints,
    threshold_code: Ints,
    bias: Ints,
    goal: tuple[Ints, Ints],
    latency: int,
    v_min: Ints | None = None,
) -> InitialCodes:
    """Return the registers from which ``latency`` steps without input lead to ``goal``.

    Args:
        du, dv, threshold_code: codes, int64 (n,).
        bias: effective bias in register units, int64 (n,).
        goal: u and v that row 0 must start from, int64 (n,) each.
        latency: hardware steps before row 0, not counting row 0 itself.
        v_min: register units below which v is not let fall, int64 (n,), or None.
    """
    ceiling = threshold_code << ALIGN_BITS
    floor = np.full_like(ceiling, 1 - STATE_LIMIT) if v_min is None else v_min
    u, v = goal
    for _ in range(latency):
        # v after this step must not fire, so it is at most the threshold; before the first step it may be anything.
        later_u, later_v = u, v
        v = _undo(np.clip(v, floor, ceiling) - u - bias, dv)
        u = _undo(u, du + 1)
        if np.array_equal(u, later_u) and np.array_equal(v, later_v):
            break  # and so it stays, however many steps are left
    start_u, start_v = u, v
    for _ in range(latency):
        before_u, before_v = u, v
        u = decay(u, du + 1)
        v = np.clip(decay(v, dv) + u + bias, floor, STATE_LIMIT - 1)
        if np.array_equal(u, before_u) and np.array_equal(v, before_v):
            break
    return InitialCodes(start_u, start_v, v - goal[1])


def cleared_codes(bias: Ints, threshold_code: Ints | None) -> InitialCodes:
    """Return the registers of neurons that are cleared before each step.

    They start as their model does, unless their bias alone makes them fire before the first input.

    Args:
        bias: effective bias in register units, int64 (n,).
        threshold_code: int64 (n,), or None for neurons that do not fire.
    """
    nothing = np.zeros_like(bias)
    if threshold_code is None:
        return InitialCodes(nothing, nothing, nothing)
    ceiling = threshold_code << ALIGN_BITS
    return InitialCodes(nothing, nothing, np.where(bias > ceiling, bias - ceiling, 0))


def _undo(state: Ints, code: Ints) -> Ints:
    """Return the smallest register (in size) that decays to ``state``, kept within the register's range."""
    keep = 2**DECAY_BITS - code
    size = -((-np.abs(state) << DECAY_BITS) // np.maximum(keep, 1))
    size = np.where(keep == 0, 0, size)
    undone: Ints = np.sign(state) * np.minimum(size, STATE_LIMIT - 1)
    return undone
