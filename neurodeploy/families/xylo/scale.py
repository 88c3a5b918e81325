"""Register units per volt of each neuron, and one shift for each of the chip's three matrices.

All that flows into a neuron shares one unit: ``unit = code * 2**shift / V``. A large unit keeps weights and states
fine; it ends where a register or the largest weight's code does. A matrix has one shift for all its neurons, so that a
larger one lets neurons with large weights fill their registers, and makes small weights coarse.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.activity import Activity
from neurodeploy.families.xylo.codes import STATE_MAX, WEIGHT_RANGE
from neurodeploy.families.xylo.decays import dash_pairs, kept, near_dashes, rise
from neurodeploy.families.xylo.limits import SHIFT_MAX
from neurodeploy.families.xylo.neuron_form import NeuronForm
from neurodeploy.families.xylo.synapses import DenseSynapses

Floats = NDArray[np.float64]

TOP_CODE = WEIGHT_RANGE[1]
FILLED, FILLED_AT_RANDOM = 0.9, 0.45
"""Share of a register that what was seen may fill, on calibration data, and on random spikes."""

RAISED = 1.5
"""By how much thresholds may be raised once scales stand, see :mod:`neurodeploy.families.xylo.thresholds`."""

STATE_NOISE = 1.0
"""Square of what rounding in the registers changes in a step, in units of a spike's weight that is rounded to 1."""


@dataclass(frozen=True, eq=False, slots=True)
class Demand:
    """What a population asks of scales, per neuron; float64 (n,).

    room: register units per volt at most, for registers to hold what is seen.
    threshold: V; of an integrator, the largest v.
    largest: V, size of the largest weight from each matrix. squares: squares of the spikes in a step, summed over the
        sources, of each matrix.
    """

    room: Floats
    threshold: Floats
    largest: dict[str, Floats]
    squares: dict[str, float]

    def units(self, shifts: dict[str, int]) -> Floats:
        """Return register units per volt with these shifts of matrices, float64 (n,)."""
        found = self.room.copy()
        for matrix, sizes in self.largest.items():
            full = np.divide(TOP_CODE << shifts[matrix], sizes, out=np.full_like(sizes, np.inf), where=sizes > 0)
            found = np.minimum(found, full)
        return found

    def noise(self, shifts: dict[str, int]) -> float:
        """Return the square of what rounding changes in a step, in thresholds, summed over the neurons."""
        of_all = STATE_NOISE + sum(4.0 ** shifts[matrix] * n / 12 for matrix, n in self.squares.items())
        return float((of_all / (self.units(shifts) * self.threshold) ** 2).sum())


def demand(
    form: NeuronForm, parts: tuple[DenseSynapses, ...], spikes: Activity, name: str, filled: float = FILLED
) -> Demand:
    """Return what a population asks of scales.

    Args:
        form: the population in the chip's form.
        parts: all that flows into it.
        spikes: what the float model sends.
        name: of the population.
        filled: share of a register that what is seen may fill.
    """
    largest: dict[str, Floats] = {}
    squares: dict[str, float] = {}
    for part in parts:
        sizes = (np.abs(part.weight) * np.abs(form.gain)[:, np.newaxis]).max(axis=1, initial=0.0)
        largest[part.matrix] = np.maximum(largest.get(part.matrix, 0.0), sizes)
        n = float((spikes.sent[part.source].astype(np.float64) ** 2).sum() / max(np.prod(spikes.extent), 1))
        squares[part.matrix] = squares.get(part.matrix, 0.0) + n
    current, potential = _seen(form, parts, spikes, name)
    worst = _largest_rise(form)
    threshold = np.where(np.isfinite(form.threshold), form.threshold, potential)
    needed = np.maximum.reduce([current, potential * worst, RAISED * worst * threshold, RAISED * np.abs(form.bias)])
    room = filled * STATE_MAX / np.maximum(needed, 1e-30)
    return Demand(np.where(needed > 0, room, 1.0), np.maximum(threshold, 1e-30), largest, squares)


def choose_shifts(demands: list[Demand], given: dict[str, int]) -> dict[str, int]:
    """Return the shift of each matrix with which rounding changes least; those that are given stay.

    Args:
        demands: of all populations.
        given: shifts by matrix.
    """
    shifts = {"in": 0, "rec": 0, "out": 0} | given
    for together in (("in", "rec"), ("out",)):
        concerned = [d for d in demands if set(together) & set(d.largest)]
        used = {matrix for d in concerned for matrix in d.largest}
        free = [matrix for matrix in together if matrix in used and matrix not in given]
        tried = [
            shifts | dict(zip(free, values, strict=True)) for values in product(range(SHIFT_MAX + 1), repeat=len(free))
        ]
        noise = [sum(d.noise(one) for d in concerned) for one in tried]
        shifts = tried[noise.index(min(noise))]
    return shifts


def _largest_rise(form: NeuronForm) -> Floats:
    """Return by how much the chip's answer to a spike may be larger than the model's, float64 (n,)."""
    found = np.ones(len(form.keep_syn))
    keeps = np.stack([form.keep_syn, form.keep_mem], axis=1)
    for keep_syn, keep_mem in np.unique(keeps, axis=0):
        same = (keeps == (keep_syn, keep_mem)).all(axis=1)
        found[same] = max(rise(keep_syn, keep_mem, *pair) for pair in dash_pairs(keep_syn, keep_mem))
    return np.maximum(found, 1.0)


def _slowest(form: NeuronForm) -> Floats:
    """Return the largest factor on the current that the chip may be given, float64 (n,)."""
    return np.array([kept(near_dashes(keep, least=1)[-1]) for keep in form.keep_syn.tolist()])


def _seen(form: NeuronForm, parts: tuple[DenseSynapses, ...], spikes: Activity, name: str) -> tuple[Floats, Floats]:
    """Return the largest sizes of current and v, V, while the float model sends what it does."""
    arriving = spikes.arriving(parts, name)
    weight = np.concatenate([part.weight for part in parts], axis=1) * form.gain[:, np.newaxis]
    keep, n = _slowest(form), len(form.gain)
    i, slow, v = (np.zeros((spikes.extent[1], n)) for _ in range(3))
    current, potential = np.zeros(n), np.zeros(n)
    sent = spikes.sent.get(name)
    lost = np.where(np.isfinite(form.threshold), form.threshold, 0.0)
    for t in range(spikes.extent[0]):
        x = arriving[t] @ weight.T
        i, slow = form.keep_syn * (i + x), slow + x
        current = np.maximum(current, np.abs(slow).max(axis=0, initial=0.0))
        slow = keep * slow
        v = form.keep_mem * v + i + form.bias
        potential = np.maximum(potential, np.abs(v).max(axis=0, initial=0.0))
        if sent is not None:
            v = v - sent[t] * lost
    return current, potential
