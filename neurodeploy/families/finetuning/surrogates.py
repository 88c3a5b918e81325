"""Integer functions with the gradients that training needs: straight-through for rounding, surrogate for spikes.

What the arithmetic of one chip family alone has is with that family.

Forward, each is exact on tensors of whole numbers; backward, each is the gradient of a smooth function nearby.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SLOPE = 4.0
"""Of the surrogate's fall with the distance from the threshold, which is 1."""


class _Truncate(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Return x truncated towards zero."""
        return x.trunc()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Pass the gradient on."""
        return grads[0]


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, step: float, low: float, high: float) -> Tensor:
        """Return the multiple of ``step`` nearest to x, within ``low`` to ``high``."""
        return (x / step).round().mul_(step).clamp_(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Pass the gradient on."""
        return grads[0], None, None, None


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, size: float) -> Tensor:
        """Return ``size`` where x is 0 or above, ``-size`` elsewhere."""
        return torch.where(x >= 0, size, -size).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Pass the gradient on."""
        return grads[0], None


class _Spikes(torch.autograd.Function):
    @staticmethod
    def forward(v: Tensor, threshold: Tensor, low: Tensor | None, most: int, meets: bool) -> Tensor:
        """Return what neurons send; see :func:`spikes`."""
        sent = (v >= threshold if meets else v > threshold).to(torch.float32)
        if most != 1:
            sent *= torch.div(v, threshold.clamp(min=1), rounding_mode="floor").clamp_(1, most)
        if low is not None:
            sent -= (v < low).to(torch.float32)
        return sent

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what the surrogate is made of."""
        v, threshold, low, most, _ = inputs
        ctx.save_for_backward(v, threshold, low)
        ctx.most = most

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Return the gradient of a fast sigmoid around the threshold that is nearest."""
        v, threshold, low = ctx.saved_tensors
        unit = threshold.clamp(min=1)
        level = v / unit
        nearest = 1.0 if ctx.most == 1 else level.round().clamp_(1, ctx.most)
        slope = _surrogate(level - nearest) / unit
        if low is not None:
            of_low = low.abs().clamp(min=1)
            slope = slope + _surrogate((v - low) / of_low) / of_low
        grad = grads[0] * slope
        of_threshold = -(grad * nearest) if ctx.needs_input_grad[1] else None
        return grad, of_threshold, None, None, None


def truncate(x: Tensor) -> Tensor:
    """Return x truncated towards zero; straight through backward."""
    result: Tensor = _Truncate.apply(x)  # type: ignore[no-untyped-call]
    return result


def rounded(x: Tensor, step: float, low: float, high: float) -> Tensor:
    """Return the multiple of ``step`` nearest to x, within two of them; straight through backward.

    Args:
        x: any numbers.
        step: distance between multiples.
        low, high: the least and the most.
    """
    result: Tensor = _Round.apply(x, step, low, high)  # type: ignore[no-untyped-call]
    return result


def signed(x: Tensor, size: float) -> Tensor:
    """Return ``size`` where x is 0 or above, else ``-size``; straight through backward."""
    result: Tensor = _Sign.apply(x, size)  # type: ignore[no-untyped-call]
    return result


def spikes(v: Tensor, threshold: Tensor, low: Tensor | None = None, most: int = 1, meets: bool = False) -> Tensor:
    """Return what neurons send at potentials v: float32 of 0, 1, a count up to ``most``, or -1 below ``low``.

    Backward, a spike is the fast sigmoid ``x / (1 + SLOPE * abs(x))`` of the distance to the threshold, in thresholds.

    Args:
        v: potentials, [B, n].
        threshold: of each neuron, or of each in each sample.
        low: threshold of spikes of -1, or None where there are none.
        most: spikes in a step.
        meets: whether a neuron also fires where v equals the threshold.

    Source: Zenke and Ganguli 2018, doi:10.1162/neco_a_01086.
    """
    result: Tensor = _Spikes.apply(v, threshold, low, most, meets)  # type: ignore[no-untyped-call]
    return result


def _surrogate(distance: Tensor) -> Tensor:
    """Return the slope of the fast sigmoid at a distance from the threshold."""
    return 1.0 / (1.0 + SLOPE * distance.abs()).square()
