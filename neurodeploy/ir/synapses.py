"""The operations between two populations, with their shapes; all but the maximum are linear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import frozen_array

if TYPE_CHECKING:
    from scipy.sparse import csc_array

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False, slots=True)
class Linear:
    """Dense synapses, ``out = weight @ in + bias`` over the last axis.

    weight: float32 (n_out, n_in).
    bias: float32 (n_out,) or None.
    name: of the model's node that it was read from, or empty.
    """

    weight: NDArray[Any]
    bias: NDArray[Any] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen_array(self.weight, np.float32))
        if self.weight.ndim != 2:
            raise ValueError(f"Linear.weight must be (n_out, n_in), got shape {self.weight.shape}")
        if self.bias is not None:
            object.__setattr__(self, "bias", frozen_array(self.bias, np.float32, (self.weight.shape[0],)))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        if not shape or shape[-1] != self.weight.shape[1]:
            raise ValueError(f"takes {self.weight.shape[1]} inputs on the last axis, got shape {shape}")
        return (*shape[:-1], self.weight.shape[0])


@dataclass(frozen=True, eq=False, slots=True)
class Sparse:
    """Synapses between some pairs of neurons, ``out = weight @ in + bias`` over all axes in C order.

    weight: any ``scipy.sparse`` matrix or array (n_out, n_in); kept as a float32 ``csc_array`` with indices in order,
        repeats summed and read-only arrays.
    bias: float32 (n_out,) or None.
    name: of the model's node that it was read from, or empty.
    shape: of what leaves, of n_out elements in C order; None is (n_out,).
    """

    weight: csc_array
    bias: NDArray[Any] | None = None
    name: str = ""
    shape: Shape | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _frozen_sparse(self.weight))
        if self.shape is not None and prod(self.shape) != self.weight.shape[0]:
            raise ValueError(f"Sparse gives {self.weight.shape[0]} values, which have no shape {self.shape}")
        if self.bias is not None:
            object.__setattr__(self, "bias", frozen_array(self.bias, np.float32, (self.weight.shape[0],)))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        if prod(shape) != self.weight.shape[1]:
            raise ValueError(f"takes {self.weight.shape[1]} inputs, got shape {shape}")
        return self.shape or (self.weight.shape[0],)


@dataclass(frozen=True, eq=False, slots=True)
class Conv1d:
    """One-dimensional cross-correlation, as ``torch.nn.functional.conv1d`` computes it.

    weight: float32 (n_out, n_in / groups, kernel).
    bias: float32 (n_out,) or None.
    stride, padding, dilation: steps; padding is zeros on both sides.
    name: of the model's node that it was read from, or empty.
    """

    weight: NDArray[Any]
    bias: NDArray[Any] | None = None
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen_array(self.weight, np.float32))
        if self.weight.ndim != 3:
            raise ValueError(f"Conv1d.weight must be (n_out, n_in / groups, length), got shape {self.weight.shape}")
        self.as_2d()
        if self.bias is not None:
            object.__setattr__(self, "bias", frozen_array(self.bias, np.float32, (self.weight.shape[0],)))

    def as_2d(self) -> Conv2d:
        """Return the same as a convolution of one row."""
        weight = self.weight[:, :, np.newaxis]
        pairs = ((1, self.stride), (0, self.padding), (1, self.dilation))
        return Conv2d(weight, self.bias, *pairs, self.groups)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        channels = self.weight.shape[1] * self.groups
        if len(shape) != 2 or shape[0] != channels:
            raise ValueError(f"takes ({channels}, length), got shape {shape}")
        return (self.weight.shape[0], self.as_2d().output_shape((shape[0], 1, shape[1]))[2])


@dataclass(frozen=True, eq=False, slots=True)
class Conv2d:
    """Two-dimensional cross-correlation, as ``torch.nn.functional.conv2d`` computes it.

    weight: float32 (n_out, n_in / groups, kernel_h, kernel_w).
    bias: float32 (n_out,) or None.
    stride, padding, dilation: (rows, columns); padding is zeros on both sides.
    name: of the model's node that it was read from, or empty.
    """

    weight: NDArray[Any]
    bias: NDArray[Any] | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen_array(self.weight, np.float32))
        if self.weight.ndim != 4:
            raise ValueError(f"Conv2d.weight must be (n_out, n_in / groups, h, w), got shape {self.weight.shape}")
        if self.weight.shape[0] % self.groups:
            raise ValueError(f"Conv2d has {self.weight.shape[0]} output channels for {self.groups} groups")
        if self.bias is not None:
            object.__setattr__(self, "bias", frozen_array(self.bias, np.float32, (self.weight.shape[0],)))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        channels = self.weight.shape[1] * self.groups
        if len(shape) != 3 or shape[0] != channels:
            raise ValueError(f"takes ({channels}, height, width), got shape {shape}")
        return (
            self.weight.shape[0],
            *_window_counts(shape, self.weight.shape[2:], self.stride, self.padding, self.dilation),
        )


@dataclass(frozen=True, slots=True)
class Pool2d:
    """Sum or mean over windows; a mean counts the zeros of the padding, as torch's default does.

    kernel, stride, padding: (rows, columns).
    mean: divide the sum by the window's area.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    mean: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        if len(shape) != 3:
            raise ValueError(f"takes (channels, height, width), got shape {shape}")
        return (shape[0], *_window_counts(shape, self.kernel, self.stride, self.padding, (1, 1)))


