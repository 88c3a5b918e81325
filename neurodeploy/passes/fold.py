"""A chain of linear operations as one set of synapses, dense or convolution, and a bias."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.network import Projection
from neurodeploy.synapses import Conv1d, Conv2d, Flatten, Linear, Pool2d, Scale, Shape, SynapseOp

MAX_DENSE = 2**27
"""Synapses that a chain may become when it has to be written out as one matrix; 1 GiB as float64."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Folded:
    """What a projection's chain of operations amounts to.

    weight: float64, dense ``(n_out, n_in)`` in C order over the shapes, or of a convolution where ``conv`` is given.
    bias: float64 of the target's shape.
    conv: the convolution's geometry, or None for dense synapses.
    """

    weight: Floats
    bias: Floats
    conv: Conv2d | None = None

    def scaled(self, gain: NDArray[np.float32], source_shape: Shape) -> Folded:
        """Return the same synapses with each target neuron's inputs times its gain."""
        gain = gain.astype(np.float64)
        bias = self.bias * gain
        if self.conv is None:
            return Folded(self.weight * gain.reshape(-1, 1), bias)
        channels = gain.reshape(gain.shape[0], -1)
        if (channels == channels[:, :1]).all():
            return Folded(self.weight * channels[:, 0].reshape(-1, 1, 1, 1), bias, self.conv)
        return Folded(_matrix((self.conv,), source_shape) * gain.reshape(-1, 1), bias)


def fold(projection: Projection, source_shape: Shape) -> Folded:
    """Fold a projection's operations; exact in real numbers, computed in float64.

    Raises:
        DeployError: the chain would become a matrix of more than ``MAX_DENSE`` synapses.
    """
    ops = projection.ops
    bias = _apply_all(ops, np.zeros((1, *source_shape)))[0]
    linear = tuple(op for op in ops if not isinstance(op, Flatten))
    if len(linear) == 1 and isinstance(linear[0], Linear) and linear[0].weight.shape[1] == prod(source_shape):
        return Folded(linear[0].weight.astype(np.float64), bias)
    conv = _as_convolution(linear, source_shape)
    if conv is not None:
        return Folded(conv.weight.astype(np.float64), bias, conv)
    if prod(source_shape) * bias.size > MAX_DENSE:
        raise DeployError(
            f"{projection.name} is a chain of {', '.join(type(op).__name__ for op in ops)} that would become"
            " a matrix of"
            f" {bias.size} x {prod(source_shape)} synapses",
            where=projection.name,
            fix="Put a neuron between the operations, or use a strided convolution instead of pooling.",
        )
    return Folded(_matrix(ops, source_shape), bias)


def _as_convolution(ops: tuple[SynapseOp, ...], shape: Shape) -> Conv2d | None:
    """Return convolutions and pools in a row as one convolution without bias, or None where that is not exact."""
    if not any(isinstance(op, Conv2d) for op in ops):
        return None
    result: Conv2d | None = None
    for op in ops:
        if isinstance(op, Pool2d):
            op = _pool_as_convolution(op, shape if result is None else result.output_shape(shape))
        if not isinstance(op, Conv2d):
            return None
        op = Conv2d(op.weight, None, op.stride, op.padding, op.dilation, op.groups)
        result = op if result is None else _compose(result, op, shape)
        if result is None:
            return None
    return result


def _pool_as_convolution(pool: Pool2d, shape: Shape) -> Conv2d:
    factor = 1.0 / prod(pool.kernel) if pool.mean else 1.0
    weight = np.full((shape[0], 1, *pool.kernel), factor, np.float32)
    return Conv2d(weight, None, pool.stride, pool.padding, (1, 1), groups=shape[0])


def _compose(first: Conv2d, second: Conv2d, shape: Shape) -> Conv2d | None:
    """Return ``second`` after ``first`` as one convolution, where padding between them does not show."""
    if second.padding != (0, 0) or first.dilation != (1, 1) or second.dilation != (1, 1):
        return None
    middle = first.weight.shape[0]
    one, two = _ungrouped(first), _ungrouped(second)
    kernel = [(two.shape[2 + a] - 1) * first.stride[a] + one.shape[2 + a] for a in (0, 1)]
    weight = np.zeros((two.shape[0], one.shape[1], *kernel))
    for row in range(two.shape[2]):
        for column in range(two.shape[3]):
            top, left = row * first.stride[0], column * first.stride[1]
            part = np.tensordot(two[:, :, row, column], one.reshape(middle, -1), 1).reshape(-1, *one.shape[1:])
            weight[:, :, top : top + one.shape[2], left : left + one.shape[3]] += part
    stride = (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1])
    composed = Conv2d(weight, None, stride, first.padding)
    return composed if composed.output_shape(shape) == second.output_shape(first.output_shape(shape)) else None


def _ungrouped(conv: Conv2d) -> Floats:
    """Return the weights with the zeros between groups written out."""
    n_out, per_group, *kernel = conv.weight.shape
    weight = np.zeros((n_out, per_group * conv.groups, *kernel))
    for group in range(conv.groups):
        rows = slice(group * n_out // conv.groups, (group + 1) * n_out // conv.groups)
        weight[rows, group * per_group : (group + 1) * per_group] = conv.weight[rows]
    return weight


def _matrix(ops: tuple[SynapseOp, ...], shape: Shape) -> Floats:
    """Return a chain written out as one matrix (n_out, n_in)."""
    n_in = prod(shape)
    basis = np.eye(n_in).reshape(n_in, *shape)
    offset = _apply_all(ops, np.zeros((1, *shape)))
    return np.ascontiguousarray((_apply_all(ops, basis) - offset).reshape(n_in, -1).T)


def _apply_all(ops: tuple[SynapseOp, ...], x: Floats) -> Floats:
    for op in ops:
        x = apply(op, x)
    return x


def apply(op: SynapseOp, x: Floats) -> Floats:
    """Return an operation applied to a batch, float64 ``[N, *shape]``; the NumPy twin of the reference's torch call."""
    match op:
        case Linear():
            return x @ op.weight.astype(np.float64).T + (0.0 if op.bias is None else op.bias)
        case Conv1d():
            return apply(op.as_2d(), x[:, :, np.newaxis])[:, :, 0]
        case Conv2d():
            bias = 0.0 if op.bias is None else op.bias.reshape(-1, 1, 1)
            return _convolve(x, _ungrouped(op), op) + bias
        case Pool2d():
            return apply(_pool_as_convolution(op, x.shape[1:]), x)
        case Flatten():
            return x.reshape(len(x), *op.output_shape(x.shape[1:]))
        case Scale():
            return x * op.scale.astype(np.float64)


def _convolve(x: Floats, weight: Floats, op: Conv2d) -> Floats:
    out = np.zeros((len(x), *op.output_shape(x.shape[1:])))
    (pad_h, pad_w), (step_h, step_w) = op.padding, op.stride
    x = np.pad(x, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)))
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            top, left = row * op.dilation[0], column * op.dilation[1]
            bottom, right = top + step_h * (out.shape[2] - 1) + 1, left + step_w * (out.shape[3] - 1) + 1
            window = x[:, :, top:bottom:step_h, left:right:step_w]
            out += np.einsum("nchw,oc->nohw", window, weight[:, :, row, column], optimize=True)
    return out
