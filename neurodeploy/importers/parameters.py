"""Find what is wrong with neurons' parameters, given the settings that they are read with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.importers.dialects import NEURONS, Settings
from neurodeploy.importers.findings import Finding, finding
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import NirNode
from neurodeploy.importers.settle import Dialect

Floats = NDArray[np.float64]

STEPS = (1.0, 1e4)
"""Steps that a time constant usually lasts: below, a state forgets all within a step; above, float32 hardly decays."""

TOLERANCE = 1e-3
"""By how much a gain may be off before it is said to be another one."""

_TAUS = ("tau", "tau_mem", "tau_syn")


def parameter_findings(graph: NirGraph, settled: Dialect | None) -> list[Finding]:
    """Return what is wrong with time constants, gains and thresholds; without a dialect, what is wrong in all."""
    found: list[Finding] = []
    for name, node in graph.nodes.items():
        if node.kind not in NEURONS:
            continue
        settings = None if settled is None else settled.settings.get(name)
        for key in _TAUS:
            if key in node.params:
                found += _time_constant(name, key, node.numbers(key), settings, "dialect" in graph.metadata)
        found += _threshold(name, node, settings)
        if settings is not None and settled is not None:
            found += _input_gain(name, node, settings, settled.name)
            found += _synaptic_gain(name, node, settings, settled.name)
    return found


def kept_share(tau: Floats, settings: Settings) -> Floats:
    """Return the factor that a state keeps in a step, float64 of the shape of the file's time constants."""
    steps = _steps(tau, settings)
    with np.errstate(over="ignore", divide="ignore"):
        kept = np.exp(-1.0 / steps) if settings.decay == "exp" else 1.0 - 1.0 / steps
    return np.where(tau < 0, 1.0, np.clip(kept, 0.0, 1.0))


def right_r(node: NirNode, settings: Settings) -> Floats | None:
    """Return the r (float64, the file's shape) with which NIR has the dialect's gain; None where r is that gain."""
    if settings.gain == "euler" or "r" not in node.params:
        return None
    if node.kind in ("IF", "I"):
        return np.full_like(node.numbers("r"), 1.0 / float(settings.dt or 1.0)) if settings.gain == "unit" else None
    kept = kept_share(node.membrane_tau, settings)
    with np.errstate(divide="ignore"):
        return np.ones_like(kept) if settings.gain == "norm" else 1.0 / (1.0 - kept)


def right_w_in(node: NirNode, settings: Settings) -> Floats | None:
    """Return the w_in (float64, the file's shape) with which NIR has the dialect's jump; None where w_in is that."""
    if settings.gain_syn == "euler" or "tau_syn" not in node.params:
        return None
    kept = kept_share(node.numbers("tau_syn"), settings)
    jump = kept if settings.order == "add-decay" else np.ones_like(kept)
    with np.errstate(divide="ignore"):
        return jump / (1.0 - kept)


def _steps(tau: Floats, settings: Settings) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(tau * settings.tau_scale / float(settings.dt or 1.0))


def _time_constant(name: str, key: str, tau: Floats, settings: Settings | None, is_said: bool) -> list[Finding]:
    found = []
    if (bad := tau < 0).any():
        what = (
            f"{_some(bad)} of {key} are negative: in training their factor was above 1, which the framework clamps to 1"
        )
        found.append(finding("tau-negative", name, what, _span(tau[bad]), "--fix writes infinity: no decay."))
    if (bad := np.isinf(tau) & (tau > 0)).any():
        what = f"{_some(bad)} of {key} are infinite: these neurons integrate and never forget"
        severity = "note" if is_said else "warning"
        found.append(finding("tau-infinite", name, what, "inf", "Nothing is to be done if that is meant.", severity))
    if settings is None:
        return found
    usual = tau[np.isfinite(tau) & (tau > 0)]
    if settings.tau_scale != 1.0:
        what = f"{key} is {settings.tau_scale:g} times too small, as norse's exporter writes it by default"
        fix = f"--fix multiplies it by {settings.tau_scale:g}; in norse, export with to_nir(..., dt=1.0)."
        found.append(finding("tau-units", name, what, f"{_span(usual)} s", fix))
    steps = _steps(usual, settings)
    bad = (steps < STEPS[0] * (1 - 1e-6)) | (steps > STEPS[1] * (1 + 1e-6))
    if bad.any():
        what = f"{_some(bad)} of {key} last less than {STEPS[0]:g} or more than {STEPS[1]:g} steps of {settings.dt:g} s"
        fix = "Check the dialect's dt and the unit of the time constants (--dialect NAME,dt=... or tau_scale=...)."
        found.append(finding("tau-range", name, what, f"{_span(steps[bad])} steps", fix))
    return found


def _threshold(name: str, node: NirNode, settings: Settings | None) -> list[Finding]:
    values = node.numbers("v_threshold", 1.0)
    if not (bad := values <= 0).any():
        return []
    what = f"{_some(bad)} of v_threshold are 0 or below: these neurons fire at rest"
    fix = "Check the training; thresholds are above 0."
    if settings is not None and settings.reset_delay and settings.reset != "none" and (values < 0).any():
        what += ", and the framework resets them before the first step, which is not computed here"
        return [finding("threshold", name, what, _span(values[bad]), fix, "error")]
    return [finding("threshold", name, what, _span(values[bad]), fix)]


def _input_gain(name: str, node: NirNode, settings: Settings, dialect: str) -> list[Finding]:
    right = right_r(node, settings)
    if right is None or _agree(node.numbers("r"), right):
        return []
    what = f"with this r, NIR's equation does not have {dialect}'s gain, so other readers will compute something else"
    fix = f"Here it is read with {dialect}'s gain; --fix writes r = {_span(right)}."
    return [finding("r-unscaled", name, what, _span(node.numbers("r")), fix)]


def _synaptic_gain(name: str, node: NirNode, settings: Settings, dialect: str) -> list[Finding]:
    right = right_w_in(node, settings)
    given = node.numbers("w_in", 1.0)
    if right is None or _agree(given, right):
        return []
    what = f"w_in is not scaled, so at a spike the current of NIR's equation jumps less than {dialect}'s"
    fix = f"Here it is read with {dialect}'s jump; --fix writes w_in = {_span(right)}."
    return [finding("w-in-unscaled", name, what, _span(given), fix)]


def _agree(given: Floats, right: Floats) -> bool:
    """Tell whether two gains are the same wherever both are finite and above 0."""
    given, right = np.broadcast_arrays(given, right)
    usual = np.isfinite(given) & np.isfinite(right) & (given > 0)
    return bool(np.allclose(given[usual], right[usual], rtol=TOLERANCE, atol=0.0))


def _some(bad: NDArray[Any]) -> str:
    return f"{int(bad.sum())} of {bad.size} values"


def _span(values: Floats) -> str:
    if not values.size:
        return "none"
    low, high = float(values.min()), float(values.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
