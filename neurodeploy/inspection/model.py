"""Inspect a model file: its contents, how it will be read, and everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.importers.detect import Candidate, detect
from neurodeploy.importers.dialects import DIALECTS
from neurodeploy.importers.findings import SEVERITIES, Finding, finding
from neurodeploy.importers.losses import LOSSES, Loss
from neurodeploy.importers.lower import lower
from neurodeploy.importers.nir_graph import NirGraph, graph_from_nir, read_graph
from neurodeploy.importers.node import NirNode
from neurodeploy.importers.parameters import parameter_findings
from neurodeploy.importers.settle import Dialect, resolve_dialect
from neurodeploy.importers.shapes import batch_axes, infer_shapes, order_of
from neurodeploy.importers.structure import structure_findings
from neurodeploy.inspection.activity import activity, activity_findings, input_findings
from neurodeploy.inspection.repair import repaired_graph
from neurodeploy.ir.decision import settle_decision
from neurodeploy.ir.network import Network, Population
from neurodeploy.ir.run_options import Inputs
from neurodeploy.ir.synapses import Shape

GetInputs = Inputs | Callable[[dict[str, Shape]], Inputs]
"""Data for each input, or what returns it for the shapes of the inputs."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of inspecting a model file.

    nodes: for each ``name``, ``kind``, ``shape`` (of what leaves it), ``parameters``, ``settings``, ``dynamics`` (of
        neurons: dt and the factors of one step) and ``activity`` (where data was given); JSON-ready.
    edges: (source, target). dialect: name, or None where nobody says. evidence: why. question: what is to be said, or
        None.
    exporters: frameworks whose exporter can have written the parameters, each ``name``, ``evidence`` and what it
        ``drops``, by the keys of ``--dialect``.
    lost: what the exporter of the dialect drops, each ``key``, ``means`` and ``state`` (``said``, ``assumed`` or
        ``asked``).
    findings: the gravest first. decision: how a sample is decided, or what has to be asked; None where the network is
        refused.
    """

    where: str
    version: str
    nodes: list[dict[str, Any]]
    edges: tuple[tuple[str, str], ...]
    dialect: str | None
    evidence: tuple[str, ...]
    question: str | None
    exporters: list[dict[str, Any]]
    lost: list[dict[str, str]]
    findings: tuple[Finding, ...]
    decision: str | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing has to be said or done."""
        return self.question is None and not any(f.is_pressing for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)


def inspect(model: Path | str | Any, dialect: str | None = None, inputs: GetInputs | None = None) -> Inspection:
    """Read a model and tell what it holds and what is wrong with it; none of that is an error.

    Args:
        model: path of a ``.nir`` file, or an in-memory ``nir.NIRGraph``.
        dialect: as given to ``--dialect``, or None.
        inputs: data to run the reference on, which shows populations that are dead or saturated.

    Raises:
        DeployError: the file is no NIR model, or ``dialect`` is none.
    """
    graph = read_graph(model) if isinstance(model, (str, Path)) else graph_from_nir(model)
    settled, question = _settle(graph, dialect)
    reading = settled or _provisional(graph, dialect)
    exporters = [_exporter(graph, candidate) for candidate in detect(graph)]
    graph = graph if reading is None else graph.as_meant_by(reading.name)
    findings = [*structure_findings(graph), *parameter_findings(graph, reading)]
    network = None
    if reading is not None:
        network, refusal = _network(graph, reading)
        if refusal is not None and not any(f.severity == "error" for f in findings):
            findings.append(finding("refused", None, refusal.what, refusal.where, refusal.fix))
    counts, of_data = _run(inputs, settled, network)
    findings += of_data
    return Inspection(
        graph.where,
        graph.version,
        _nodes(graph, settled, network, counts),
        graph.edges,
        None if settled is None else settled.name,
        () if settled is None else settled.evidence,
        question,
        exporters,
        _lost(graph, reading, dialect, question),
        tuple(sorted(findings, key=lambda f: -SEVERITIES.index(f.severity))),
        None if network is None else settle_decision(network).sentence,
    )


def _run(
    inputs: GetInputs | None, settled: Dialect | None, network: Network | None
) -> tuple[dict[str, dict[str, int | float]], list[Finding]]:
    """Return each population's activity on data and what is wrong with it, or why the data was not run."""
    if inputs is None:
        return {}, []
    if settled is not None and network is not None:
        data = inputs(network.inputs) if callable(inputs) else inputs
        counts = activity(network, data)
        return counts, [*input_findings(data), *activity_findings(counts)]
    reason = "the dialect is not known" if settled is None else "the network is refused"
    what = f"the data was not run, because {reason}"
    return {}, [finding("not-run", None, what, "--input", "First mend what is said above.")]


