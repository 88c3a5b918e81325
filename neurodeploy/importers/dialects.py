"""What each training framework computes where NIR is silent, as data, and how a graph's dialect is settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.importers.nir_graph import NirGraph, NirNode

NEURONS = ("IF", "LIF", "CubaLIF")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one neuron node is read; None stands for what the file cannot know and nobody said.

    dt: seconds per step. decay: ``euler`` (1 - dt / tau, in [0, 1]) or ``exp`` (exp(-dt / tau)).
    gain: ``unit`` (inputs reach the state as they are) or ``euler`` (scaled by r * dt / tau).
    spike, reset, reset_delay, reset_drops_input: see :class:`neurodeploy.rule.NeuronRule`.
    v_reset, v_init, bias: V, or None for what the file says (v_init: 0).
    """

    dt: float | None = None
    decay: str = "euler"
    gain: str = "euler"
    spike: str = ">"
    reset: str | None = None
    reset_delay: bool = False
    reset_drops_input: bool | None = None
    v_reset: float | None = None
    v_init: float | None = None
    bias: float | None = None


DIALECTS = {
    "snntorch": Settings(dt=1e-4, gain="unit", reset_delay=True),
    "nir": Settings(reset="value", reset_drops_input=False),
}
"""Settings of each dialect. Source: snnTorch 1.0.0 ``snntorch/export_nir.py`` and ``_neurons``; NIR: forward Euler on
the equations."""

CHOICES = {
    "decay": ("euler", "exp"),
    "gain": ("unit", "euler"),
    "spike": (">", ">="),
    "reset": ("subtract", "value", "none", "zero"),
}
KEYS = tuple(field.name for field in fields(Settings))
LATER_KEYS = ("max_spikes", "min_v_mem", "norm_input", "order", "output_delay")
LATER_DIALECTS = ("norse", "sinabs", "rockpool", "spikingjelly", "spyx")


@dataclass(frozen=True, slots=True)
class Dialect:
    """The settled reading of a graph.

    name: of the dialect. settings: by neuron node. evidence: sentences that say what was chosen and why.
    """

    name: str
    settings: dict[str, Settings]
    evidence: tuple[str, ...]


def settle_dialect(graph: NirGraph, option: str | None = None) -> Dialect:
    """Decide how every neuron of a graph is read: option, node metadata, graph metadata, in this order.

    Args:
        graph: the graph.
        option: ``NAME[,key=value]...[,NODE:key=value]...`` as on the command line, or None.

    Raises:
        DeployError: nobody says which dialect it is, or what the file cannot know (a reset rule, a time step).
    """
    neurons = {name: node for name, node in graph.nodes.items() if node.kind in NEURONS}
    name, of_graph, of_node = _parse_option(option, neurons)
    evidence = []
    if name is not None:
        evidence.append(f"dialect {name}: given by --dialect")
    elif "dialect" in graph.metadata:
        name = str(graph.metadata["dialect"])
        evidence.append(f"dialect {name}: written in the file by {graph.metadata.get('exporter', 'its exporter')}")
    else:
        raise _unknown_dialect(graph, neurons)
    _check_name(name, graph.where)
    base = DIALECTS[name]
    if "dt" in graph.metadata:
        base = replace(base, dt=float(graph.metadata["dt"]))
    base = _apply(base, graph.metadata.get("rules", {}), graph.where)
    settings = {}
    for node_name, node in neurons.items():
        place = f"{graph.where}, node {node_name!r}"
        rules = _apply(base, node.metadata.get("rules", {}), place)
        rules = _apply(_apply(rules, of_graph, "--dialect"), of_node.get(node_name, {}), "--dialect")
        settings[node_name] = _complete(rules, graph, node_name, name)
    evidence += [f"{key}: {value} (--dialect)" for key, value in of_graph.items()]
    evidence += [
        f"{node}: {key} = {value} (--dialect)" for node, said in of_node.items() for key, value in said.items()
    ]
    return Dialect(name, settings, tuple(evidence))


def is_recurrent(graph: NirGraph, name: str) -> bool:
    """Tell whether a neuron's spikes come back to itself through synapses alone."""
    seen: set[str] = set()
    frontier = [name]
    while frontier:
        for source in graph.sources(frontier.pop()):
            if source == name:
                return True
            if source not in seen and graph.nodes[source].kind not in NEURONS:
                seen.add(source)
                frontier.append(source)
    return False


