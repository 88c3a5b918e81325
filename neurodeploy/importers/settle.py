"""Resolve the dialect of each neuron of a graph: option, node metadata, graph metadata, detection, in this order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.files import existing_file
from neurodeploy.importers.detect import Candidate, detect, fits, norse_scale
from neurodeploy.importers.dialects import BY_NEURON, DIALECTS, FIRING, KEYS, NEURONS, OF_KIND, Settings, label
from neurodeploy.importers.losses import (
    CALLED,
    LEAKY,
    LOSSES,
    TIME_STEPS,
    UNWRITTEN,
    Loss,
    called_again,
    left_out,
    proven_time_step,
    read_time_step,
)
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import Edge
from neurodeploy.ir.rule import ADAPT_ORDERS, ADAPTATIONS, ORDERS

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
    "starts_at_leak", "starts_at_reset", "rounds", "signed", "sums_input",
)  # fmt: skip
COUNTS = {"max_spikes": 2**23, "output_delay": 1, "refractory": 4096}
MAY_BE_NONE = ("min_v_mem", "tau_syn")
EXAMPLES = {"reset": "subtract", "dt": "1e-4"}
MEANS = {"reset": "what a spike does to v: subtract, zero, value or none", "dt": "the time step, s"}
ANSWERS = (*KEYS, *sorted({CALLED.key, *(loss.key for losses in LOSSES.values() for loss in losses)} - set(KEYS)))
"""The keys that can be said: those of settings, and those by which one says what an exporter may have dropped."""


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


@dataclass(frozen=True, slots=True)
class _UserOptions:
    """What the option says: a name or None, keys for the graph, keys by node, and the default for the rest."""

    name: str | None
    graph: dict[str, Any]
    nodes: dict[str, dict[str, Any]]
    delayed: tuple[Edge, ...] = ()
    rest_is_default: bool = False

    def keys(self, node: str) -> dict[str, Any]:
        """Return what is said for a node."""
        return {**self.graph, **self.nodes.get(node, {})}


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
    said = _parse_option(option, graph)
    name, evidence = _name(graph, said)
    is_complete = "dialect" in graph.metadata
    base = _with_time_step(DIALECTS[name], name, graph)
    settings: dict[str, Settings] = {}
    asked = _Asked()
    assumed: dict[str, list[str]] = {}
    if not is_complete:
        _settle_layers(graph, name, said, asked, assumed)
    for node_name in neurons:
        node = graph.nodes[node_name]
        place = f"{graph.where}, node {node_name!r}"
        written = {**graph.metadata.get("rules", {}), **node.metadata.get("rules", {})}
        rules = _apply(replace(base, **OF_KIND.get((name, node.kind), {})), written, place)
        told = said.keys(node_name)
        evidence += _contradictions(node_name, written, told)
        rules = _apply(rules, {key: value for key, value in told.items() if key in KEYS}, "--dialect")
        if not is_complete:
            evidence += _against_parameters(graph, node_name, name, told)
            if rules.dt is None:  # populations differ in it, which lowering refuses
                rules = replace(rules, dt=proven_time_step(name, node))
            rules = _settle_lost(graph, node_name, name, rules, said, asked, assumed)
        if node.kind not in FIRING or node.kind == "Threshold":
            rules = replace(rules, reset="none")
        for key in ("reset", "dt"):
            if getattr(rules, key) is None and node_name not in asked.keys.get(key, ()):
                read = read_time_step(name, [node]) if key == "dt" else None
                asked.add(key, node_name, EXAMPLES[key] if read is None else f"{read:g}", MEANS[key])
        settings[node_name] = _complete(rules, graph, node_name)
    if asked.keys:
        raise asked.question(graph, name)
    evidence += _assumed(assumed, name)
    evidence += [f"{key}: {value} (--dialect)" for key, value in said.graph.items()]
    evidence += [f"{n}: {key} = {value} (--dialect)" for n, keys in said.nodes.items() for key, value in keys.items()]
    evidence += _notes(graph, name, settings)
    return Dialect(name, settings, tuple(evidence), (*_written_delays(graph, neurons), *said.delayed))


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
        return _apply(base, {"dt": graph.metadata["dt"]}, graph.where)
    if name not in TIME_STEPS:
        return base
    dt = read_time_step(name, neurons)
    if dt is None and not any(np.isfinite(node.membrane_tau).any() for node in neurons):
        return base
    return replace(base, dt=dt)


class _Asked:
    """What has to be asked for: keys with their nodes, examples and meanings."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, str]] = {}
        self.means: dict[str, str] = {}
        self.ways_out: dict[str, str] = {}

    def add(self, key: str, node: str, example: str, means: str, way_out: str = "") -> None:
        """Add a key that a node needs; with a way out if no answer but the example can be computed with."""
        self.keys.setdefault(key, {})[node] = example
        self.means.setdefault(key, means)
        if way_out:
            self.ways_out.setdefault(key, way_out)

    def question(self, graph: NirGraph, name: str) -> DeployError:
        """Return the question, with an answer that can be pasted."""
        answers = []
        for key, of_nodes in self.keys.items():
            examples = set(of_nodes.values())
            answers += (
                [f"{key}={examples.pop()}"]
                if len(examples) == 1
                else [f"{node}:{key}={example}" for node, example in of_nodes.items()]
            )
        node = next(iter(next(iter(self.keys.values()))))
        means = "".join(f"\n           {key}: {self.means[key]}" for key in self.keys)
        lasting = "".join(f"\n           {key}: {way_out}" for key, way_out in self.ways_out.items())
        way_out = (
            f"\n         If the model has another value than the one above, no answer restores it:{lasting}"
            if lasting
            else ""
        )
        kind = graph.nodes[node].kind
        shown = repr(node) if label(node, kind) == node else label(node, kind, name)
        return DeployError(
            f"node {shown} is read as {name}, and the file does not say its {_listed(list(self.keys))}",
            where=graph.where,
            fix=f"Say it, for instance --dialect {name},{','.join(answers)} with what the model really has"
            " (NODE:KEY=VALUE for one node, KEY=@FILE.npy for one value per neuron), or rest=default if the model has"
            f" {name}'s defaults everywhere else.{means}{way_out}",
        )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _settle_layers(
    graph: NirGraph, name: str, said: _UserOptions, asked: _Asked, assumed: dict[str, list[str]]
) -> None:
    """Ask for, or assume, what the exporter drops of convolutions, pools and calls."""
    open_at = [
        (loss, [n for n, of in graph.nodes.items() if of.kind in loss.kinds and of.kind not in NEURONS])
        for loss in LOSSES[name]
    ]
    missing = left_out(graph, name)
    for loss, nodes in [*open_at, (CALLED, called_again(graph, name))]:
        if loss.key == "skipped" and missing:
            loss = replace(loss, means=f"{loss.means}; here {_listed(missing)}")
        for node in nodes:
            if loss.key in said.graph:
                _check_final(loss, said.graph[loss.key], node)
            else:
                _ask_or_assume(loss, node, said, asked, assumed)


