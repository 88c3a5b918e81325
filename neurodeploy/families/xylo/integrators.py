"""Choose the shifts of neurons that do not fire, whose v is read, so that v is nearest to the float model's.

Without spikes v follows its input linearly, so that float arithmetic with the chip's decays says what it will be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.thresholds import Registers, Task, rises_of

Floats = NDArray[np.float64]


def fitted_integrators(task: Task, arriving: Floats) -> Registers:
    """Return registers, whose ``factor`` is the unit of v beside the one that is taken without data.

    Args:
        task: the population.
        arriving: float64 [T, B, n], V, what its synapses bring in each step, before its gains.
    """
    form, found = task.form, []
    wanted = _potential(form.keep_syn, form.keep_mem, arriving)
    power = np.maximum((wanted**2).sum(axis=(0, 1)), 1e-30)
    ahead = task.pairs()
    for rank in range(max(len(pairs) for pairs in ahead)):
        dash_syn, dash_mem = np.array([pairs[min(rank, len(pairs) - 1)] for pairs in ahead], np.int64).T
        ours = _potential(1.0 - 2.0**-dash_syn, 1.0 - 2.0**-dash_mem, arriving)
        ratio = np.maximum((ours * wanted).sum(axis=(0, 1)) / power, 1e-6)
        left = ((ours / ratio - wanted) ** 2).sum(axis=(0, 1))
        found.append((left, dash_syn, dash_mem, ratio))
    # Potentials are compared with each other, so that all neurons take their pair of the same rank.
    _, dash_syn, dash_mem, ratio = min(found, key=lambda one: float((one[0] / power).sum()))
    factor = np.where(power > 1e-30, ratio / rises_of(form, dash_syn, dash_mem)[0], 1.0)
    return task.registers(dash_syn, dash_mem, factor, np.zeros(len(ahead)))


def _potential(keep_syn: Floats, keep_mem: Floats, arriving: Floats) -> Floats:
    """Return v after each step, float64 [T, B, n], of neurons that never fire."""
    i, v, found = np.zeros(arriving.shape[1:]), np.zeros(arriving.shape[1:]), np.zeros(arriving.shape)
    for t, row in enumerate(arriving):
        i = keep_syn * (i + row)
        v = keep_mem * v + i
        found[t] = v
    return found
