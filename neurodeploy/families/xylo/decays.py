"""Decays by shifts, beside those of a float model: which shifts are near, and by how much more a spike then counts.

A spike of weight 1 is answered by ``h[t] = keep_mem * h[t - 1] + keep_syn**(t + 1)``. With other decays the answer has
another form, and is larger or smaller; thresholds can make up for the latter.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

DASH_MAX = 15

Floats = NDArray[np.float64]


def kept(dash: int) -> float:
    """Return the factor on a register in one step: ``1 - 2**-dash``."""
    return 1.0 - 2.0**-dash


def near_dashes(keep: float, least: int = 0) -> tuple[int, ...]:
    """Return the one or two shifts around a factor; ``least`` is the smallest that is allowed."""
    exact = -np.log2(max(1.0 - keep, 2.0**-DASH_MAX))
    found = {int(np.clip(side(exact - 1e-9 * direction), least, DASH_MAX)) for side, direction in _SIDES}
    return tuple(sorted(found))


_SIDES = ((np.floor, -1), (np.ceil, 1))
"""A factor that a shift meets but for rounding has one shift, not two."""


def dash_pairs(keep_syn: float, keep_mem: float) -> tuple[tuple[int, int], ...]:
    """Return pairs of shifts, of the current and of v, near a neuron's two factors; the nearest answer comes first."""
    pairs = product(near_dashes(keep_syn, least=1), near_dashes(keep_mem))
    return tuple(sorted(pairs, key=lambda pair: (misfit(keep_syn, keep_mem, *pair), pair)))


def rise(keep_syn: float, keep_mem: float, dash_syn: int, dash_mem: int) -> float:
    """Return by how much more the chip's input counts than the model's, in thresholds.

    It lies between two measures, as their geometric mean: the current that a spike brings in all, which says how often
    a strongly driven neuron fires; and the v at which lasting input settles, which says whether it fires at all.

    Args:
        keep_syn, keep_mem: the model's factors on the current and on v in a step.
        dash_syn, dash_mem: the chip's shifts.
    """
    charge = _sum(kept(dash_syn)) / _sum(keep_syn)
    return charge * rise_of_bias(keep_mem, dash_mem)


def rise_of_bias(keep_mem: float, dash_mem: int) -> float:
    """Return the same for what is added to v without a current: the charge is equal, and v settles elsewhere."""
    return float(np.sqrt((1.0 - keep_mem) / (1.0 - kept(dash_mem))))


def _sum(keep: float) -> float:
    """Return ``keep + keep**2 + ...``."""
    return keep / (1.0 - keep)


def misfit(keep_syn: float, keep_mem: float, dash_syn: int, dash_mem: int) -> float:
    """Return the share of the chip's answer, root mean square, that is no multiple of the model's.

    Args:
        keep_syn, keep_mem: the model's factors on the current and on v in a step.
        dash_syn, dash_mem: the chip's shifts.
    """
    ours, theirs = _answers(keep_syn, keep_mem, dash_syn, dash_mem)
    left = ours - theirs * (ours @ theirs / (theirs @ theirs))
    return float(np.sqrt(left @ left / (ours @ ours)))


def _answers(keep_syn: float, keep_mem: float, dash_syn: int, dash_mem: int) -> tuple[Floats, Floats]:
    steps = max(_horizon(keep_syn), _horizon(keep_mem))
    return _answer(kept(dash_syn), kept(dash_mem), steps), _answer(keep_syn, keep_mem, steps)


def _answer(keep_syn: float, keep_mem: float, n_steps: int) -> Floats:
    found, i, v = np.zeros(n_steps), 1.0, 0.0
    for t in range(n_steps):
        i *= keep_syn
        v = keep_mem * v + i
        found[t] = v
    return found


def _horizon(keep: float) -> int:
    """Return in how many steps next to nothing is left, of at most 1000."""
    return int(np.clip(10.0 / max(1.0 - keep, 1e-6), 20, 1000))
