"""Parse the option ``--dialect``: a name, keys for all neurons or for one, and edges that take a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.files import existing_file
from neurodeploy.importers.dialects import BY_NEURON, KEYS, NEURONS
from neurodeploy.importers.losses import CALLED, LOSSES
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import Edge

ANSWERS = (*KEYS, *sorted({CALLED.key, *(loss.key for losses in LOSSES.values() for loss in losses)} - set(KEYS)))
"""The keys that can be said: those of settings, and those by which one says what an exporter may have dropped."""

_EDGE = "edge:"


@dataclass(frozen=True, slots=True)
class UserOptions:
    """What the option says: a name or None, keys for the graph, keys by node, and the default for the rest."""

    name: str | None
    graph: dict[str, Any]
    nodes: dict[str, dict[str, Any]]
    delayed: tuple[Edge, ...] = ()
    rest_is_default: bool = False

    def keys(self, node: str) -> dict[str, Any]:
        """Return what is said for a node."""
        return {**self.graph, **self.nodes.get(node, {})}


def parse_option(option: str | None, graph: NirGraph) -> UserOptions:
    """Return what ``NAME[,key=value]...[,NODE:key=value]...`` says; the name may be left out.

    Raises:
        DeployError: an item is not of that form, or names a neuron or key that there is not.
    """
    neurons = [name for name, node in graph.nodes.items() if node.kind in NEURONS]
    if option is None:
        return UserOptions(None, {}, {})
    name, *items = [part.strip() for part in option.split(",")]
    if "=" in name:
        name, items = "", [name, *items]
    of_graph: dict[str, Any] = {}
    of_node: dict[str, dict[str, Any]] = {}
    delayed: list[Edge] = []
    for item in items:
        left, equals, value = item.rpartition("=") if item.startswith(_EDGE) else item.partition("=")
        if not equals:
            raise DeployError(
                f"{item!r} is not of the form key=value", where="--dialect", fix="Write NAME,key=value,NODE:key=value."
            )
        if left.startswith(_EDGE):
            delayed.append(_edge(left.removeprefix(_EDGE), value, neurons))
            continue
        node, colon, key = left.rpartition(":")
        if colon:
            _check_neuron(node, neurons)
        if key not in ANSWERS and key != "rest":
            raise DeployError(f"no dialect has a key {key!r}", where="--dialect", fix=f"Choose from {known(ANSWERS)}.")
        (of_node.setdefault(node, {}) if colon else of_graph)[key] = _from_file(key, value)
    rest = of_graph.pop("rest", None)
    if rest not in (None, "default"):
        raise DeployError(f"rest cannot be {rest!r}", where="--dialect", fix="Write rest=default, or leave it out.")
    return UserOptions(name or None, of_graph, of_node, tuple(delayed), rest is not None)


def _check_neuron(name: str, neurons: list[str]) -> None:
    if name not in neurons:
        raise DeployError(
            f"there is no neuron {name!r}", where="--dialect", fix=f"Choose from the neurons {known(neurons)}."
        )


def _edge(text: str, value: str, neurons: list[str]) -> Edge:
    """Return the pair of populations of ``A->B``."""
    source, arrow, target = (part.strip() for part in text.partition("->"))
    if not arrow or value != "delayed":
        raise DeployError(f"{text}={value} does not name an edge", where="--dialect", fix="Write edge:A->B=delayed.")
    _check_neuron(source, neurons)
    _check_neuron(target, neurons)
    return source, target


def _from_file(key: str, value: str) -> Any:
    """Return a value, or the numbers of the file that ``@FILE.npy`` names."""
    if not value.startswith("@"):
        return value
    path = existing_file(value[1:], "values of a dialect's key")
    if key not in BY_NEURON:
        raise DeployError(
            f"{key} has one value for all neurons of a node, and the file holds several",
            where=str(path),
            fix="Give one value.",
        )
    try:
        numbers = np.load(path, allow_pickle=False)
        return numbers.tolist()
    except (ValueError, OSError, EOFError, AttributeError) as error:
        raise DeployError(
            "this is not a .npy file of numbers", where=str(path), fix="Write one value per neuron with numpy.save."
        ) from error
