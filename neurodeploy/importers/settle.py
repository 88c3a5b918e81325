"""In which dialect each neuron of a graph is read: option, node metadata, graph metadata, detection, in this order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.importers.detect import Candidate, detect, fingerprint
from neurodeploy.importers.dialects import ASSUMED, BY_NEURON, DIALECTS, FIRING, KEYS, LOST, NEURONS, OF_KIND, Settings
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.rule import ADAPT_ORDERS, ADAPTATIONS, ORDERS

CHOICES = {
    "decay": ("euler", "exp"),
    "gain": ("unit", "euler", "norm"),
    "gain_syn": ("unit", "euler"),
    "spike": (">", ">="),
    "reset": ("subtract", "value", "none", "zero"),
    "order": ORDERS,
    "adapts": ADAPTATIONS,
    "adapt_order": ADAPT_ORDERS,
}
TRUTHS = (
    "reset_delay", "reset_drops_input", "reset_before_decay", "reset_pending", "reset_currents", "norm_input",
    "starts_at_leak", "rounds", "signed", "sums_input",
)  # fmt: skip
COUNTS = {"max_spikes": 2**23, "output_delay": 1, "refractory": 4096}
MAY_BE_NONE = ("min_v_mem",)
EXAMPLES = {
    "reset": "subtract",
    "dt": "1e-4",
    "v_reset": "0",
    "max_spikes": "0",
    "min_v_mem": "none",
    "norm_input": "true",
    "bias": "0",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """The settled reading of a graph.

    name: of the dialect. settings: by neuron node. evidence: sentences that say what was chosen and why.
    """

    name: str
    settings: dict[str, Settings]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """What the option says: a name or None, keys for the graph, keys by node."""

    name: str | None
    graph: dict[str, Any]
    nodes: dict[str, dict[str, Any]]

    def keys(self, node: str) -> set[str]:
        """Return the keys that are said for a node."""
        return set(self.graph) | set(self.nodes.get(node, {}))


def settle_dialect(graph: NirGraph, option: str | None = None) -> Dialect:
    """Decide how every neuron of a graph is read.

    Args:
        graph: the graph.
        option: ``NAME[,key=value]...[,NODE:key=value]...`` as on the command line, or None.

    Raises:
        DeployError: nobody says which dialect it is, several are possible, or what the file cannot know is not said.
    """
    neurons = tuple(name for name, node in graph.nodes.items() if node.kind in NEURONS)
    said = _parse_option(option, neurons)
    name, found, evidence, is_guess = _name(graph, said)
    if name not in DIALECTS:
        raise DeployError(f"no dialect is called {name!r}", where=graph.where, fix=f"Dialects are {known(DIALECTS)}.")
    base = replace(DIALECTS[name], **found)
    if "dt" in graph.metadata:
        base = _apply(base, {"dt": graph.metadata["dt"]}, graph.where)
    settings, assumed, asked = {}, {}, {}
    for node_name in neurons:
        node = graph.nodes[node_name]
        place = f"{graph.where}, node {node_name!r}"
        rules = replace(base, **OF_KIND.get((name, node.kind), {}))
        written = {**_rules(graph.metadata, graph.where), **_rules(node.metadata, place)}
        rules = _apply(rules, written, place)
        known_keys = said.keys(node_name) | set(written)
        rules = _apply(_apply(rules, said.graph, "--dialect"), said.nodes.get(node_name, {}), "--dialect")
        lost = [key for key in _lost(name, node.kind) if key not in known_keys and "dialect" not in graph.metadata]
        rules, taken, open_keys = _fill(rules, lost, name, is_guess)
        assumed.update(dict.fromkeys(taken))
        if node.kind not in FIRING or node.kind == "Threshold":
            rules = replace(rules, reset="none")
        open_keys += [key for key in ("reset", "dt") if getattr(rules, key) is None and key not in open_keys]
        asked.update({key: node_name for key in open_keys})
        settings[node_name] = _complete(rules, graph, node_name)
    if asked:
        raise _question(graph, name, list(asked), asked[next(iter(asked))])
    evidence += [f"{key}: {name}'s default is assumed; the file does not say it" for key in assumed]
    evidence += [f"{key}: {value} (--dialect)" for key, value in said.graph.items()]
    evidence += [f"{n}: {key} = {value} (--dialect)" for n, keys in said.nodes.items() for key, value in keys.items()]
    return Dialect(name, settings, tuple(evidence))


def _rules(metadata: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the rules that metadata holds."""
    rules = metadata.get("rules", {})
    if not isinstance(rules, dict):
        raise DeployError(f"the metadata's rules are {rules!r}, no object", where=where, fix="Export the model again.")
    return rules


