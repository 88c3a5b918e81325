"""Synapses from a neuron's spikes back to itself, as NIR nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from neurodeploy.errors import DeployError
from neurodeploy.exporters.nir_nodes import module_node
from neurodeploy.ir.synapses import Shape

_PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""Layers that change nothing in eval mode."""


def recurrent_nodes(name: str, module: Any, shape: Shape) -> list[Any]:
    """Return the NIR nodes of a module that neurons of ``shape`` feed back through, in order.

    Args:
        name: of the neurons. module: that feeds back. shape: of the neurons.

    Raises:
        DeployError: it is neither linear nor convolutional, or does not fit the shape.
    """
    nodes = []
    for layer in _layers(module):
        axes = 1 if isinstance(layer, nn.Linear) else 3 if isinstance(layer, nn.Conv2d) else None
        if axes != len(shape):
            raise DeployError(
                f"recurrence by {type(layer).__name__} over features of shape {list(shape)} is not supported",
                where=name,
                fix="Use nn.Linear over one axis (flatten before the neurons), or nn.Conv2d over channels and images.",
            )
        nodes.append(module_node(name, layer, shape))
    return nodes


def late_bias(name: str, module: Any, shape: Shape) -> NDArray[np.float64]:
    """Return the bias of a recurrence whose first step gives nothing, not even its bias; zeros if it has none.

    Args:
        name: of the neurons. module: that feeds back. shape: of the neurons, which the bias has, float64.

    Raises:
        DeployError: a layer other than the last has a bias.
    """
    biases = [getattr(layer, "bias", None) for layer in _layers(module)]
    if any(bias is not None for bias in biases[:-1]):
        raise DeployError(
            "several layers of the recurrence have a bias", where=name, fix="Use bias=False in all but the last."
        )
    if not biases or biases[-1] is None:
        return np.zeros(shape)
    bias = biases[-1].detach().numpy().astype(np.float64)
    return np.array(np.broadcast_to(bias.reshape(-1, *[1] * (len(shape) - 1)), shape))


def _layers(module: Any) -> list[Any]:
    layers = list(module) if isinstance(module, nn.Sequential) else [module]
    return [layer for layer in layers if not isinstance(layer, _PASSING)]
