"""Errors of the membrane that follow from rounded and clipped weights alone, neuron by neuron.

A neuron's error is that of its weights by their size, mean squares, and 1 where nothing of them is left: one neuron
that is lost costs as much as any other, however large its weights. Where a spike sets v to 0, a weight of several
thresholds decides alone that its neuron fires, so what is beyond that counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.weights import WeightRange, quantise_weights
from neurodeploy.passes.fold import Folded

Floats = NDArray[np.float64]

DECIDES = 4.0
"""Thresholds from which a weight decides alone that its neuron fires."""

LEVELS = 2.0 ** -np.arange(0.0, 12.5, 0.5)
"""Shares of a neuron's largest weight that are tried as the size beyond which weights are clipped."""

LOOKED_AT = 2**22
"""Weights of a projection up to which all neurons are looked at; of larger ones, evenly spaced neurons are."""


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """Weights of one projection: float64, the row (neuron, or channel of a convolution) of each, and what holds them.

    limit: float64, V, beyond which each counts for nothing. n_rows: of the whole projection.
    """

    weight: Floats
    row: NDArray[np.int64]
    limit: Floats
    n_rows: int
    codes: WeightRange

    @classmethod
    def of(cls, folded: Folded, codes: WeightRange, neuron: AffineNeuron) -> Part:
        """Return the weights of a projection into neurons.

        Args:
            folded: float weights, V.
            codes: the range of codes that holds them.
            neuron: the target's neurons.
        """
        n_rows, step = folded.weight.shape[0], -(-folded.entries.size // LOOKED_AT)
        if folded.is_sparse:
            seen = slice(None) if step <= 1 else folded.weight.indices % step == 0
            weight, row = folded.entries[seen], folded.weight.indices[seen]
        else:
            rows = np.arange(0, n_rows, max(step, 1))
            kept = folded.entries.reshape(n_rows, -1)[rows]
            weight, row = kept.ravel(), np.repeat(rows, kept.shape[1])
        limit = np.full(n_rows, np.inf)
        if neuron.model.fires and neuron.model.reset in ("zero", "zero-late"):
            limit = DECIDES * neuron.threshold.reshape(n_rows, -1).min(axis=1)
        return cls(weight, np.asarray(row, np.int64), limit[row], n_rows, codes)

    def sums(self, scale: float | Floats) -> tuple[Floats, Floats]:
        """Return squared errors at so many codes a volt, and squared weights, summed for each row."""
        true = np.minimum(self.weight, self.limit)
        rounded = quantise_weights(self.weight * scale, 1.0, self.codes) / scale
        error = true - np.minimum(rounded, self.limit)
        return self._summed(error**2), self._summed(true**2)

    def clipping_levels(self) -> Floats:
        """Return for each row the size beyond which its weights are best clipped, float64 (n_rows,), V."""
        largest = np.zeros(self.n_rows)
        np.maximum.at(largest, self.row, np.abs(self.weight))
        top, tried = max(-self.codes.low, self.codes.high), []
        for level in LEVELS:
            scale = top / np.maximum(largest * level, 1e-300)
            tried.append(self.sums(scale[self.row])[0])
        return np.asarray(largest * LEVELS[np.argmin(tried, axis=0)], np.float64)

    def _summed(self, values: Floats) -> Floats:
        return np.bincount(self.row, values, self.n_rows).astype(np.float64)


def membrane_error(parts: Sequence[Part], scales: Sequence[float], n: int) -> float:
    """Return the mean error of a population's ``n`` neurons, 0 to 1; see the module.

    Args:
        parts: all projections into it.
        scales: codes a volt of each.
        n: neurons of the population.
    """
    errors, sizes = np.zeros(n), np.zeros(n)
    for part, scale in zip(parts, scales, strict=True):
        error, size = part.sums(scale)
        errors += np.repeat(error, n // part.n_rows)
        sizes += np.repeat(size, n // part.n_rows)
    heard = sizes > 0
    return float(np.minimum(errors[heard] / sizes[heard], 1.0).mean()) if heard.any() else 0.0
