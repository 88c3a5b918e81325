"""A chain of linear operations as one set of synapses (dense, sparse or a convolution) and a bias."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurodeploy.network import Projection
from neurodeploy.passes.matrices import as_float64, chain_matrix, pool_as_convolution, ungrouped, with_data
from neurodeploy.synapses import Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Scale, Shape, Sparse, SynapseOp

SPARSE_BELOW = 0.25
"""Share of all pairs of neurons with a synapse, below which a chain that was written out is kept sparse."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Folded:
    """What a projection's chain of operations amounts to.

    weight: float64, dense ``(n_out, n_in)`` or a ``csc_array`` of that shape, in C order over the shapes; or of a
        convolution where ``conv`` is given.
    bias: float64 of the target's shape.
    conv: the convolution's geometry, or None.
    """

    weight: Any
    bias: Floats
    conv: Conv2d | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether only some pairs of neurons have a synapse."""
        return not isinstance(self.weight, np.ndarray)

    @property
    def stored(self) -> Floats:
        """The weights that are kept, in the layout's own order."""
        values: Floats = self.weight.data if self.is_sparse else self.weight
        return values

    def with_stored(self, values: Floats) -> Folded:
        """Return the same synapses with other weights at the same places."""
        weight = with_data(self.weight, values) if self.is_sparse else values
        return Folded(weight, self.bias, self.conv)

    def scaled(self, gain: NDArray[np.float32], source_shape: Shape, of_input: float = 1.0) -> Folded:
        """Return the same synapses with each target neuron's inputs times its gain, and weights times ``of_input``."""
        bias: Floats = self.bias * gain.astype(np.float64)
        factor: Floats = gain.astype(np.float64) * of_input
        if (factor == 1).all():
            return Folded(self.weight, bias, self.conv)
        if self.conv is None:
            return Folded(_times(self.weight, factor.ravel()), bias)
        channels = factor.reshape(self.conv.weight.shape[0], -1)
        if (channels == channels[:, :1]).all():
            return Folded(self.weight * channels[:, 0].reshape(-1, 1, 1, 1), bias, self.conv)
        matrix = _smaller(chain_matrix((self.conv,), source_shape, "a convolution with a gain for each neuron"))
        return Folded(_times(matrix, factor.ravel()), bias)

    def largest(self) -> Floats:
        """Return the size of the largest weight into each neuron, or each channel of a convolution."""
        sizes = np.abs(self.stored)
        if not self.is_sparse:
            return np.asarray(sizes.reshape(len(sizes), -1).max(axis=1, initial=0.0), np.float64)
        found = np.zeros(self.weight.shape[0])
        np.maximum.at(found, self.weight.indices, sizes)
        return found

    def row_sums(self) -> tuple[Floats, Floats]:
        """Return the sums of negative and of positive weights into each neuron, or each channel of a convolution."""

        def sums(side: Floats) -> Floats:
            if self.is_sparse:
                return np.bincount(self.weight.indices, side, self.weight.shape[0]).astype(np.float64)
            summed: Floats = side.reshape(len(side), -1).sum(axis=1)
            return summed

        return sums(np.minimum(self.stored, 0.0)), sums(np.maximum(self.stored, 0.0))


def fold(projection: Projection, source_shape: Shape) -> Folded:
    """Fold a projection's operations; exact in real numbers, computed in float64.

    Raises:
        DeployError: the chain would become a matrix of too many synapses.
    """
    ops = projection.ops
    bias = _apply_all(ops, np.zeros((1, *source_shape)))[0]
    linear = tuple(op for op in ops if not isinstance(op, Flatten))
    if len(linear) == 1 and isinstance(linear[0], Linear) and linear[0].weight.shape[1] == prod(source_shape):
        return Folded(linear[0].weight.astype(np.float64), bias)
    if len(linear) == 1 and isinstance(linear[0], Sparse):
        return Folded(as_float64(linear[0].weight), bias)
    conv = _as_convolution(linear, source_shape)
    if conv is not None:
        return Folded(conv.weight.astype(np.float64), bias, conv)
    return Folded(_smaller(chain_matrix(ops, source_shape, projection.name)), bias)


def applied(folded: Folded, rows: Floats, shape: Shape) -> Floats:
    """Return what arrives at the neurons for inputs ``[N, *shape]``, float64 (N, n_out), without the bias."""
    if folded.conv is None:
        flat = rows.reshape(len(rows), -1)
        return np.asarray((folded.weight @ flat.T).T, np.float64)
    c = folded.conv
    conv = Conv2d(folded.weight, None, c.stride, c.padding, c.dilation, c.groups)
    return apply(conv, rows.reshape(len(rows), *shape)).reshape(len(rows), -1)


def _smaller(matrix: sparse.csc_array) -> Any:
    """Return a matrix dense where that takes little more room, else sparse."""
    if matrix.nnz < SPARSE_BELOW * prod(matrix.shape):
        return matrix
    return np.ascontiguousarray(matrix.toarray())


def _times(weight: Any, factor: Floats) -> Any:
    """Return a matrix with each row times its factor."""
    if isinstance(weight, np.ndarray):
        return weight * factor.reshape(-1, 1)
    return with_data(weight, weight.data * factor[weight.indices])


def _as_convolution(ops: tuple[SynapseOp, ...], shape: Shape) -> Conv2d | None:
    """Return convolutions and pools in a row as one convolution without bias, or None where that is not exact."""
    if not any(isinstance(op, Conv2d) for op in ops):
        return None
    result: Conv2d | None = None
    for op in ops:
        if isinstance(op, Pool2d):
            op = pool_as_convolution(op, shape if result is None else result.output_shape(shape))
        if not isinstance(op, Conv2d):
            return None
        op = Conv2d(op.weight, None, op.stride, op.padding, op.dilation, op.groups)
        result = op if result is None else _compose(result, op, shape)
        if result is None:
            return None
    return result


def _compose(first: Conv2d, second: Conv2d, shape: Shape) -> Conv2d | None:
    """Return ``second`` after ``first`` as one convolution, where padding between them does not show."""
    if second.padding != (0, 0) or first.dilation != (1, 1) or second.dilation != (1, 1):
        return None
    middle = first.weight.shape[0]
    one, two = ungrouped(first), ungrouped(second)
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


def _apply_all(ops: tuple[SynapseOp, ...], x: Floats) -> Floats:
    for op in ops:
        x = apply(op, x)
    return x


def apply(op: SynapseOp, x: Floats) -> Floats:
    """Return an operation applied to a batch, float64 ``[N, *shape]``; the NumPy twin of the reference's torch call."""
    match op:
        case Linear():
            return x @ op.weight.astype(np.float64).T + (0.0 if op.bias is None else op.bias)
        case Sparse():
            flat = x.reshape(len(x), -1)
            return np.asarray((op.weight @ flat.T).T) + (0.0 if op.bias is None else op.bias)
        case Conv1d():
            return apply(op.as_2d(), x[:, :, np.newaxis])[:, :, 0]
        case Conv2d():
            bias = 0.0 if op.bias is None else op.bias.reshape(-1, 1, 1)
            return _convolve(x, ungrouped(op), op) + bias
        case Pool2d():
            return apply(pool_as_convolution(op, x.shape[1:]), x)
        case Flatten():
            return x.reshape(len(x), *op.output_shape(x.shape[1:]))
        case Scale():
            return x * op.scale.astype(np.float64)
        case MaxPool2d():
            raise TypeError("the largest of a window is not linear")


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