def _settle(graph: NirGraph, option: str | None) -> tuple[Dialect | None, str | None]:
    """Return the settled dialect, or what has to be said first; an option that is wrong is refused."""
    try:
        return resolve_dialect(graph, option), None
    except DeployError as error:
        name = (option or "").split(",")[0].strip()
        is_unknown = "=" not in name and name not in ("", *DIALECTS)
        if error.where != graph.where or is_unknown:
            raise
        return None, f"{error.what}. {error.fix}"


def _provisional(graph: NirGraph, option: str | None) -> Dialect | None:
    """Return the reading that is likely but for its reset, in which parameters can be judged, or None."""
    candidates = detect(graph)
    if option is None and len(candidates) != 1:
        return None
    try:
        return resolve_dialect(graph, f"{option or candidates[0].name},rest=default")
    except DeployError:
        return None


def _network(graph: NirGraph, settled: Dialect) -> tuple[Network | None, DeployError | None]:
    """Return the network, that of the repaired graph where the graph's own has a batch axis or is refused."""
    refusal = None
    if not batch_axes(graph):
        try:
            return lower(graph, settled), None
        except DeployError as error:
            refusal = error
    try:
        repaired = repaired_graph(graph, settled)
        return lower(repaired, replace(settled, settings=resolve_dialect(repaired).settings)), refusal
    except (DeployError, ValueError) as error:
        return None, refusal or (error if isinstance(error, DeployError) else None)


def _lost(graph: NirGraph, reading: Dialect | None, option: str | None, question: str | None) -> list[dict[str, str]]:
    """Return what the recognised exporter drops, and whether it is known now."""
    if reading is None or "dialect" in graph.metadata:
        return []
    lost: dict[str, dict[str, str]] = {}
    for loss in losses_of(graph, reading.name):
        is_said = re.search(rf"(^|[,:])\s*{loss.key}\s*=", option or "") is not None
        state = "said" if is_said else "asked" if question else "assumed"
        lost.setdefault(loss.key, {"key": loss.key, "means": f"{loss.means}; {loss.option}", "state": state})
    return list(lost.values())


def _exporter(graph: NirGraph, candidate: Candidate) -> dict[str, Any]:
    """Return a framework whose exporter can have written a graph, JSON-ready."""
    drops = list(dict.fromkeys(loss.key for loss in losses_of(graph, candidate.name)))
    return {"name": candidate.name, "evidence": candidate.evidence, "drops": drops}


def losses_of(graph: NirGraph, name: str) -> list[Loss]:
    """Return what the exporter of a dialect drops of the nodes that a graph has."""
    kinds = {node.kind for node in graph.nodes.values()}
    return [loss for loss in LOSSES[name] if kinds & set(loss.kinds)]


def _nodes(
    graph: NirGraph,
    settled: Dialect | None,
    network: Network | None,
    counts: dict[str, dict[str, int | float]],
) -> list[dict[str, Any]]:
    shapes = infer_shapes(graph, batch_axes(graph)).leaving
    populations = {} if network is None else {population.name: population for population in network.populations}
    nodes = []
    for name in order_of(graph):
        settings = None if settled is None else settled.settings.get(name)
        entry = _node(name, graph.nodes[name], shapes.get(name))
        said = {} if settings is None else {k: _shown(v) for k, v in asdict(settings).items() if v is not None}
        entry["settings"] = said or None
        is_neuron = network is not None and name in populations
        entry["dynamics"] = _dynamics(populations[name], network.dt) if network is not None and is_neuron else None
        entry["activity"] = counts.get(name)
        nodes.append(entry)
    return nodes


def _node(name: str, node: NirNode, shape: Shape | None) -> dict[str, Any]:
    numbers = {
        key: np.asarray(value)
        for key, value in node.params.items()
        if isinstance(value, (np.ndarray, np.generic, int, float)) and key != "shape"
    }
    parameters = {
        key: {"shape": list(value.shape), **_range(value)}
        for key, value in numbers.items()
        if value.size and value.dtype.kind in "fiub"
    }
    return {"name": name, "kind": node.kind, "shape": None if shape is None else list(shape), "parameters": parameters}


def _dynamics(population: Population, dt: float) -> dict[str, Any]:
    """Return the time step, and the factors of one step as the reference has them."""
    factors = ["decay_mem", "gain_mem", "bias"]
    if population.decay_syn is not None:
        factors += ["decay_syn", "gain_syn"]
    return {"dt": dt, **{key: _range(np.asarray(getattr(population, key))) for key in factors}}


def _shown(setting: Any) -> Any:
    """Return a setting, as a text with its lowest and highest value where neurons have one each."""
    if not isinstance(setting, tuple):
        return setting
    ends = _range(np.asarray(setting))
    return f"{ends['low']:g} to {ends['high']:g}"


def _range(values: Any) -> dict[str, float | str]:
    """Return lowest and highest value; infinite ones as text, which JSON has no number for."""
    ends = {"low": float(values.min()), "high": float(values.max())}
    return {key: value if np.isfinite(value) else str(value) for key, value in ends.items()}