def _settle_lost(
    graph: NirGraph,
    node: str,
    name: str,
    rules: Settings,
    said: _UserOptions,
    asked: _Asked,
    assumed: dict[str, list[str]],
) -> Settings:
    """Return the rules with what the exporter drops of a neuron, as far as it is assumed; the rest is asked for."""
    told, of_node = said.keys(node), graph.nodes[node]
    for loss in LOSSES[name]:
        if of_node.kind not in loss.kinds:
            continue
        if loss.key in told:
            _check_final(loss, told[loss.key], node)
        elif _matters(loss, name, rules, told):
            if loss.key == "tau_scale":
                loss = replace(loss, default=f"{norse_scale(of_node):g}")
            _ask_or_assume(loss, node, said, asked, assumed)
            if said.rest_is_default and loss.key in KEYS:
                rules = _apply(rules, {loss.key: loss.default}, "--dialect")
    return rules


def _matters(loss: Loss, name: str, rules: Settings, told: dict[str, Any]) -> bool:
    """Tell whether what was dropped is open, given the reset that is known and the dt that was read off."""
    if loss.key == "dt":
        return name not in TIME_STEPS or rules.dt is None
    if loss.key == "v_reset":
        return rules.reset == "value" and told.get("reset") != "zero"
    return loss.key != "subtract_value" or rules.reset in (None, "subtract")


