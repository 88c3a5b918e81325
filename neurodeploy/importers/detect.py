"""Detect the framework that exported a graph, from what each exporter leaves in the parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.importers.dialects import NEURONS
from neurodeploy.importers.losses import read_time_step
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import NirNode

Floats = NDArray[np.float64]

EXPORT_DT = 1e-4
"""Seconds per step that snnTorch's exporter always, and SpikingJelly's by default, writes."""

NORSE_SCALE = 1e3
"""By how much norse's exporter makes time constants too small with its default dt of 1e-3 (norse issue 411)."""

SHORTEST_TAU = 1e-3
"""Time constants, s, below which they are taken for norse's, which are too small by NORSE_SCALE."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A framework that may have exported a graph.

    name: of the dialect. evidence: one sentence. is_certain: whether no other exporter that is known leaves it.
    """

    name: str
    evidence: str
    is_certain: bool = False


def detect(graph: NirGraph) -> tuple[Candidate, ...]:
    """Return every framework whose exporter could have written a graph's neurons; none if no fingerprint fits."""
    neurons = [node for node in graph.nodes.values() if node.kind in NEURONS]
    found = [test(graph, neurons) for test in _TESTS] if neurons else []
    return tuple(candidate for candidate in found if candidate is not None)


def fits(graph: NirGraph, name: str) -> bool:
    """Tell whether a graph's neurons are as the exporter of ``name`` writes them; true of dialects without one."""
    return name == "nir" or any(candidate.name == name for candidate in detect(graph))


def norse_scale(node: NirNode) -> float:
    """Return what brings a node's time constants to seconds if norse wrote them: 1 where they are long enough."""
    taus = np.concatenate([node.membrane_tau.ravel(), node.numbers("tau_syn", np.inf).ravel()])
    return NORSE_SCALE if taus[np.isfinite(taus)].max(initial=0.0) < SHORTEST_TAU else 1.0


