"""Rounding weights to codes so that the membrane, and not each weight, is met."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

from neurodeploy.families.loihi.weights import WeightRange, quantise_weights

Floats = NDArray[np.float64]

BLOCK = 128
"""Inputs whose errors are made up for together in all inputs behind them."""

MOST_ALIKE = 2**18
"""Weights, evenly spaced, that are looked at where each counts alike."""

MOST_ROWS = 64
"""Rows of weights, evenly spaced, whose errors in the membrane are looked at."""

RATIOS = 2.0 ** np.linspace(0.0, 3.0, 37)
"""By how much a scale may exceed the one at which the largest weight fits; what is beyond the codes is clipped."""


def learned_codes(weight: Floats, scale: float, codes: WeightRange, moments: Floats) -> NDArray[np.int16]:
    """Return weights as codes, rounded one input after the other, each making up for the errors of those before.

    Args:
        weight: float64 ``(n_out, n_in)`` or of a convolution ``(c_out, c_in / groups, h, w)``.
        scale: codes per unit of weight.
        codes: the range.
        moments: of :func:`neurodeploy.families.loihi.quantise.second_moments.second_moments`.

    A row that nearest codes meet better, as where clipping hits it, has those.

    Source: Frantar et al. 2023, GPTQ, equations 2 and 3, after Hassibi and Stork 1992; learned rounding as a goal is
        that of Nagel et al. 2020, doi:10.48550/arXiv.2004.10568.
    """
    rows = weight.reshape(len(weight), -1)
    if moments.ndim == 2:
        return _rounded(rows, scale, codes, moments).reshape(weight.shape)
    groups = np.split(rows, len(moments))
    parts = [_rounded(part, scale, codes, of_group) for part, of_group in zip(groups, moments, strict=True)]
    return np.concatenate(parts).reshape(weight.shape)


def _rounded(rows: Floats, scale: float, codes: WeightRange, moments: Floats) -> NDArray[np.int16]:
    order = np.argsort(-np.diag(moments), kind="stable")
    upper = _upper_of_inverse(moments[np.ix_(order, order)])
    left = rows[:, order].copy()
    found = np.zeros(rows.shape, np.int16)
    # What a block's errors do to all behind it is one product of matrices.
    for first in range(0, len(order), BLOCK):
        last = min(first + BLOCK, len(order))
        errors = np.zeros((len(rows), last - first))
        for i in range(first, last):
            column = order[i]
            code = quantise_weights(left[:, i], scale, codes)
            if not codes.offset:
                code[rows[:, column] == 0] = 0  # what was pruned stays so
            found[:, column] = code
            errors[:, i - first] = (left[:, i] - code / scale) / upper[i, i]
            left[:, i + 1 : last] -= np.outer(errors[:, i - first], upper[i, i + 1 : last])
        left[:, last:] -= errors @ upper[first:last, last:]
    nearest = quantise_weights(rows, scale, codes)
    is_worse = _row_costs(rows - found / scale, moments) > _row_costs(rows - nearest / scale, moments)
    return np.where(is_worse[:, np.newaxis], nearest, found)


def _row_costs(difference: Floats, moments: Floats) -> Floats:
    """Return what the errors of each row of weights do to the membrane's mean square."""
    return np.asarray(((difference @ moments) * difference).sum(axis=1))


def _upper_of_inverse(moments: Floats) -> Floats:
    """Return the upper triangle whose transpose times itself is the inverse, without making the inverse.

    Backwards, moments are a lower triangle times its transpose; forwards, that is an upper one, whose inverse it is.
    """
    triangle = np.linalg.cholesky(moments[::-1, ::-1])[::-1, ::-1]
    found, _ = dtrtri(np.asfortranarray(triangle), lower=0)
    return np.ascontiguousarray(found)


def ratio_by_error(weights: list[tuple[Floats, WeightRange, float]], base: float, moments: list[Any]) -> float:
    """Return by how much to exceed ``base`` codes per unit so that the squared error of all weights is least.

    Args:
        weights: for each projection its weights, range, and how many of the population's codes are one of its own.
        base: codes per unit at which the largest weight fits.
        moments: for each projection its second moments, or None to count each weight alike.
    """
    looked_at = [(_some(weight, m), codes, down) for (weight, codes, down), m in zip(weights, moments, strict=True)]
    shares = [
        len(few.ravel()) / max(whole.size, 1) for (few, _, _), (whole, _, _) in zip(looked_at, weights, strict=True)
    ]
    errors = []
    for ratio in RATIOS:
        total = 0.0
        for (weight, codes, down), of_projection, share in zip(looked_at, moments, shares, strict=True):
            scale = base * ratio / down
            difference = weight - quantise_weights(weight, scale, codes) / scale
            total += _cost(difference, of_projection) / (share or 1.0)
        errors.append(total)
    return float(RATIOS[int(np.argmin(errors))])


def _some(weight: Floats, moments: Any) -> Floats:
    """Return evenly spaced weights, or rows of them, of large arrays."""
    if moments is None:
        return weight.ravel()[:: max(1, weight.size // MOST_ALIKE)]
    return weight if moments.ndim == 3 and len(moments) > 1 else weight[:: max(1, len(weight) // MOST_ROWS)]


def _cost(difference: Floats, moments: Any) -> float:
    if moments is None:
        return float((difference**2).sum())
    rows = difference.reshape(len(difference), -1)
    if moments.ndim == 2:
        return float(_row_costs(rows, moments).sum())
    parts = np.split(rows, len(moments))
    return float(sum(_row_costs(part, of_group).sum() for part, of_group in zip(parts, moments, strict=True)))