def _name(graph: NirGraph, said: _Said) -> tuple[str, dict[str, Any], list[str], bool]:
    """Return the dialect's name, what its fingerprint reveals, why, and whether it was detected rather than said."""
    if said.name is not None:
        candidate = fingerprint(graph, said.name)
        seen = [f"its parameters agree: {candidate.evidence}"] if candidate else []
        return (
            said.name,
            candidate.found if candidate else {},
            [f"dialect {said.name}: given by --dialect", *seen],
            False,
        )
    if "dialect" in graph.metadata:
        name = str(graph.metadata["dialect"])
        exporter = graph.metadata.get("exporter", "its exporter")
        return name, {}, [f"dialect {name}: written in the file by {exporter}"], False
    candidates = detect(graph)
    if len(candidates) != 1:
        raise _unknown(graph, candidates)
    (candidate,) = candidates
    return candidate.name, candidate.found, [f"dialect {candidate.name}: {candidate.evidence}"], True


def _lost(name: str, kind: str) -> tuple[str, ...]:
    """Return what the framework's exporter drops of a node of this type."""
    if kind == "Threshold":
        return ()
    if kind not in FIRING:
        return ("norm_input",) if name == "sinabs" else ()
    return tuple(key for key in LOST[name] if key != "norm_input" or kind != "IF")


def _fill(settings: Settings, lost: list[str], name: str, is_guess: bool) -> tuple[Settings, list[str], list[str]]:
    """Return settings, the lost keys that were assumed, and those to ask for."""
    if is_guess:
        return settings, [], lost
    asked = ["reset"] if name == "snntorch" and "reset" in lost else []
    taken = [key for key in lost if key not in asked]
    changes = {
        key: ASSUMED[key] for key in taken if key in ASSUMED and (key != "norm_input" or settings.norm_input is None)
    }
    return replace(settings, **changes), taken, asked


def _complete(settings: Settings, graph: NirGraph, node: str) -> Settings:
    """Return settings with what follows from the rest."""
    if settings.norm_input is not None and graph.nodes[node].kind != "IF":
        settings = replace(settings, gain="norm" if settings.norm_input else "unit")
    if settings.reset_drops_input is None:
        # snnTorch 1.0.0: Leaky keeps the input of the step in which a late reset acts; Synaptic, RLeaky and RSynaptic
        # lose it.
        stateful = graph.nodes[node].kind == "CubaLIF" or is_recurrent(graph, node)
        drops = settings.reset == "value" and settings.reset_delay and stateful
        settings = replace(settings, reset_drops_input=drops)
    return settings


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


def _question(graph: NirGraph, name: str, keys: list[str], node: str) -> DeployError:
    example = ",".join(f"{key}={EXAMPLES[key]}" for key in keys)
    return DeployError(
        f"node {node!r} is read as {name}, and the file does not say its {' and '.join(keys)}",
        where=graph.where,
        fix=f"Say it, for instance --dialect {name},{example} (reset is subtract, zero, value or none).",
    )


def _unknown(graph: NirGraph, candidates: tuple[Candidate, ...]) -> DeployError:
    """Return the question to ask where several frameworks, or none, can have exported the graph."""
    readings = " ".join(f"It can be {candidate.name}: {candidate.evidence}." for candidate in candidates)
    names = [candidate.name for candidate in candidates] or ["nir,dt=1e-4", *list(DIALECTS)[:-1]]
    return DeployError(
        "the file does not say which framework trained the model, and NIR knows neither time step nor reset rule."
        + (f" {readings}" if readings else " Its parameters are those of no exporter that is known."),
        where=graph.where,
        fix=f"Say it: --dialect with one of {', '.join(names)}.",
    )


def _parse_option(option: str | None, neurons: Iterable[str]) -> _Said:
    if option is None:
        return _Said(None, {}, {})
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
    return _Said(name or None, of_graph, of_node)


def _apply(settings: Settings, said: dict[str, Any], where: str) -> Settings:
    """Return settings with what is said on top; text and decoded values are both taken."""
    for key, value in said.items():
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
    if key in TRUTHS:
        truth = {"true": True, "false": False}.get(str(value).lower())
        if truth is None:
            raise DeployError(f"{key} cannot be {value!r}", where=where, fix="It is true or false.")
        return truth
    if key in MAY_BE_NONE and str(value).lower() == "none":
        return None
    if key in BY_NEURON and isinstance(value, (list, tuple)):
        return _by_neuron(key, value, where)
    return _number(key, value, where)


def _number(key: str, value: Any, where: str) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if key in COUNTS:
        if not (0 <= number <= COUNTS[key] and number == int(number)):
            raise DeployError(
                f"{key} cannot be {value!r}", where=where, fix=f"It is a whole number up to {COUNTS[key]}."
            )
        return int(number)
    if not np.isfinite(number) or (key in ("dt", "tau_scale") and number <= 0):
        raise DeployError(
            f"{key} cannot be {value!r}", where=where, fix="It is a finite number; dt is above 0, in seconds."
        )
    return number


def _by_neuron(key: str, value: Any, where: str) -> Any:
    """Return nested lists of numbers as nested tuples."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if not numbers.size or not np.isfinite(numbers).all():
        raise DeployError(f"{key} is no array of finite numbers", where=where, fix="Give one number, or one a neuron.")

    def nested(part: Any) -> Any:
        return tuple(nested(inner) for inner in part) if isinstance(part, list) else part

    return nested(numbers.tolist())
