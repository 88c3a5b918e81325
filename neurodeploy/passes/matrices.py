"""A chain of linear operations written out as one sparse matrix, without a dense one in between."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurodeploy.errors import DeployError
from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Scale, Shape, Sparse, SynapseOp

MAX_STORED = 2**27
"""Synapses that a chain may become when it has to be written out; 1.5 GiB as float64 with their indices."""

Floats = NDArray[np.float64]


def chain_matrix(ops: tuple[SynapseOp, ...], shape: Shape, where: str) -> sparse.csc_array:
    """Return a chain as one float64 matrix (n_out, n_in) over the shapes in C order, without its biases.

    Args:
        ops: the operations, in order.
        shape: what enters.
        where: for the message.

    Raises:
        DeployError: the chain would become more than ``MAX_STORED`` synapses.
    """
    n_in = prod(shape)
    result: Any = sparse.eye_array(n_in, format="csc")
    is_identity = True
    for op in ops:
        out = op.output_shape(shape)
        if not isinstance(op, Flatten):
            most = min(_stored_count(op, shape), prod(out) * prod(shape))
            _check_size(most, ops, where)
            step = _matrix(op, shape)
            products = int(np.diff(step.indptr).astype(np.int64) @ np.diff(result.tocsr().indptr))
            _check_size(min(products, prod(out) * n_in), ops, where)
            result = step if is_identity else step @ result
            is_identity = False
        shape = out
    matrix: sparse.csc_array = sparse.csc_array(result)
    matrix.sort_indices()
    return matrix


def _check_size(stored: int, ops: tuple[SynapseOp, ...], where: str) -> None:
    if stored > MAX_STORED:
        raise DeployError(
            f"{where} is a chain of {', '.join(type(op).__name__ for op in ops)} that would become up to"
            f" {stored:,} synapses, more than {MAX_STORED:,}",
            where=where,
            fix="Put a neuron between the operations, or use a strided convolution instead of pooling.",
        )


def _stored_count(op: SynapseOp, shape: Shape) -> int:
    """Return how many entries an operation's matrix has, before it is made."""
    match op:
        case Linear():
            return op.weight.size * prod(shape[:-1])
        case Sparse():
            return int(op.weight.nnz)
        case Conv1d():
            return op.weight.size * op.output_shape(shape)[1]
        case Conv2d():
            return op.weight.size * prod(op.output_shape(shape)[1:])
        case Pool2d():
            return prod(op.kernel) * prod(op.output_shape(shape))
        case Scale() | Flatten():
            return prod(shape)
        case MaxPool2d():
            raise TypeError("the largest of a window is not linear")


def _matrix(op: SynapseOp, shape: Shape) -> sparse.csc_array:
    """Return one operation as a float64 matrix over the shapes in C order."""
    found: Any
    match op:
        case Linear():
            found = sparse.kron(sparse.eye_array(prod(shape[:-1])), sparse.coo_array(op.weight.astype(np.float64)))
        case Sparse():
            found = as_float64(op.weight)
        case Conv1d():
            return _matrix(op.as_2d(), (shape[0], 1, shape[1]))
        case Conv2d():
            found = _conv_matrix(op, shape)
        case Pool2d():
            return _matrix(pool_as_convolution(op, shape), shape)
        case Scale():
            found = sparse.diags_array(np.broadcast_to(op.scale, shape).astype(np.float64).ravel())
        case Flatten():
            found = sparse.eye_array(prod(shape))
        case MaxPool2d():
            raise TypeError("the largest of a window is not linear")
    return sparse.csc_array(found)


def as_float64(weight: sparse.csc_array) -> sparse.csc_array:
    """Return a matrix in float64 that shares its indices."""
    return with_data(weight, weight.data.astype(np.float64))


def with_data(weight: sparse.csc_array, data: Floats) -> sparse.csc_array:
    """Return a matrix with other values, float64 (nnz,), at the same places, whose indices it shares."""
    return sparse.csc_array((data, weight.indices, weight.indptr), shape=weight.shape)


def _conv_matrix(conv: Conv2d, shape: Shape) -> sparse.coo_array:
    """Return a convolution written out: for each place in the kernel, weights between channels times a shift."""
    (_, height, width), (_, out_height, out_width) = shape, conv.output_shape(shape)
    weight = ungrouped(conv)
    rows, columns, values = [], [], []
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            y = np.arange(out_height) * conv.stride[0] - conv.padding[0] + row * conv.dilation[0]
            x = np.arange(out_width) * conv.stride[1] - conv.padding[1] + column * conv.dilation[1]
            out_y, out_x = np.flatnonzero((y >= 0) & (y < height)), np.flatnonzero((x >= 0) & (x < width))
            to = (out_y[:, np.newaxis] * out_width + out_x).ravel()
            of = (y[out_y][:, np.newaxis] * width + x[out_x]).ravel()
            to_channel, of_channel = np.nonzero(weight[:, :, row, column])
            rows.append((to_channel[:, np.newaxis] * (out_height * out_width) + to).ravel())
            columns.append((of_channel[:, np.newaxis] * (height * width) + of).ravel())
            values.append(np.repeat(weight[to_channel, of_channel, row, column], to.size))
    places = (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array((np.concatenate(values), places), shape=(prod(conv.output_shape(shape)), prod(shape)))


def pool_as_convolution(pool: Pool2d, shape: Shape) -> Conv2d:
    """Return a pool as a convolution of each channel by itself."""
    factor = 1.0 / prod(pool.kernel) if pool.mean else 1.0
    weight = np.full((shape[0], 1, *pool.kernel), factor, np.float32)
    return Conv2d(weight, None, pool.stride, pool.padding, (1, 1), groups=shape[0])


def ungrouped(conv: Conv2d) -> Floats:
    """Return the weights with the zeros between groups written out, float64 (n_out, n_in, rows, columns)."""
    n_out, per_group, *kernel = conv.weight.shape
    weight = np.zeros((n_out, per_group * conv.groups, *kernel))
    for group in range(conv.groups):
        rows = slice(group * n_out // conv.groups, (group + 1) * n_out // conv.groups)
        weight[rows, group * per_group : (group + 1) * per_group] = conv.weight[rows]
    return weight
