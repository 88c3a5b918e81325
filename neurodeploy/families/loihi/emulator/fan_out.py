"""Count the weights other than 0 that a spike of each source delivers; weights of 0 may be stored, and do nothing."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.synapses import Shape, as_map

Ints = NDArray[np.int64]


def fan_outs(projection: CodedProjection, shape: Shape) -> Ints:
    """Return for each source the number of its weights other than 0, int64 (n_in,) in C order over ``shape``."""
    if projection.is_conv:
        return _of_convolution(projection, shape)
    counts = projection.weight != 0
    if projection.indptr is not None:
        sums = np.concatenate([[0], np.cumsum(counts)])
        return np.asarray(sums[projection.indptr[1:]] - sums[projection.indptr[:-1]], np.int64)
    return np.asarray(counts.sum(axis=0), np.int64)


def _of_convolution(projection: CodedProjection, shape: Shape) -> Ints:
    conv, shape = projection.conv(), as_map(shape)
    n_out, per_group, *kernel = projection.weight.shape
    of_groups = projection.weight.reshape(conv.groups, n_out // conv.groups, per_group, *kernel) != 0
    of_channels = of_groups.sum(axis=1).reshape(shape[0], *kernel)
    _, out_height, out_width = conv.output_shape(shape)
    counts: NDArray[Any] = np.zeros(shape, np.int64)
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            y = np.arange(out_height) * conv.stride[0] - conv.padding[0] + row * conv.dilation[0]
            x = np.arange(out_width) * conv.stride[1] - conv.padding[1] + column * conv.dilation[1]
            y, x = y[(y >= 0) & (y < shape[1])], x[(x >= 0) & (x < shape[2])]
            counts[:, y[:, np.newaxis], x] += of_channels[:, row, column, np.newaxis, np.newaxis]
    return counts.reshape(prod(shape))
