"""Resolve the dialect of each neuron of a graph: option, node metadata, graph metadata, detection, in this order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.importers.detect import Candidate, detect
from neurodeploy.importers.dialects import DIALECTS, FIRING, KEYS, NEURONS, OF_KIND, Settings
from neurodeploy.importers.loops import is_recurrent
from neurodeploy.importers.losses import TIME_STEPS, proven_time_step, read_time_step
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import Edge
from neurodeploy.importers.notes import contradictions, reading_notes, time_step_notes
from neurodeploy.importers.questions import Questions
from neurodeploy.importers.setting_values import set_keys
from neurodeploy.importers.user_options import UserOptions, parse_option


@dataclass(frozen=True, slots=True)
class Dialect:
    """The settled reading of a graph.

    name: of the dialect. settings: by neuron node. evidence: sentences that say what was chosen and why.
    delayed: pairs of populations whose edges take a step.
    """

    name: str
    settings: dict[str, Settings]
    evidence: tuple[str, ...]
    delayed: tuple[Edge, ...] = ()


def resolve_dialect(graph: NirGraph, option: str | None = None) -> Dialect:
    """Decide how every neuron of a graph is read.

    Args:
        graph: the graph.
        option: ``NAME[,key=value]...[,NODE:key=value]...`` as on the command line, or None; ``key=@FILE.npy`` gives one
            value a neuron, ``edge:A->B=delayed`` says which edge of a loop takes a step, ``rest=default`` takes the
            framework's own defaults for all that its exporter drops and nobody says.

    Raises:
        DeployError: nobody says which dialect it is, several are possible, what the file cannot know is not said, or
            what is said contradicts the file or cannot be computed with.
    """
    neurons = [name for name, node in graph.nodes.items() if node.kind in NEURONS]
    said = parse_option(option, graph)
    name, evidence = _name(graph, said)
    base = _with_time_step(DIALECTS[name], name, graph)
    questions = Questions(graph, name, said)
    if not _is_complete(graph):
        questions.open_layers()
    settings: dict[str, Settings] = {}
    for node in neurons:
        rules, notes = _settled(graph, name, node, base, said)
        evidence += notes
        settings[node] = _complete(_answered(rules, graph, node, questions), graph, node)
    questions.ask()
    evidence += questions.assumed()
    evidence += [f"{key}: {value} (--dialect)" for key, value in said.graph.items()]
    evidence += [f"{n}: {key} = {value} (--dialect)" for n, keys in said.nodes.items() for key, value in keys.items()]
    evidence += reading_notes(graph, name, settings)
    return Dialect(name, settings, tuple(evidence), (*_written_delays(graph, neurons), *said.delayed))


def _settled(graph: NirGraph, name: str, node: str, base: Settings, said: UserOptions) -> tuple[Settings, list[str]]:
    """Return what is said of a neuron, each layer over those before it, and notes where they contradict each other.

    They are what the dialect has for all neurons and for those of its type, what the file says of all and of this one,
    and what the user says of all and of this one.
    """
    of_node = graph.nodes[node]
    written = {**graph.metadata.get("rules", {}), **of_node.metadata.get("rules", {})}
    told = said.keys(node)
    layers = (
        (OF_KIND.get((name, of_node.kind), {}), name),
        (written, f"{graph.where}, node {node!r}"),
        ({key: value for key, value in told.items() if key in KEYS}, "--dialect"),
    )
    rules = base
    for layer, where in layers:
        rules = set_keys(rules, layer, where)
    notes = contradictions(node, written, told)
    if not _is_complete(graph):
        notes += time_step_notes(graph, node, name, told)
        if rules.dt is None:  # populations differ in it, which lowering refuses
            rules = replace(rules, dt=proven_time_step(name, of_node))
    return rules, notes


def _answered(rules: Settings, graph: NirGraph, node: str, questions: Questions) -> Settings:
    """Return a neuron's rules with what is assumed where nobody said it; what is still open is asked for."""
    kind = graph.nodes[node].kind
    if not _is_complete(graph):
        rules = questions.open_neuron(node, rules)
    if kind not in FIRING or kind == "Threshold":
        rules = replace(rules, reset="none")
    questions.open_needed(node, rules)
    return rules


def _is_complete(graph: NirGraph) -> bool:
    """Tell whether the file itself says how it is read."""
    return "dialect" in graph.metadata


def _written_delays(graph: NirGraph, neurons: list[str]) -> list[Edge]:
    """Return the pairs of populations whose edges take a step, as the file's metadata say."""
    pairs = graph.metadata.get("delayed_edges", [])
    if not all(len(pair) == 2 and set(pair) <= set(neurons) for pair in pairs):
        raise DeployError(
            f"the metadata's delayed_edges are {pairs!r}, which are not pairs of names of neurons",
            where=graph.where,
            fix="Write each delayed edge as [SOURCE, TARGET].",
        )
    return [(source, target) for source, target in pairs]


def _with_time_step(base: Settings, name: str, graph: NirGraph) -> Settings:
    """Return settings with the dt that the parameters reveal; without one where they should and do not."""
    neurons = [node for node in graph.nodes.values() if node.kind in NEURONS]
    if "dt" in graph.metadata:
        return set_keys(base, {"dt": graph.metadata["dt"]}, graph.where)
    if name not in TIME_STEPS:
        return base
    dt = read_time_step(name, neurons)
    if dt is None and not any(np.isfinite(node.membrane_tau).any() for node in neurons):
        return base
    return replace(base, dt=dt)


def _name(graph: NirGraph, said: UserOptions) -> tuple[str, list[str]]:
    """Return the dialect's name, and why it is that one."""
    written = graph.metadata.get("dialect")
    name = said.name or written
    if name is not None and name not in DIALECTS:
        raise DeployError(f"no dialect is called {name!r}", where=graph.where, fix=f"Choose one of {known(DIALECTS)}.")
    if written is not None:
        if name != written:
            raise DeployError(
                f"--dialect says {name}, but the file itself says {written}",
                where="--dialect",
                fix=f"Leave the name out and give only the keys that you want to change, or say {written}.",
            )
        exporter = graph.metadata.get("exporter", "its exporter")
        return written, [f"dialect {written}: written in the file by {exporter}"]
    if said.name is not None:
        return said.name, [f"dialect {said.name}: given by --dialect"]
    candidates = detect(graph)
    certain = [candidate for candidate in candidates if candidate.is_certain]
    if len(certain) != 1:
        raise _unknown(graph, candidates)
    (candidate,) = certain
    return candidate.name, [f"dialect {candidate.name}: {candidate.evidence}"]


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


def _unknown(graph: NirGraph, candidates: tuple[Candidate, ...]) -> DeployError:
    """Return the question to ask where several frameworks, or none, can have exported the graph."""
    readings = " ".join(f"It can be {candidate.name}: {candidate.evidence}." for candidate in candidates)
    names = [candidate.name for candidate in candidates] or list(DIALECTS)[:-1]
    return DeployError(
        "the file does not say which framework trained the model, and NIR stores neither time step nor reset rule."
        + (f" {readings}" if readings else " No exporter that is known writes such parameters."),
        where=graph.where,
        fix=f"Say it: --dialect with one of {', '.join(names)}; or nir,dt=1e-4 (with your time step) for a graph that"
        " follows NIR's own equations.",
    )


_EDGE = "edge:"
