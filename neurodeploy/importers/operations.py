"""Linear NIR nodes as operations between populations."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csc_array

from neurodeploy.errors import DeployError
from neurodeploy.importers.node import NirNode
from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Pool2d, Scale, Shape, Sparse, SynapseOp


class UnevenError(ValueError):
    """Padding by name that is not the same on both sides."""


def operation(node: NirNode, place: str, name: str = "") -> SynapseOp:
    """Return a linear node as an operation that knows the node's name, where it has weights.

    Our metadata of a matrix says the shape of what leaves it, where that has several axes.

    Args:
        node: to read. place: the node, for messages. name: of the node.

    Raises:
        DeployError: its parameters do not make one, or nodes of its kind are none.
    """
    params = node.params
    try:
        match node.kind:
            case "Affine" | "Linear":
                return _matrix(node, name)
            case "Conv2d":
                kernel = np.shape(params["weight"])[2:]
                stride, dilation = _pair(params["stride"]), _pair(params["dilation"])
                padding = _padding(params["padding"], kernel, stride, dilation)
                return Conv2d(params["weight"], params["bias"], stride, padding, dilation, int(params["groups"]), name)
            case "Conv1d":
                return _conv1d(params, name)
            case "SumPool2d" | "AvgPool2d":
                kernel, stride, padding = (_pair(params[key]) for key in ("kernel_size", "stride", "padding"))
                if node.metadata.get("pool") == "max":
                    return MaxPool2d(kernel, stride, padding)
                return Pool2d(kernel, stride, padding, mean=node.kind == "AvgPool2d")
            case "Flatten":
                return Flatten(int(params["start_dim"]), int(params["end_dim"]))
            case "Scale":
                return Scale(params["scale"])
    except UnevenError as error:
        raise DeployError(
            f"{node.kind} cannot be read: {error}",
            where=place,
            fix="Write the padding in numbers; for an even kernel, first add zeros before its weights.",
        ) from error
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise DeployError(f"{node.kind} cannot be read: {error}", where=place, fix="Export the model again.") from error
    raise DeployError(
        f"a {node.kind} cannot stand before a neuron",
        where=place,
        fix="Remove the node, or connect it so that it does not lead to a neuron.",
    )


def _matrix(node: NirNode, name: str) -> Linear | Sparse:
    weight, bias = node.params["weight"], node.params.get("bias")
    shape = node.metadata.get("shape")
    if shape is None:
        return Linear(weight, bias, name)
    if not isinstance(shape, list) or not shape or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"its metadata says that its output has shape {shape!r}, which is not a shape")
    return Sparse(csc_array(np.asarray(weight)), bias, name, tuple(shape))


def _conv1d(params: dict[str, Any], name: str) -> Conv1d:
    stride, dilation, groups = (int(np.asarray(params[key]).ravel()[0]) for key in ("stride", "dilation", "groups"))
    kernel = (1, *np.shape(params["weight"])[2:])
    text = isinstance(params["padding"], (str, bytes))
    if text:
        padding = _padding(params["padding"], kernel, (1, stride), (1, dilation))[1]
    else:
        padding = int(np.asarray(params["padding"]).ravel()[0])
    return Conv1d(params["weight"], params["bias"], stride, padding, dilation, groups, name)


def _pair(value: Any) -> tuple[int, int]:
    numbers = np.broadcast_to(np.asarray(value, dtype=np.int64), (2,))
    return int(numbers[0]), int(numbers[1])


def _padding(value: Any, kernel: Shape, stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Return padding as a pair; ``same`` is taken where it is symmetric."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str) and value == "valid":
        return 0, 0
    if isinstance(value, str):
        extents = [dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
        if value != "same" or stride != (1, 1) or any(extent % 2 for extent in extents):
            why = "pads one side more" if any(extent % 2 for extent in extents) else "is for strides of 1"
            raise UnevenError(f"padding {value!r} with kernel {tuple(kernel)} and stride {stride} {why}")
        return extents[0] // 2, extents[1] // 2
    return _pair(value)
