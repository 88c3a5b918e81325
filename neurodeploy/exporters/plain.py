"""A torch module without neurons as a NIR graph, traced by nirtorch: layers that are read as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.exporters.adapters import PACKAGES
from neurodeploy.exporters.build_graph import layer_node
from neurodeploy.exporters.trace import TracedNode

DEFAULT_DT = 1.0
"""Seconds per step of a network that has no time of its own."""


def is_plain(model: Any) -> bool:
    """Tell whether no module is of a training framework of spiking networks."""
    return not any(
        cls.__module__.partition(".")[0] in PACKAGES
        for _, module in model.named_modules()
        for cls in type(module).__mro__
    )


def plain_graph(model: Any, sample_shape: tuple[int, ...]) -> tuple[dict[str, Any], list[tuple[str, str]], str]:
    """Return nodes, edges and the output node of a module's layers.

    Raises:
        DeployError: nirtorch is missing, a layer is not supported, or values pass through more than layers.
    """
    import nir
    import torch
    from torch import nn

    try:
        from nirtorch import torch_to_nir
    except ImportError as error:
        raise DeployError("nirtorch cannot be imported", where="export", fix="pip install nirtorch") from error
    entering, leaving = _shapes(model, sample_shape)
    paths = {module: path for path, module in model.named_modules()}

    def convert(module: Any) -> Any:
        shape = entering.get(module)
        if shape is None:
            raise DeployError("the layer is never called", where=paths[module], fix="Remove it from the module.")
        return layer_node(paths[module], TracedNode(module, shape, leaving[module]))

    layers = (nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.Flatten)
    try:
        graph = torch_to_nir(model, dict.fromkeys(layers, convert), type_check=False)
    except DeployError:
        raise
    except Exception as error:
        names = ", ".join(layer.__name__ for layer in layers)
        raise DeployError(
            "it has no neuron of a framework that is known, and nirtorch cannot trace it as plain layers"
            f" ({type(error).__name__}: {error})",
            where="the module",
            fix=f"Use neurons of {known(PACKAGES)}; without neurons, {names} are supported.",
        ) from error
    nodes: dict[str, Any] = dict(graph.nodes)
    for name, node in nodes.items():
        if isinstance(node, nir.Input):
            nodes[name] = nir.Input({"input": np.array(sample_shape)})
    last = next(source for source, target in graph.edges if isinstance(nodes[target], nir.Output))
    with torch.no_grad():
        shape = model(torch.zeros(1, *sample_shape)).shape[1:]
    for name, node in nodes.items():
        if isinstance(node, nir.Output):
            nodes[name] = nir.Output({"output": np.array(shape)})
    return dict(sorted(nodes.items())), sorted(set(graph.edges)), last


def _shapes(model: Any, sample_shape: tuple[int, ...]) -> tuple[dict[Any, tuple[int, ...]], dict[Any, tuple[int, ...]]]:
    """Return the shapes that enter and leave each module, without the batch."""
    import torch

    entering: dict[Any, tuple[int, ...]] = {}
    leaving: dict[Any, tuple[int, ...]] = {}

    def note(module: Any, args: tuple[Any, ...], output: Any) -> None:
        if torch.is_tensor(output) and args and torch.is_tensor(args[0]):
            entering[module], leaving[module] = tuple(args[0].shape[1:]), tuple(output.shape[1:])

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with torch.no_grad():
            model(torch.zeros(1, *sample_shape))
    except Exception as error:
        raise DeployError(
            f"the module cannot take {list(sample_shape)}: {type(error).__name__}: {error}".splitlines()[0],
            where="--sample-shape",
            fix="Give the shape of one sample at one step.",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return entering, leaving
