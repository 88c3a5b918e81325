"""Notes on how a graph was read: what contradicts the file or its parameters, and what a reader should know."""

from __future__ import annotations

from typing import Any

from neurodeploy.errors import DeployError
from neurodeploy.importers.detect import detect, fits
from neurodeploy.importers.dialects import Settings, label
from neurodeploy.importers.loops import is_recurrent
from neurodeploy.importers.losses import LEAKY, TIME_STEPS, UNWRITTEN, left_out, proven_time_step, read_time_step
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.questions import listed
from neurodeploy.importers.setting_values import is_same_number


def contradictions(node: str, written: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """Return what is said against the file.

    Args:
        node: of a neuron. written: keys that the file says of it. told: keys that the user says of it.
    """
    return [
        f"warning: {node} is read with {key} = {value} (--dialect), but the file says {written[key]}"
        for key, value in told.items()
        if key in written
        and str(written[key]).lower() != str(value).lower()
        and not is_same_number(value, written[key])
    ]


def time_step_notes(graph: NirGraph, name: str, dialect: str, told: dict[str, Any]) -> list[str]:
    """Return a warning where a node's parameters tell another dt than is said; several taus that do so prove it.

    Args:
        graph: the graph. name: of the node. dialect: its name. told: keys that the user says of the node.

    Raises:
        DeployError: they prove it.
    """
    node = graph.nodes[name]
    read = read_time_step(dialect, [node])
    if read is None or "dt" not in told or is_same_number(told["dt"], f"{read:.6g}"):
        return []
    if proven_time_step(dialect, node) is not None:
        raise DeployError(
            f"dt of {name!r} cannot be {told['dt']}: its time constants and r are those of a step of {read:.6g} s",
            where="--dialect",
            fix="Leave dt out, which is then read off the parameters.",
        )
    return [f"warning: {name} is read with dt = {told['dt']} s (--dialect), but its parameters say {read:.6g} s"]


def reading_notes(graph: NirGraph, name: str, settings: dict[str, Settings]) -> list[str]:
    """Return what a reader should know of how the parameters were read; nothing where the file says it all.

    Args:
        graph: the graph. name: of the dialect. settings: by neuron node.
    """
    if "dialect" in graph.metadata:
        return []
    notes = []
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
        notes.append(f"warning: {name}'s exporter left {listed(missing)} out of the file")
    notes += [_ignored_delay(node) for node, rules in settings.items() if _ignores_delay(graph, name, node, rules)]
    units = _units(graph, name, settings)
    return notes + [f"time constants of {', '.join(of)} are in {unit}" for unit, of in units.items()]


def _ignores_delay(graph: NirGraph, name: str, node: str, rules: Settings) -> bool:
    """Tell whether snnTorch ignores what is said of a neuron's reset."""
    is_synaptic = name == "snntorch" and graph.nodes[node].kind == "CubaLIF"
    return is_synaptic and not rules.reset_delay and is_recurrent(graph, node)


def _ignored_delay(node: str) -> str:
    return (
        f"warning: {node} is read with reset_delay=false, which snnTorch 1.0.0 ignores in RSynaptic; for what it"
        f" computes, say {node}:reset_delay=true"
    )


def _units(graph: NirGraph, name: str, settings: dict[str, Settings]) -> dict[str, list[str]]:
    """Return the units of time constants, each with the neurons that have it."""
    units: dict[str, list[str]] = {}
    for node, rules in settings.items():
        kind = graph.nodes[node].kind
        if kind in LEAKY:
            unit = f"units of {rules.tau_scale:g} s" if rules.tau_scale != 1 else "steps" if name == "sinabs" else "s"
            units.setdefault(unit, []).append(label(node, kind, name))
    return units
