"""The float weights of a network, flat, and networks with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.network import Network
from neurodeploy.ir.synapses import Conv1d, Conv2d, Linear, Sparse

Floats = NDArray[np.float64]
Weighted = Linear | Sparse | Conv1d | Conv2d


def with_values(network: Network, weights: Mapping[str, Floats], biases: Mapping[str, Floats] | None = None) -> Network:
    """Return a network with other weights and biases.

    Args:
        network: whose operations have names.
        weights: flat, by name of their node.
        biases: the same, or None.
    """
    biases = biases or {}

    def changed(op: Any) -> Any:
        name = getattr(op, "name", "")
        if name in weights:
            op = replace(op, weight=with_weights(op, weights[name]))
        if name in biases and op.bias is not None:
            op = replace(op, bias=biases[name])
        return op

    projections = tuple(replace(p, ops=tuple(changed(op) for op in p.ops)) for p in network.projections)
    return replace(network, projections=projections)


def flat_weights(op: Weighted) -> Any:
    """Return an operation's weights, flat."""
    return op.weight.data if isinstance(op, Sparse) else op.weight.ravel()


def with_weights(op: Weighted, values: Floats) -> Any:
    """Return an operation's weight with other values."""
    if not isinstance(op, Sparse):
        return values.reshape(op.weight.shape).astype(np.float32)
    from scipy.sparse import csc_array

    return csc_array((values.astype(np.float32), op.weight.indices, op.weight.indptr), shape=op.weight.shape)
