"""A chain of linear operations as one set of synapses (dense, sparse or a convolution) and a bias."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurodeploy.ir.network import Projection
from neurodeploy.ir.synapses import (
    Conv1d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Pool2d,
    Scale,
    Shape,
    Sparse,
    SynapseOp,
    as_map,
)
from neurodeploy.passes.matrices import as_float64, chain_matrix, pool_as_convolution, ungrouped, with_data

SPARSE_BELOW = 0.25
"""Share of all pairs of neurons with a synapse, below which synapses are kept sparse."""

SPARSE_FROM = 4096
"""Weights of a dense matrix from which zeros are looked for."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Folded:
    """A projection's chain of operations as one set of synapses.

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
    def entries(self) -> Floats:
        """The weights that are stored, float64: ``(nnz,)`` of sparse ones, else in the shape of the layout."""
        values: Floats = self.weight.data if self.is_sparse else self.weight
        return values

    def with_stored(self, values: Floats) -> Folded:
        """Return the same synapses with other weights, float64 of the same shape, at the same places."""
        weight = with_data(self.weight, values) if self.is_sparse else values
        return Folded(weight, self.bias, self.conv)

    def scaled(self, gain: NDArray[Any], source_shape: Shape, of_input: float = 1.0) -> Folded:
        """Return the same synapses with each target neuron's inputs times its gain, and weights times ``of_input``.

        Args:
            gain: float, one for each target neuron. source_shape: of what enters. of_input: factor of all weights.
        """
        bias: Floats = self.bias * gain.astype(np.float64)
        factor: Floats = gain.astype(np.float64) * of_input
        if (factor == 1).all():
            return Folded(self.weight, bias, self.conv)
        if self.conv is None:
            return Folded(_times(self.weight, factor.ravel()), bias)
        channels = factor.reshape(self.conv.weight.shape[0], -1)
        if (channels == channels[:, :1]).all():
            return Folded(self.weight * channels[:, 0].reshape(-1, 1, 1, 1), bias, self.conv)
        matrix = _smaller(chain_matrix((self.conv,), as_map(source_shape), "a convolution with a gain for each neuron"))
        return Folded(_times(matrix, factor.ravel()), bias)

    def largest(self) -> Floats:
        """Return the size of the largest weight into each neuron, or channel of a convolution, float64 (n,)."""
        sizes = np.abs(self.entries)
        if not self.is_sparse:
            return np.asarray(sizes.reshape(len(sizes), -1).max(axis=1, initial=0.0), np.float64)
        found = np.zeros(self.weight.shape[0])
        np.maximum.at(found, self.weight.indices, sizes)
        return found

    def row_sums(self) -> tuple[Floats, Floats]:
        """Return the sums of negative and of positive weights into each neuron, or channel, float64 (n,) each."""

        def sums(side: Floats) -> Floats:
            if self.is_sparse:
                return np.bincount(self.weight.indices, side, self.weight.shape[0]).astype(np.float64)
            summed: Floats = side.reshape(len(side), -1).sum(axis=1)
            return summed

        return sums(np.minimum(self.entries, 0.0)), sums(np.maximum(self.entries, 0.0))


def fold(projection: Projection, source_shape: Shape) -> Folded:
    """Fold a projection's operations; exact in real numbers, computed in float64.

    Raises:
        DeployError: the chain would become a matrix of too many synapses.
    """
    ops = projection.ops
    bias = _apply_all(ops, np.zeros((1, *source_shape)))[0]
    linear = tuple(op for op in ops if not isinstance(op, Flatten))
    if len(linear) == 1 and isinstance(linear[0], Linear) and linear[0].weight.shape[1] == prod(source_shape):
        return Folded(_without_zeros(linear[0].weight), bias)
    if len(linear) == 1 and isinstance(linear[0], Sparse):
        return Folded(as_float64(linear[0].weight), bias)
    conv = _as_convolution(ops, source_shape)
    if conv is not None:
        return Folded(conv.weight.astype(np.float64), bias, conv)
    return Folded(_smaller(chain_matrix(ops, source_shape, projection.name)), bias)


def applied(folded: Folded, rows: Floats, shape: Shape) -> Floats:
    """Return what arrives at the neurons for inputs ``[N, *shape]``, float64 (N, n_out), without the bias.

    Args:
        folded: the synapses. rows: float64 ``[N, *shape]``. shape: of what enters.
    """
    if folded.conv is None:
        flat = rows.reshape(len(rows), -1)
        return np.asarray((folded.weight @ flat.T).T, np.float64)
    c = folded.conv
    conv = Conv2d(folded.weight, None, c.stride, c.padding, c.dilation, c.groups)
    return apply(conv, rows.reshape(len(rows), *as_map(shape))).reshape(len(rows), -1)


def _without_zeros(weight: NDArray[Any]) -> Any:
    """Return a dense matrix in float64, sparse where it is large and most of it is 0, as after pruning."""
    if weight.size < SPARSE_FROM or np.count_nonzero(weight) >= SPARSE_BELOW * weight.size:
        return weight.astype(np.float64)
    return sparse.csc_array(weight, dtype=np.float64)


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
    """Return convolutions, pools and factors of channels in a row as one convolution, or None where that is not exact.

    It has no bias, and what enters and leaves may be of one row (``[C, L]``) or flat.
    """
    while ops and isinstance(ops[-1], Flatten):
        ops = ops[:-1]
    if not any(isinstance(op, (Conv1d, Conv2d, Pool2d)) for op in ops):
        return None
    shape = as_map(shape)
    result: Conv2d | None = None
    for op in ops:
        between = shape if result is None else result.output_shape(shape)
        conv = _one_convolution(op, between)
        if conv is None:
            return None
        result = conv if result is None else compose(result, conv, shape)
        if result is None:
            return None
    return result


def _one_convolution(op: SynapseOp, shape: Shape) -> Conv2d | None:
    """Return an operation on maps as a convolution without bias, or None where it is none."""
    match op:
        case Conv1d():
            op = op.as_2d()
            return Conv2d(op.weight, None, op.stride, op.padding, op.dilation, op.groups)
        case Conv2d():
            return Conv2d(op.weight, None, op.stride, op.padding, op.dilation, op.groups)
        case Pool2d():
            return pool_as_convolution(op, shape)
        case Scale():
            factors = np.broadcast_to(op.scale, shape).reshape(shape[0], -1)
            if (factors == factors[:, :1]).all():
                return Conv2d(factors[:, 0].reshape(-1, 1, 1, 1), None, groups=shape[0])
    return None


def compose(first: Conv2d, second: Conv2d, shape: Shape) -> Conv2d | None:
    """Return ``second`` after ``first`` as one convolution, or None where padding between them would show.

    Zeros around the map between them are what ``first`` gives beyond its own padded input, if no window of it that lies
    there reaches into the input: so for a pool that divides the map. Then padding p of ``second`` is padding ``p *
    stride`` of ``first``, and its kernel's taps lie ``stride`` apart.

    Args:
        first, second: convolutions, in order. shape: of what enters the first.
    """
    middle = first.output_shape(shape)
    extents = [d * (k - 1) + 1 for d, k in zip(first.dilation, first.weight.shape[2:], strict=True)]
    for axis in (0, 1):
        before = extents[axis] - first.stride[axis] - first.padding[axis]
        beyond = middle[1 + axis] * first.stride[axis] - first.padding[axis]
        if second.padding[axis] and (before > 0 or beyond < shape[1 + axis]):
            return None
    groups = _groups_of_both(first, second)
    weight = _composed_weight(first, second, extents)
    stride = (first.stride[0] * second.stride[0], first.stride[1] * second.stride[1])
    padding = (
        first.padding[0] + second.padding[0] * first.stride[0],
        first.padding[1] + second.padding[1] * first.stride[1],
    )
    composed = Conv2d(_regrouped(weight, groups), None, stride, padding, groups=groups)
    return composed if composed.output_shape(shape) == second.output_shape(middle) else None


def _groups_of_both(first: Conv2d, second: Conv2d) -> int:
    """Return the groups that two convolutions in a row have together."""
    if first.weight.shape[:2] == (first.groups, 1):
        return second.groups
    if second.weight.shape[:2] == (second.groups, 1):
        return first.groups
    return first.groups if first.groups == second.groups else 1


def _composed_weight(first: Conv2d, second: Conv2d, extents: list[int]) -> Floats:
    """Return the kernel of both, float64 (n_out, n_in, h, w), with the zeros between groups written out."""
    one, two = ungrouped(first), ungrouped(second)
    channels, rows, columns = one.shape[0], one.shape[2], one.shape[3]
    steps = [first.stride[axis] * second.dilation[axis] for axis in (0, 1)]
    kernel = [(two.shape[2 + axis] - 1) * steps[axis] + extents[axis] for axis in (0, 1)]
    weight = np.zeros((two.shape[0], one.shape[1], *kernel))
    is_each_by_itself = first.weight.shape[:2] == (first.groups, 1)
    for row in range(two.shape[2]):
        for column in range(two.shape[3]):
            tap = two[:, :, row, column]
            if is_each_by_itself:
                part = tap[:, :, np.newaxis, np.newaxis] * first.weight[:, 0].astype(np.float64)
            else:
                part = np.tensordot(tap, one.reshape(channels, -1), 1).reshape(-1, *one.shape[1:])
            top, left = row * steps[0], column * steps[1]
            down, right = first.dilation
            weight[:, :, top : top + down * rows : down, left : left + right * columns : right] += part
    return weight


def _regrouped(weight: Floats, groups: int) -> Floats:
    """Return weights without the zeros between groups."""
    rows, columns = weight.shape[0] // groups, weight.shape[1] // groups
    return np.concatenate([weight[g * rows : (g + 1) * rows, g * columns : (g + 1) * columns] for g in range(groups)])


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
            out = np.asarray((op.weight @ flat.T).T) + (0.0 if op.bias is None else op.bias)
            return out.reshape(len(x), *op.output_shape(x.shape[1:]))
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
