"""A node of a NIR graph: its parameters and metadata as its file has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known
from neurodeploy.importers.metadata import read_metadata
from neurodeploy.importers.node_checks import check_parameters
from neurodeploy.importers.texts import as_text, is_text
from neurodeploy.ir.recording import RESERVED_NAMES

Edge = tuple[str, str]
"""A source and a target, by name."""

PARAMETERS = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Conv1d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "Conv2d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("start_dim", "end_dim"),
    "Delay": ("delay",),
    "Threshold": ("threshold",),
    "I": ("r",),
    "LI": ("tau", "r", "v_leak"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak"),
    "IF": ("r", "v_threshold"),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
}
"""The node types that are read, and the parameters without which they mean nothing."""


@dataclass(frozen=True, eq=False, slots=True)
class NirNode:
    """One node of a NIR graph.

    kind: NIR's type, for instance ``LIF``. params: by NIR's names, as stored. metadata: ours, decoded from JSON.
    foreign: metadata of others, as stored.
    """

    kind: str
    params: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    foreign: dict[str, Any] = field(default_factory=dict)

    @property
    def membrane_tau(self) -> NDArray[np.float64]:
        """Membrane time constants as the file has them, float64, one axis at least; infinity where it has none."""
        return self.numbers("tau_mem" if "tau_mem" in self.params else "tau", np.inf)

    def numbers(self, key: str, default: float = 0.0) -> NDArray[np.float64]:
        """Return a parameter as float64, one axis at least; ``default`` where the file does not have it."""
        value = self.params.get(key)
        return np.atleast_1d(np.asarray(default if value is None else value, dtype=np.float64))


def read_node(name: str, content: Any, where: str) -> NirNode:
    """Return a node as its file has it.

    Args:
        name: of the node.
        content: its group: type, parameters and metadata.
        where: the file, for messages.

    Raises:
        DeployError: the name cannot be used, the type is not supported, or a parameter is missing or none that can be
            computed with.
    """
    place = f"{where}, node {name!r}"
    kind = _kind(name, content, where, place)
    if kind == "Input" or kind == "Output":
        content = {**content, "shape": _port_shape(content, kind)}
    params = {key: value for key, value in content.items() if key not in ("type", "metadata")}
    for key in PARAMETERS[kind]:
        if params.get(key) is None:
            raise DeployError(f"{kind} {name!r} has no {key}", where=place, fix="Export the model again.")
    check_parameters(kind, name, params, place)
    return NirNode(kind, params, *read_metadata(content, place))


def _kind(name: str, content: Any, where: str, place: str) -> str:
    """Return a node's type, which is supported."""
    if "/" in name or not name.isprintable() or name in RESERVED_NAMES:
        raise DeployError(
            f"a node cannot be called {name!r}",
            where=where,
            fix=f"Rename it, without '/' and not {known(RESERVED_NAMES)}.",
        )
    if not isinstance(content, dict) or not is_text(content.get("type")):
        raise DeployError("the node has no type", where=place, fix="Export the model again.")
    kind = as_text(content["type"])
    if kind not in PARAMETERS:
        raise DeployError(
            f"node {name!r} is a {kind}, which is not supported",
            where=place,
            fix=f"Use the supported nodes: {known(PARAMETERS)}.",
        )
    return kind


def _port_shape(content: dict[str, Any], kind: str) -> Any:
    if "shape" in content:
        return content["shape"]
    port = kind.lower()
    of_kind = content.get(f"{port}_type")
    return of_kind.get(port) if isinstance(of_kind, dict) else None
