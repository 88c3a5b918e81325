"""Second moments of a population's inputs on calibration data, and what its weights' errors then cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.synapses import Conv2d, as_map
from neurodeploy.passes.fold import Folded, apply

Floats = NDArray[np.float64]

MAX_ROWS = 16384
"""Rows, a neuron's or a window's inputs at one step, from which second moments are taken; evenly spaced beyond that."""

MAX_VALUES = 2**25
"""Values, of all steps and samples, from which second moments are taken; of evenly spaced samples beyond that."""

MAX_EMULATED = 2**24
"""Values that enter and leave a population in all steps and samples that are emulated to tell scales apart."""

DAMPING = 0.01
"""Share of the mean second moment that is added to each, so that inputs that hardly fire still count."""


@dataclass(frozen=True, eq=False, slots=True)
class IsolatedPopulation:
    """A population in isolation: it is given the spikes that the float model's sources sent on calibration data.

    spikes: for each projection ``[T, B, *source shape]``, in the rows in which they act.
    fired: what the float model's population sent, ``[T, B, *shape]``, on the samples that are emulated.
    emulate: run codes on these samples' spikes; returns what the population sends, ``[T, B, *shape]``.
    """

    spikes: tuple[NDArray[Any], ...]
    fired: NDArray[Any]
    emulate: Callable[[LoihiPopulation, tuple[CodedProjection, ...]], NDArray[Any]]

    def rate_error(self, population: LoihiPopulation, projections: tuple[CodedProjection, ...]) -> float:
        """Return how far the neurons' rates are from the float model's, mean squared spikes a step.

        Spikes that come at other steps count as the noise that they are in a rate over so many steps: a threshold that
        mends a rate and moves most spikes mends nothing.
        """
        sent = self.emulate(population, projections)
        difference = sent.mean(axis=(0, 1), dtype=np.float64) - self.fired.mean(axis=(0, 1), dtype=np.float64)
        moved = float(((sent.astype(np.float32) - self.fired) ** 2).mean())
        return float((difference**2).mean()) + moved / len(sent)


def second_moments(spikes: NDArray[Any], folded: Folded, neuron: AffineNeuron) -> Floats:
    """Return the second moments of what each weight adds to the membrane, float64 (k, k), or (groups, k, k) of a conv.

    The error of a row of weights ``d`` costs ``d @ moments @ d``: the mean square of what it does to v, if nothing is
    reset. Inputs are filtered by the population's mean decays, as u (less a second current) and v filter them.

    Args:
        spikes: ``[T, B, *source shape]``, in the rows in which they act; of any dtype.
        folded: the projection's float weights.
        neuron: the target's neurons.
    """
    spikes = few(spikes, MAX_VALUES // max(spikes[:, 0].size, 1))
    keeps = (float(neuron.keep_syn.mean()), float(neuron.keep_mem.mean()))
    second = None if neuron.keep_second is None else float(neuron.keep_second.mean())
    traces = _filtered(spikes.astype(np.float32), *keeps, second)
    flat = traces.reshape(-1, *traces.shape[2:])
    if folded.conv is None:
        rows = flat.reshape(len(flat), -1)
        rows = rows[:: max(1, len(rows) // MAX_ROWS)].astype(np.float64)
        return _damped(rows.T @ rows / len(rows))
    return np.stack([_damped(windows.T @ windows / len(windows)) for windows in _windows(flat, folded.conv)])


def few(values: NDArray[Any], n_samples: int) -> NDArray[Any]:
    """Return evenly spaced samples of ``[T, B, ...]``, some ``n_samples`` of them, 16 at least."""
    return values[:, :: max(1, values.shape[1] // max(n_samples, 16))]


def _damped(moments: Floats) -> Floats:
    mean = float(np.trace(moments)) / len(moments)
    damped: Floats = moments + (DAMPING * mean if mean > 0 else 1.0) * np.eye(len(moments))
    return damped


def _filtered(
    spikes: NDArray[np.float32], keep_syn: float, keep_mem: float, keep_second: float | None
) -> NDArray[np.float32]:
    u, v, second = (np.zeros_like(spikes[0]) for _ in range(3))
    result = np.empty_like(spikes)
    for t, row in enumerate(spikes):
        u = np.float32(keep_syn) * u + row
        if keep_second is not None:
            second = np.float32(keep_second) * second - row
        v = np.float32(keep_mem) * v + u + second
        result[t] = v
    return result


def _windows(flat: NDArray[np.float32], conv: Conv2d) -> list[Floats]:
    """Return for each group what its kernels see, float64 (rows, k)."""
    flat = flat.reshape(len(flat), *as_map(flat.shape[1:]))
    padded = np.pad(flat, ((0, 0), (0, 0), *((p, p) for p in conv.padding)))
    extent = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.weight.shape[2:], strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    views = views[:, :, :: conv.stride[0], :: conv.stride[1], :: conv.dilation[0], :: conv.dilation[1]]
    places = views.shape[0] * views.shape[2] * views.shape[3]
    step = max(1, places // MAX_ROWS)
    moved = views.transpose(0, 2, 3, 1, 4, 5)[:: max(1, min(step, len(views)))]
    rows = moved.reshape(-1, *moved.shape[3:])
    rows = rows[:: max(1, len(rows) // MAX_ROWS)]
    per_group = conv.weight.shape[1]
    return [
        rows[:, group * per_group : (group + 1) * per_group].reshape(len(rows), -1).astype(np.float64)
        for group in range(conv.groups)
    ]


def mean_input(spikes: NDArray[Any], folded: Folded, weight: Floats, size: int) -> Floats:
    """Return the mean input of each neuron, V a step, if the projection's stored weights were ``weight``; (n,).

    Args:
        spikes: ``[T, B, *source shape]``, in the rows in which they act; of any dtype.
        folded: the projection's layout.
        weight: float64, of the shape of the entries that are stored, V.
        size: neurons of the target.
    """
    mean = spikes.mean(axis=(0, 1), dtype=np.float64)
    if folded.conv is not None:
        c = folded.conv
        conv = Conv2d(weight.astype(np.float32), None, c.stride, c.padding, c.dilation, c.groups)
        return np.asarray(apply(conv, mean.reshape(1, *as_map(mean.shape))), np.float64).reshape(size)
    if folded.is_sparse:
        from neurodeploy.passes.matrices import with_data

        return np.asarray(with_data(folded.weight, weight) @ mean.ravel(), np.float64)
    return np.asarray(weight @ mean.ravel(), np.float64)