@dataclass(frozen=True, slots=True)
class MaxPool2d:
    """The largest value of each window; what lies in the padding is never the largest. Not linear.

    kernel, stride, padding: (rows, columns).
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        return Pool2d(self.kernel, self.stride, self.padding).output_shape(shape)


@dataclass(frozen=True, slots=True)
class Flatten:
    """Join the axes ``start`` to ``end`` (inclusive, batch and time not counted) into one."""

    start: int = 0
    end: int = -1

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        rank = len(shape)
        start, end = self.start % max(rank, 1), self.end % max(rank, 1)
        if not rank or not -rank <= self.start < rank or not -rank <= self.end < rank or start > end:
            raise ValueError(f"cannot join axes {self.start} to {self.end} of shape {shape}")
        return (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])


@dataclass(frozen=True, eq=False, slots=True)
class Scale:
    """Element-wise factor, ``out = in * scale``.

    scale: float32, broadcast against the input's shape.
    """

    scale: NDArray[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", frozen_array(self.scale, np.float32))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        if np.broadcast_shapes(self.scale.shape, shape) != shape:
            raise ValueError(f"scales shape {self.scale.shape}, got shape {shape}")
        return shape


SynapseOp = Linear | Sparse | Conv1d | Conv2d | Pool2d | MaxPool2d | Flatten | Scale


def without_bias(op: SynapseOp) -> SynapseOp:
    """Return an operation that is linear in the strict sense."""
    return replace(op, bias=None) if isinstance(op, (Linear, Sparse, Conv1d, Conv2d)) else op


def chain_shape(ops: tuple[SynapseOp, ...], shape: Shape) -> Shape:
    """Return the shape that leaves a chain of operations when ``shape`` enters.

    Raises:
        ValueError: an operation cannot take what the one before it gives.
    """
    for op in ops:
        shape = op.output_shape(shape)
    return shape


def as_map(shape: Shape) -> Shape:
    """Return the shape of what a convolution takes: channels of one row (``[C, L]``) are maps of height 1."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _window_counts(shape: Shape, kernel: Shape, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Return how many windows fit down and across."""
    counts = []
    for axis in (0, 1):
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        room = shape[1 + axis] + 2 * padding[axis] - extent
        if room < 0:
            raise ValueError(f"has a window of {extent} on axis {axis + 1}, larger than the padded input {shape}")
        counts.append(room // stride[axis] + 1)
    return counts[0], counts[1]


def _frozen_sparse(weight: Any) -> Any:
    """Return a matrix as a float32 csc_array in order and without repeats, whose arrays are read-only."""
    from scipy.sparse import csc_array, issparse

    if not issparse(weight):
        raise ValueError(f"Sparse.weight must be a scipy.sparse matrix, got {type(weight).__name__}; use Linear")
    matrix: Any = weight
    if len(matrix.shape) != 2:
        raise ValueError(f"Sparse.weight must be (n_out, n_in), got shape {matrix.shape}")
    arrays = ("data", "indices", "indptr")
    is_ours = isinstance(matrix, csc_array) and matrix.dtype == np.float32
    if is_ours and not any(getattr(matrix, key).flags.writeable for key in arrays):
        return matrix
    frozen: Any = csc_array(matrix, dtype=np.float32, copy=True)
    frozen.sum_duplicates()
    for key in arrays:
        getattr(frozen, key).flags.writeable = False
    return frozen