def _is(values: Floats, expected: Floats | float) -> bool:
    """Tell whether values are as expected but for the rounding of float32; infinity is only infinity."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.allclose(values, np.asarray(expected, dtype=np.float64), rtol=1e-5, atol=0.0))


def _all_kinds(neurons: list[NirNode], kinds: tuple[str, ...]) -> bool:
    return all(node.kind in kinds for node in neurons)


def _inputs(graph: NirGraph) -> list[str]:
    return [name for name, node in graph.nodes.items() if node.kind == "Input"]


def _snntorch(graph: NirGraph, neurons: list[NirNode]) -> Candidate | None:
    def is_scaled(node: NirNode, dt: float) -> bool:
        current = node.kind != "CubaLIF" or _is(node.numbers("w_in", 1.0) * dt, node.numbers("tau_syn"))
        rests = _is(node.numbers("v_leak"), 0.0) and _is(node.numbers("v_reset"), 0.0)
        return current and rests and _is(node.numbers("r") * dt, node.membrane_tau)

    dt = read_time_step("snntorch", neurons) or EXPORT_DT
    if not _all_kinds(neurons, ("LIF", "CubaLIF")) or not all(is_scaled(node, dt) for node in neurons):
        return None
    is_certain = dt == EXPORT_DT and "input" in _inputs(graph) and not all(_is(n.numbers("r"), 1.0) for n in neurons)
    return Candidate(
        "snntorch", f"every neuron has r = tau / {dt:g} s, at rest 0, as snnTorch's exporter writes it", is_certain
    )


def _spikingjelly(graph: NirGraph, neurons: list[NirNode]) -> Candidate | None:
    dt = read_time_step("spikingjelly", neurons)

    def is_scaled(node: NirNode) -> bool:
        r = node.numbers("r")
        if node.kind == "IF":
            return dt is not None and _is(r * dt, 1.0)
        leak, reset = node.numbers("v_leak"), node.numbers("v_reset")
        rests = node.kind == "CubaLIF" or _is(leak, reset) or np.array_equal(leak, reset)
        return rests and (_is(r, 1.0) or (dt is not None and _is(r * dt, node.membrane_tau)))

    if not _all_kinds(neurons, ("IF", "LIF", "CubaLIF")) or not all(map(is_scaled, neurons)):
        return None
    if "input" in _inputs(graph):
        return None
    is_filled = all(np.asarray(n.params[key]).dtype == np.float64 for n in neurons for key in ("r", "v_threshold"))
    is_traced = all(re.fullmatch(r"_\d+(_\d+)*|input_\d+|output(_\d+)?", name) for name in graph.nodes)
    return Candidate(
        "spikingjelly",
        "r is 1, tau / dt, or 1 / dt of IF, and the leak is the reset, as SpikingJelly's exporter writes it",
        dt is not None and is_filled and is_traced,
    )


def _norse(graph: NirGraph, neurons: list[NirNode]) -> Candidate | None:
    if not _all_kinds(neurons, ("IF", "LIF", "CubaLIF", "LI")) or not all(_is(n.numbers("r"), 1.0) for n in neurons):
        return None
    if not all(_is(node.numbers("w_in", 1.0), 1.0) for node in neurons):
        return None
    taus = np.concatenate([t.ravel() for n in neurons for t in (n.membrane_tau, n.numbers("tau_syn", np.inf))])
    if taus[np.isfinite(taus)].max(initial=0.0) >= 1.0:
        return None
    return Candidate("norse", "r is 1 and time constants are below 1 s, as norse's exporter writes them")


def _sinabs(graph: NirGraph, neurons: list[NirNode]) -> Candidate | None:
    def is_scaled(node: NirNode) -> bool:
        return _is(node.numbers("r"), 1.0) and bool((node.membrane_tau >= 1.0).all())

    if _all_kinds(neurons, ("IF", "LIF", "LI")) and all(map(is_scaled, neurons)):
        return Candidate("sinabs", "r is 1 and time constants are counted in steps, as sinabs' exporter writes them")
    return None


def _rockpool(graph: NirGraph, neurons: list[NirNode]) -> Candidate | None:
    dt = read_time_step("rockpool", neurons)
    if not _all_kinds(neurons, ("LIF", "CubaLIF", "LI")) or dt is None:
        return None
    # Any two of r and tau fit some dt; people choose one of at most two digits.
    if float(f"{dt:.2g}") != dt or all(_is(node.numbers("r"), 1.0) for node in neurons):
        return None
    return Candidate(
        "rockpool", f"r = tau / dt * exp(-dt / tau) with dt = {dt:g} s, as rockpool's exporter writes", True
    )


def _spyx(graph: NirGraph, neurons: list[NirNode]) -> Candidate | None:
    leaky = [node for node in neurons if node.kind in ("LIF", "CubaLIF")]
    others = [node for node in neurons if node.kind in ("IF", "LI")]
    if not _all_kinds(neurons, ("IF", "LIF", "CubaLIF", "LI", "Threshold")):
        return None
    kinds = {node.kind for node in neurons}
    if ("LI" in kinds) != ("Threshold" in kinds) or not all(_is(node.numbers("r"), 1.0) for node in others):
        return None
    if not leaky:
        return Candidate("spyx", "r is 1, as spyx's exporter writes it of IF and PSU_LIF") if others else None
    dt = read_time_step("spyx", leaky)
    if dt is None:
        return None
    # One pair of r and tau fits some dt; pairs that differ and fit the same are spyx's. Training can leave 0 to 1.
    taus = np.concatenate([node.membrane_tau.ravel() for node in leaky])
    r = np.concatenate([node.numbers("r").ravel() for node in leaky])
    evidence = f"r = 1 - dt / tau with dt = {dt:g}, as spyx's exporter writes it"
    return Candidate("spyx", evidence, not _is(taus, float(taus[0])) and bool(((r >= 0) & (r < 1)).all()))


_TESTS: tuple[Callable[[NirGraph, list[NirNode]], Candidate | None], ...] = (
    _snntorch, _norse, _sinabs, _rockpool, _spikingjelly, _spyx,
)  # fmt: skip
