"""Which framework exported a graph: what each exporter leaves behind in the parameters, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.importers.dialects import NEURONS
from neurodeploy.importers.nir_graph import NirGraph, NirNode

Floats = NDArray[np.float64]

EXPORT_DT = 1e-4
"""Seconds per step that snnTorch's exporter always, and SpikingJelly's by default, writes."""

NORSE_SCALE = 1e3
"""By how much norse's exporter makes time constants too small with its default dt of 1e-3 (norse issue 411)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A framework that may have exported a graph.

    name: of the dialect. evidence: one sentence. found: settings that the parameters reveal, such as dt.
    """

    name: str
    evidence: str
    found: dict[str, Any] = field(default_factory=dict)


def detect(graph: NirGraph) -> tuple[Candidate, ...]:
    """Return every framework whose exporter could have written a graph's neurons; none if no fingerprint fits."""
    neurons = [node for node in graph.nodes.values() if node.kind in NEURONS]
    inputs = {name for name, node in graph.nodes.items() if node.kind == "Input"}
    traced_by_fx = all(name.startswith("input_") for name in inputs)
    found = []
    for test in _TESTS:
        candidate = test(neurons) if neurons else None
        if candidate is not None and (candidate.name == "spikingjelly") == traced_by_fx:
            found.append(candidate)
    return tuple(found)


def fingerprint(graph: NirGraph, name: str) -> Candidate | None:
    """Return what a graph's parameters reveal if ``name`` exported it, or None if they do not fit."""
    neurons = [node for node in graph.nodes.values() if node.kind in NEURONS]
    for test in _TESTS if neurons else ():
        candidate = test(neurons)
        if candidate is not None and candidate.name == name:
            return candidate
    return None


def _numbers(node: NirNode, key: str, default: float = 0.0) -> Floats:
    value = node.params.get(key)
    return np.atleast_1d(np.asarray(default if value is None else value, dtype=np.float64))


def _tau(node: NirNode) -> Floats:
    return _numbers(node, "tau_mem" if "tau_mem" in node.params else "tau", np.inf)


def _is(values: Floats, expected: Floats | float, tolerance: float = 1e-3) -> bool:
    """Tell whether values are as expected; infinity is only infinity."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.allclose(values, np.asarray(expected, dtype=np.float64), rtol=tolerance, atol=0.0))


def _all_kinds(neurons: list[NirNode], kinds: tuple[str, ...]) -> bool:
    return all(node.kind in kinds for node in neurons)


def _at_rest_zero(node: NirNode) -> bool:
    return _is(_numbers(node, "v_leak"), 0.0) and _is(_numbers(node, "v_reset"), 0.0)


def _snntorch(neurons: list[NirNode]) -> Candidate | None:
    def fits(node: NirNode) -> bool:
        current = node.kind != "CubaLIF" or _is(_numbers(node, "w_in", 1.0) * EXPORT_DT, _numbers(node, "tau_syn"))
        return current and _is(_numbers(node, "r") * EXPORT_DT, _tau(node)) and _at_rest_zero(node)

    if _all_kinds(neurons, ("LIF", "CubaLIF")) and all(map(fits, neurons)):
        return Candidate("snntorch", "every neuron has r = tau / 1e-4 s, at rest 0, as snnTorch's exporter writes it")
    return None


def _spikingjelly(neurons: list[NirNode]) -> Candidate | None:
    def fits(node: NirNode) -> bool:
        r, tau = _numbers(node, "r"), _tau(node)
        if node.kind == "IF":
            return _is(r * EXPORT_DT, 1.0)
        rest = _is(_numbers(node, "v_leak"), _numbers(node, "v_reset")) or np.array_equal(
            _numbers(node, "v_leak"), _numbers(node, "v_reset")
        )
        return rest and (_is(r, 1.0) or _is(r * EXPORT_DT, tau))

    if _all_kinds(neurons, ("IF", "LIF", "CubaLIF")) and all(map(fits, neurons)):
        return Candidate(
            "spikingjelly",
            "r is 1 or tau / 1e-4 s (1e4 of IF) and the leak is the reset, as SpikingJelly's exporter writes it",
        )
    return None


def _norse(neurons: list[NirNode]) -> Candidate | None:
    if not _all_kinds(neurons, ("IF", "LIF", "CubaLIF", "LI")) or not all(_is(_numbers(n, "r"), 1.0) for n in neurons):
        return None
    if not all(_is(_numbers(node, "w_in", 1.0), 1.0) for node in neurons):
        return None
    taus = [tau for node in neurons for tau in (_tau(node), _numbers(node, "tau_syn", np.inf))]
    largest = max((float(tau[np.isfinite(tau)].max(initial=0.0)) for tau in taus), default=0.0)
    if largest >= 1.0:
        return None
    if 0.0 < largest < EXPORT_DT:
        return Candidate(
            "norse",
            "r is 1 and time constants are below 1e-4 s, 1000 times too small, as norse's exporter writes them",
            {"tau_scale": NORSE_SCALE},
        )
    return Candidate(
        "norse", "r is 1 and time constants are of the order of milliseconds, as norse's exporter can write them"
    )


def _sinabs(neurons: list[NirNode]) -> Candidate | None:
    def fits(node: NirNode) -> bool:
        return _is(_numbers(node, "r"), 1.0) and bool((_tau(node) >= 1.0).all())

    if _all_kinds(neurons, ("IF", "LIF", "LI")) and all(map(fits, neurons)):
        return Candidate("sinabs", "r is 1 and time constants are counted in steps, as sinabs' exporter writes them")
    return None


def _rockpool(neurons: list[NirNode]) -> Candidate | None:
    from scipy.special import lambertw

    if not _all_kinds(neurons, ("LIF", "CubaLIF", "LI")):
        return None
    steps = []
    for node in neurons:
        r, tau = _numbers(node, "r"), _tau(node)
        if not (np.isfinite(r) & (r > 0) & np.isfinite(tau) & (tau > 0)).all():
            return None
        with np.errstate(over="ignore"):
            steps.append((tau * np.real(lambertw(1.0 / r, 0))).ravel())
    dts = np.concatenate(steps)
    dt = float(f"{np.median(dts):.2g}")
    # Any two of r and tau fit some dt; people choose one of at most two digits.
    if not _is(dts, dt) or all(_is(_numbers(node, "r"), 1.0) for node in neurons):
        return None
    return Candidate(
        "rockpool", f"r = tau / dt * exp(-dt / tau) with dt = {dt:g} s, as rockpool's exporter writes it", {"dt": dt}
    )


def _spyx(neurons: list[NirNode]) -> Candidate | None:
    def fits(node: NirNode) -> bool:
        return node.kind == "IF" or _is(_numbers(node, "r"), 1.0 - 1.0 / _tau(node))

    leaky = any(node.kind != "IF" for node in neurons)
    if leaky and _all_kinds(neurons, ("IF", "LIF", "CubaLIF")) and all(map(fits, neurons)):
        return Candidate("spyx", "r = 1 - 1 / tau with time constants in steps, as spyx's exporter writes it")
    return None


_TESTS: tuple[Callable[[list[NirNode]], Candidate | None], ...] = (
    _snntorch, _norse, _sinabs, _rockpool, _spikingjelly, _spyx,
)  # fmt: skip