def _complete(settings: Settings, graph: NirGraph, node: str, dialect: str) -> Settings:
    """Return settings without gaps, or ask for what is missing."""
    missing = {"reset": settings.reset, "dt": settings.dt}
    asked = [key for key, value in missing.items() if value is None]
    if asked:
        example = {"reset": "reset=zero", "dt": "dt=1e-4"}
        raise DeployError(
            f"node {node!r} is read as {dialect}, and the file does not say its {' and '.join(asked)}",
            where=graph.where,
            fix=f"Say it: --dialect {dialect},{','.join(example[key] for key in asked)} (reset is subtract,"
            " zero, value or none).",
        )
    if settings.reset_drops_input is None:
        # snnTorch 1.0.0: Leaky keeps the input of the step in which a late reset acts; Synaptic, RLeaky and RSynaptic
        # lose it.
        stateful = graph.nodes[node].kind == "CubaLIF" or is_recurrent(graph, node)
        drops = settings.reset == "value" and settings.reset_delay and stateful
        settings = replace(settings, reset_drops_input=drops)
    return settings


def _parse_option(
    option: str | None, neurons: Iterable[str]
) -> tuple[str | None, dict[str, Any], dict[str, dict[str, Any]]]:
    """Return name, overrides for the graph and overrides by node."""
    if option is None:
        return None, {}, {}
    name, *items = [part.strip() for part in option.split(",")]
    if "=" in name:
        name, items = "", [name, *items]
    of_graph: dict[str, Any] = {}
    of_node: dict[str, dict[str, Any]] = {}
    for item in items:
        left, equals, value = item.partition("=")
        if not equals:
            raise DeployError(
                f"{item!r} is no key=value", where="--dialect", fix="Write NAME,key=value,NODE:key=value."
            )
        node, colon, key = left.rpartition(":")
        if colon and node not in set(neurons):
            raise DeployError(f"there is no neuron {node!r}", where="--dialect", fix=f"Neurons are {known(neurons)}.")
        (of_node.setdefault(node, {}) if colon else of_graph)[key] = value
    return name or None, of_graph, of_node


def _apply(settings: Settings, said: dict[str, Any], where: str) -> Settings:
    """Return settings with what is said on top; text and decoded values are both taken."""
    for key, value in said.items():
        if key in LATER_KEYS:
            raise DeployError(f"key {key!r} is not supported yet", where=where, fix=f"Supported are {known(KEYS)}.")
        if key not in KEYS:
            raise DeployError(f"no dialect has a key {key!r}", where=where, fix=f"Keys are {known(KEYS)}.")
        parsed = _value(key, value, where)
        if key == "reset" and parsed == "zero":
            settings = replace(settings, reset="value", v_reset=0.0)
        else:
            settings = replace(settings, **{key: parsed})
    return settings


def _value(key: str, value: Any, where: str) -> Any:
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise DeployError(f"{key} cannot be {value!r}", where=where, fix=f"It is one of {known(CHOICES[key])}.")
        return value
    if key in ("reset_delay", "reset_drops_input"):
        truth = {"true": True, "false": False}.get(str(value).lower())
        if truth is None:
            raise DeployError(f"{key} cannot be {value!r}", where=where, fix="It is true or false.")
        return truth
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or (key == "dt" and number <= 0):
        raise DeployError(
            f"{key} cannot be {value!r}", where=where, fix="It is a finite number; dt is above 0, in seconds."
        )
    return number


def _check_name(name: str, where: str) -> None:
    if name in LATER_DIALECTS:
        raise DeployError(f"dialect {name} is not supported yet", where=where, fix=f"Supported are {known(DIALECTS)}.")
    if name not in DIALECTS:
        raise DeployError(f"no dialect is called {name!r}", where=where, fix=f"Dialects are {known(DIALECTS)}.")


def _unknown_dialect(graph: NirGraph, neurons: dict[str, NirNode]) -> DeployError:
    """Return the question to ask, with what the parameters hint at."""
    hint = ""
    if neurons and all(_has_unit_gain(node) for node in neurons.values()):
        hint = (
            " Every neuron has r = tau / 1e-4 s: as snnTorch's exporter writes it, or SpikingJelly's without"
            " decay_input;"
            " the two differ in spike condition and reset."
        )
    return DeployError(
        "the file does not say which framework trained the model, and NIR knows neither time step nor reset"
        f" rule.{hint}",
        where=graph.where,
        fix="Say it: --dialect snntorch,reset=zero (or reset=subtract), or --dialect nir,dt=1e-4 for forward Euler.",
    )


def _has_unit_gain(node: NirNode) -> bool:
    """Tell whether r = tau / dt with snnTorch's dt of 1e-4 s."""
    if node.kind == "IF":
        return False
    tau = np.asarray(node.params["tau_mem" if node.kind == "CubaLIF" else "tau"], dtype=np.float64)
    r = np.asarray(node.params["r"], dtype=np.float64)
    finite = np.isfinite(tau) & np.isfinite(r)
    return bool(np.allclose(r[finite] * 1e-4, tau[finite], rtol=1e-3))