def _ask_or_assume(loss: Loss, node: str, said: _UserOptions, asked: _Asked, assumed: dict[str, list[str]]) -> None:
    if said.rest_is_default:
        assumed.setdefault(node, []).append(f"{loss.key} = {loss.default}")
    else:
        asked.add(loss.key, node, loss.default, f"{loss.means} ({loss.option})", loss.way_out)


def _assumed(assumed: dict[str, list[str]], name: str) -> list[str]:
    """Return a line for all nodes that share an assumption."""
    nodes: dict[str, list[str]] = {}
    for node, answers in assumed.items():
        nodes.setdefault(", ".join(answers), []).append(node)
    why = f"{name}'s defaults, which its exporter does not write"
    return [f"assumed: {answers} for {', '.join(of)} ({why})" for answers, of in nodes.items()]


def _check_final(loss: Loss, value: Any, node: str) -> None:
    """Refuse an answer that nobody can compute with."""
    if loss.way_out and str(value).lower() != loss.default and not _same_number(value, loss.default):
        raise DeployError(
            f"{loss.key} of {node!r} cannot be {value!r}: the file does not hold what {loss.option} does there",
            where="--dialect",
            fix=f"Only {loss.key}={loss.default} can be read. {loss.way_out}",
        )


def _same_number(one: Any, other: str) -> bool:
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return False


