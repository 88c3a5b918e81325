"""Operations as NIR nodes."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.exporters.layers import Maximum, Operation, Total, layer_step
from neurodeploy.exporters.parameters import compact, rules_metadata
from neurodeploy.files import to_json
from neurodeploy.importers.metadata import METADATA_KEY
from neurodeploy.ir.synapses import Conv1d, Conv2d, Flatten, Linear, Pool2d, Scale, Shape, Sparse


def layer_node(name: str, op: Operation, entering: Shape) -> Any:
    """Return the NIR node of a linear operation on features of a shape.

    Args:
        name: of the node, for messages. op: the operation. entering: shape of what enters.
    """
    match op:
        case Linear():
            weight = np.array(op.weight)
            return nir.Linear(weight) if op.bias is None else nir.Affine(weight, np.array(op.bias))
        case Sparse():
            weight = op.weight.toarray()
            said = {METADATA_KEY: to_json({"shape": list(op.output_shape(entering))})}
            if op.bias is None:
                return nir.Linear(weight, metadata=said)
            return nir.Affine(weight, np.array(op.bias), metadata=said)
        case Conv1d():
            return nir.Conv1d(
                entering[1], np.array(op.weight), op.stride, op.padding, op.dilation, op.groups, _bias(op)
            )
        case Conv2d():
            return nir.Conv2d(
                (entering[1], entering[2]),
                np.array(op.weight),
                op.stride,
                op.padding,
                op.dilation,
                op.groups,
                _bias(op),
            )
        case Pool2d():
            kind = nir.AvgPool2d if op.mean else nir.SumPool2d
            return kind(np.array(op.kernel), np.array(op.stride), np.array(op.padding))
        case Flatten():
            return nir.Flatten({"input": np.array(entering)}, start_dim=op.start, end_dim=op.end)
        case Scale():
            return nir.Scale(np.array(np.broadcast_to(op.scale, entering)))
    raise DeployError(
        f"NIR has no node for {type(op).__name__}", where=name, fix="This is a limit of the exporter; please report it."
    )


def integrator(op: Total, dt: float) -> Any:
    """Return the NIR node of a sum over time, ``v = v + x``, that starts from values of its own."""
    rules = {"reset": "none", "gain": "euler", "v_init": compact(op.start)}
    return nir.I(r=np.full(op.start.shape, 1.0 / dt), metadata=rules_metadata(rules))


def module_node(name: str, module: Any, entering: Shape) -> Any:
    """Return the NIR node of a torch layer that neurons hold, such as that of their own recurrence.

    Args:
        name: of the neurons. module: the layer. entering: shape of what enters.

    Raises:
        DeployError: it is of another kind, or pads other than with zeros.
    """
    kinds = {"Linear": "linear", "Conv1d": "conv1d", "Conv2d": "conv2d"}
    kind = next((kinds[cls.__name__] for cls in type(module).__mro__ if cls.__name__ in kinds), None)
    if kind is None or getattr(module, "padding_mode", "zeros") != "zeros":
        raise DeployError(
            f"{type(module).__name__} is not supported in a loop",
            where=name,
            fix="Use nn.Linear or nn.Conv2d, padded with zeros.",
        )
    options = ("weight", "bias", "stride", "padding", "dilation", "groups")
    given = {key: getattr(module, key) for key in options if hasattr(module, key)}
    return layer_node(name, layer_step(kind, given, entering).ops[0], entering)


def maximum_of_spikes(name: str, op: Maximum, entering: Shape) -> tuple[Any, Any]:
    """Return the largest of spikes, which is their OR, as a sum and neurons that any of them makes fire.

    Args:
        name: of the node. op: the maximum. entering: shape of what enters.
    """
    total = layer_node(name, op.sum_of(entering[0]), entering)
    return total, nir.Threshold(np.full(op.output_shape(entering), 0.5))


def maximum_of_values(name: str, op: Maximum) -> Any:
    """Return the largest of values, for which NIR has no node, as a pool that our metadata says is one of maxima."""
    if len(op.kernel) != 2:
        raise DeployError(
            "max_pool1d() is supported on spikes only, and these values are not spikes",
            where=name,
            fix="Pool after the neurons, or use avg_pool1d() and train further.",
        )
    node = nir.AvgPool2d(np.array(op.kernel), np.array(op.stride), np.array(op.padding))
    node.metadata = {METADATA_KEY: to_json({"pool": "max"})}
    return node


def _bias(op: Conv1d | Conv2d) -> Any:
    return np.zeros(op.weight.shape[0], np.float32) if op.bias is None else np.array(op.bias)
