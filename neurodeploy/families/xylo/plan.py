"""Decisions of quantisation for Xylo: registers and units of each population, and the shift of each matrix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.layout import matrix_of
from neurodeploy.families.xylo.synapses import WEIGHT_BITS, roles
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.plan import BiasPlan, Plan, PopulationPlan, ProjectionPlan, compact, projection_names, spread


@dataclass(frozen=True, slots=True)
class XyloPopulationPlan:
    """Decisions for a population, a number for each neuron; None is decided anew.

    dash_syn, dash_mem, threshold, bias: codes. units: register units per volt that a weight brings.
    """

    dash_syn: list[int] | None = None
    dash_mem: list[int] | None = None
    threshold: list[int] | None = None
    bias: list[int] | None = None
    units: list[float] | None = None


@dataclass(frozen=True, slots=True)
class XyloPlan:
    """Decisions by name of population, and the shifts of the matrices ``in``, ``rec`` and ``out``."""

    shifts: dict[str, int] = field(default_factory=dict)
    populations: dict[str, XyloPopulationPlan] = field(default_factory=dict)


def as_plan(found: XyloPlan, target: str, network: Network) -> Plan:
    """Return decisions as plan files have them.

    leak_u and leak_v are the shifts dash_syn and dash_mem, a projection's exponent is its matrix' shift, and
    ``codes_per_volt * channel_gain`` are a neuron's register units per volt.

    Args:
        found: the decisions.
        target: name of the chip.
        network: what was quantised.
    """
    of_shape = {population.name: population.shape for population in network.populations}
    role = roles(network)
    populations = {
        name: PopulationPlan(
            **_units(own.units or [1.0], of_shape[name], network.fires(name)),
            threshold=compact(np.asarray(own.threshold), of_shape[name]) if network.fires(name) else None,
            leak_u=compact(np.asarray(own.dash_syn), of_shape[name]),
            leak_v=compact(np.asarray(own.dash_mem), of_shape[name]),
            bias=BiasPlan(mantissa=compact(np.asarray(own.bias), of_shape[name]), exponent=0),
        )
        for name, own in found.populations.items()
    }
    matrices = {name: matrix_of(p.source in network.inputs, role[p.target]) for name, p in _named(network)}
    projections = {
        name: ProjectionPlan(bits=8, exponent=found.shifts.get(matrix, 0), rounding="nearest")
        for name, matrix in matrices.items()
    }
    return Plan(target=target, populations=populations, projections=projections)


def as_given(plan: Plan, network: Network) -> XyloPlan:
    """Return what a plan file says, as decisions for Xylo; what it leaves out is None.

    Raises:
        DeployError: projections of one matrix are given different exponents.
    """
    role = roles(network)
    shifts: dict[str, int] = {}
    for name, projection in _named(network):
        exponent = plan.projections.get(name, ProjectionPlan()).exponent
        matrix = matrix_of(projection.source in network.inputs, role[projection.target])
        if exponent is not None and shifts.setdefault(matrix, exponent) != exponent:
            raise DeployError(
                f"{name} has exponent {exponent}, but another projection of the chip's matrix {matrix!r} has"
                f" {shifts[matrix]}, and all weights of a matrix share one shift",
                where=plan.place("projections", name, "exponent"),
                fix="Give all of them one exponent, or leave it out.",
            )
    return XyloPlan(
        shifts,
        {p.name: _given(plan.populations[p.name], p.shape) for p in network.populations if p.name in plan.populations},
    )


def refuse_unused(plan: Plan) -> None:
    """Refuse decisions of a plan that Xylo has no use for, or that no neuron of it could live with.

    Raises:
        DeployError: it names all of them, with their lines.
    """
    found = [
        f"{plan.place('inputs', name)}: Xylo's inputs count spikes, so that nothing is decided of them"
        for name in plan.inputs
    ]
    for name, own in plan.populations.items():
        found += [f"{plan.place('populations', name, key)}: {why}" for key, why in _population_faults(own).items()]
    for name, projection in plan.projections.items():
        faults = _projection_faults(projection)
        found += [f"{plan.place('projections', name, key)}: {why}" for key, why in faults.items()]
    if found:
        raise DeployError(
            f"the plan does not fit: {'; '.join(found)}", where="--plan", fix="Change these lines, or remove them."
        )


def _population_faults(own: PopulationPlan) -> dict[str, str]:
    """Return what is wrong with decisions for a population, by key."""
    found = {}
    if own.scale is not None:
        found["scale"] = f"scale is {own.scale}, but Xylo's scales have no method"
    if own.channel_gain is not None and own.codes_per_volt is None:
        found["channel_gain"] = "channel_gain says how many times codes_per_volt, which is not given"
    if own.threshold is not None and np.min(own.threshold, initial=1) < 1:
        found["threshold"] = f"threshold is {np.min(own.threshold)}, but a neuron that fires at rest never ends"
    if own.leak_u is not None and np.min(own.leak_u, initial=1) < 1:
        found["leak_u"] = "leak_u is 0, but a current that keeps nothing never reaches v"
    return found


def _projection_faults(own: ProjectionPlan) -> dict[str, str]:
    """Return what is wrong with decisions for a projection, by key."""
    found = {}
    if own.bits not in (None, WEIGHT_BITS):
        found["bits"] = f"bits is {own.bits}, but all weights have {WEIGHT_BITS}"
    if own.rounding == "learned" or own.learned is not None:
        key = "learned" if own.learned is not None else "rounding"
        found[key] = "rounding is learned, but Xylo's weights are rounded to the nearest code"
    return found


def _given(own: PopulationPlan, shape: tuple[int, ...]) -> XyloPopulationPlan:
    def codes(values: object) -> list[int] | None:
        return None if values is None else spread(values, shape).tolist()

    units = None
    if own.codes_per_volt is not None:
        gain: NDArray[np.float64] = spread(own.channel_gain or [1.0], shape).astype(np.float64)
        units = (own.codes_per_volt * gain).tolist()
    bias = None if own.bias is None else codes(own.bias.mantissa)
    return XyloPopulationPlan(codes(own.leak_u), codes(own.leak_v), codes(own.threshold), bias, units)


def _named(network: Network) -> list[tuple[str, Projection]]:
    return list(zip(projection_names(network), network.projections, strict=True))


def _units(units: list[float], shape: tuple[int, ...], fires: bool) -> dict[str, Any]:
    """Return register units per volt as plans have them; those of what is read are one number for all neurons.

    The base is a power of two near typical units, so that dividing by it loses nothing.
    """
    if not fires:
        return {"codes_per_volt": units[0]}
    base = float(2.0 ** np.rint(np.log2(np.median(units))))
    gain = compact(np.asarray(units) / base, shape)
    return {"codes_per_volt": base, "channel_gain": gain if isinstance(gain, list) else [gain]}