def _contradictions(node: str, written: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """Return what is said against the file."""
    return [
        f"warning: {node} is read with {key} = {value} (--dialect), but the file says {written[key]}"
        for key, value in told.items()
        if key in written and str(written[key]).lower() != str(value).lower() and not _same_number(value, written[key])
    ]


def _against_parameters(graph: NirGraph, name: str, dialect: str, told: dict[str, Any]) -> list[str]:
    """Return a warning where a node's parameters tell another dt than is said; several taus that do so prove it.

    Raises:
        DeployError: they prove it.
    """
    node = graph.nodes[name]
    read = read_time_step(dialect, [node])
    if read is None or "dt" not in told or _same_number(told["dt"], f"{read:.6g}"):
        return []
    if proven_time_step(dialect, node) is not None:
        raise DeployError(
            f"dt of {name!r} cannot be {told['dt']}: its time constants and r are those of a step of {read:.6g} s",
            where="--dialect",
            fix="Leave dt out, which is then read off the parameters.",
        )
    return [f"warning: {name} is read with dt = {told['dt']} s (--dialect), but its parameters say {read:.6g} s"]


def _notes(graph: NirGraph, name: str, settings: dict[str, Settings]) -> list[str]:
    """Return what a reader should know of how the parameters were read."""
    notes = []
    if "dialect" in graph.metadata:
        return []
    others = [c for c in detect(graph) if c.is_certain and c.name != name]
    if others:
        notes.append(f"warning: the file is read as {name}, but looks like {others[0].name}: {others[0].evidence}")
    elif not fits(graph, name):
        notes.append(f"warning: the parameters are not those that {name}'s exporter writes")
    if name in TIME_STEPS and (dts := {rules.dt for rules in settings.values()}):
        read = read_time_step(name, [graph.nodes[node] for node in settings])
        notes += [f"dt = {dt:g} s" + (", read off the parameters" if dt == read else "") for dt in dts if dt]
    if name in UNWRITTEN:
        notes.append(f"assumed: {UNWRITTEN[name]}")
    if missing := left_out(graph, name):
        notes.append(f"warning: {name}'s exporter left {_listed(missing)} out of the file")
    units: dict[str, list[str]] = {}
    for node, rules in settings.items():
        kind = graph.nodes[node].kind
        if kind in LEAKY:
            unit = f"units of {rules.tau_scale:g} s" if rules.tau_scale != 1 else "steps" if name == "sinabs" else "s"
            units.setdefault(unit, []).append(label(node, kind, name))
        if name == "snntorch" and kind == "CubaLIF" and not rules.reset_delay and is_recurrent(graph, node):
            notes.append(
                f"warning: {node} is read with reset_delay=false, which snnTorch 1.0.0 ignores in RSynaptic; for what"
                f" it computes, say {node}:reset_delay=true"
            )
    return notes + [f"time constants of {', '.join(of)} are in {unit}" for unit, of in units.items()]


def _name(graph: NirGraph, said: _UserOptions) -> tuple[str, list[str]]:
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


def _parse_option(option: str | None, graph: NirGraph) -> _UserOptions:
    neurons = [name for name, node in graph.nodes.items() if node.kind in NEURONS]
    if option is None:
        return _UserOptions(None, {}, {})
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
        if colon and node not in set(neurons):
            raise DeployError(
                f"there is no neuron {node!r}", where="--dialect", fix=f"Choose from the neurons {known(neurons)}."
            )
        if key not in ANSWERS and key != "rest":
            raise DeployError(f"no dialect has a key {key!r}", where="--dialect", fix=f"Choose from {known(ANSWERS)}.")
        (of_node.setdefault(node, {}) if colon else of_graph)[key] = _from_file(key, value)
    rest = of_graph.pop("rest", None)
    if rest not in (None, "default"):
        raise DeployError(f"rest cannot be {rest!r}", where="--dialect", fix="Write rest=default, or leave it out.")
    return _UserOptions(name or None, of_graph, of_node, tuple(delayed), rest is not None)


_EDGE = "edge:"


def _edge(text: str, value: str, neurons: list[str]) -> Edge:
    """Return the pair of populations of ``A->B``."""
    source, arrow, target = (part.strip() for part in text.partition("->"))
    if not arrow or value != "delayed":
        raise DeployError(f"{text}={value} does not name an edge", where="--dialect", fix="Write edge:A->B=delayed.")
    for end in (source, target):
        if end not in neurons:
            raise DeployError(
                f"there is no neuron {end!r}", where="--dialect", fix=f"Choose from the neurons {known(neurons)}."
            )
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


def _apply(settings: Settings, said: dict[str, Any], where: str) -> Settings:
    """Return settings with what is said on top; text and decoded values are both taken."""
    for key, value in said.items():
        if key not in KEYS:
            raise DeployError(f"no dialect has a key {key!r}", where=where, fix=f"Choose from {known(KEYS)}.")
        parsed = _value(key, value, where)
        if key == "reset" and parsed == "zero":
            settings = replace(settings, reset="value", v_reset=0.0)
        else:
            settings = replace(settings, **{key: parsed})
    return settings


def _value(key: str, value: Any, where: str) -> Any:
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise DeployError(f"{key} cannot be {value!r}", where=where, fix=f"Choose one of {known(CHOICES[key])}.")
        return value
    if key in TRUTHS:
        truth = {"true": True, "false": False}.get(str(value).lower())
        if truth is None:
            raise DeployError(f"{key} cannot be {value!r}", where=where, fix="Give true or false.")
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
                f"{key} cannot be {value!r}", where=where, fix=f"Give a whole number up to {COUNTS[key]}."
            )
        return int(number)
    if not np.isfinite(number) or (key in ("dt", "tau_scale") and number <= 0):
        raise DeployError(
            f"{key} cannot be {value!r}",
            where=where,
            fix=f"Give a finite number for {key}; dt is in seconds and above 0.",
        )
    return number


def _by_neuron(key: str, value: Any, where: str) -> Any:
    """Return nested lists of numbers as nested tuples."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if not numbers.size or not np.isfinite(numbers).all():
        raise DeployError(
            f"{key} is not an array of finite numbers", where=where, fix="Give one number, or one for each neuron."
        )

    def nested(part: Any) -> Any:
        return tuple(nested(inner) for inner in part) if isinstance(part, list) else part

    return nested(numbers.tolist())
