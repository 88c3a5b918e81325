"""Quantise a float network for a Xylo chip: shifts of decays, scales of neurons, shifts of matrices, thresholds.

Populations are coded in the order in which they feed each other, each on what the coded ones before it send.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.activity import Activity
from neurodeploy.families.xylo.codes import WEIGHT_RANGE
from neurodeploy.families.xylo.exactness import check_exact, spikes_in_a_step
from neurodeploy.families.xylo.integrators import fitted_integrators
from neurodeploy.families.xylo.layout import Layout, lay_out
from neurodeploy.families.xylo.limits import XyloChip, refuse_faults
from neurodeploy.families.xylo.losses import Coding, loss_sentences
from neurodeploy.families.xylo.neuron_form import NeuronForm, neuron_form
from neurodeploy.families.xylo.plan import XyloPlan, XyloPopulationPlan
from neurodeploy.families.xylo.population import XyloPopulation
from neurodeploy.families.xylo.random_activity import random_activity
from neurodeploy.families.xylo.relays import Relays
from neurodeploy.families.xylo.scale import FILLED, FILLED_AT_RANDOM, choose_shifts, demand
from neurodeploy.families.xylo.synapses import DenseSynapses, Placed, coded_synapses, place, refuse_large
from neurodeploy.families.xylo.thresholds import (
    Registers,
    Task,
    Trial,
    calibrated_registers,
    nearest_registers,
    with_common_factor,
)
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.network import Network

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Quantised:
    """A network in a chip's integers.

    populations, projections: in the order of the chip's neurons, relays among them.
    layout: the configuration of the chip.
    plan: all decisions; given back, it reproduces the codes.
    losses: what the integers do otherwise than the float model, a sentence each.
    """

    populations: tuple[XyloPopulation, ...]
    projections: tuple[CodedProjection, ...]
    layout: Layout
    plan: XyloPlan
    losses: tuple[str, ...]


@dataclass(slots=True)
class Work:
    """What is known while populations are coded one after the other."""

    network: Network
    placed: Placed
    forms: dict[str, NeuronForm]
    shifts: dict[str, int]
    units: dict[str, Floats]
    plan: XyloPlan
    spikes: Activity | None
    codings: dict[str, Coding] = field(default_factory=dict)


def quantise(
    network: Network, chip: XyloChip, spikes: Activity | None = None, plan: XyloPlan | None = None
) -> Quantised:
    """Quantise a network.

    Args:
        network: float neurons that Xylo has; :func:`neurodeploy.families.xylo.approximate.approximate` makes such.
        chip: what it holds.
        spikes: what the float model sends on calibration data, or None: then it is what it sends on random
            spikes.
        plan: decisions that are taken over; what it leaves out is decided anew.

    Raises:
        LackingError: Xylo does not compute the network; all reasons are named.
        DeployError: the chip does not hold it; all limits that are violated are named, with used and available.
    """
    check_exact(network)
    refuse_large(network, chip)
    work = prepared(network, place(network), plan or XyloPlan(), spikes)
    code_network(work, chip)
    populations, projections = assembled(work)
    layout = lay_out(network.inputs, populations, projections)
    seen = None if spikes is None else work.spikes
    losses = loss_sentences(network, work.placed, list(work.codings.values()), layout, seen)
    return Quantised(layout.populations, projections, layout, plan_of(work), losses)


def code_network(work: Work, chip: XyloChip) -> None:
    """Code all populations in the order in which they feed each other.

    Raises:
        DeployError: the chip does not hold them; that is seen before anything is run.
    """
    for given in (None, work.spikes):
        work.spikes = given
        for population in work.network.populations:
            code_population(population.name, work)
        refuse_faults(lay_out(work.network.inputs, *assembled(work)).codes, chip)


def prepared(network: Network, placed: Placed, plan: XyloPlan, spikes: Activity | None) -> Work:
    """Return the network's populations in the chip's form, with their scales and the spikes that these are made for.

    Args:
        network: float neurons that Xylo has.
        placed: where they lie.
        plan: shifts and units that are taken over.
        spikes: what the float model sends on calibration data, or None: then scales are made for random spikes.
    """
    forms = {}
    for population in network.populations:
        bias = sum((part.bias for part in placed.into[population.name]), np.zeros(population.size))
        forms[population.name] = neuron_form(population, bias)
    seen = random_activity(network, placed, forms) if spikes is None else spikes
    filled = FILLED_AT_RANDOM if spikes is None else FILLED
    demands = {name: demand(form, placed.into[name], seen, name, filled) for name, form in forms.items()}
    shifts = choose_shifts(list(demands.values()), plan.shifts)
    units = {}
    for name, asked in demands.items():
        given = plan.populations.get(name, XyloPopulationPlan()).units
        units[name] = asked.units(shifts) if given is None else np.asarray(given, np.float64)
        if given is None and not network.fires(name) and units[name].size:
            # Potentials that are read are compared with each other.
            units[name] = np.full_like(units[name], units[name].min())
    return Work(network, placed, forms, shifts, units, plan, seen)


def code_population(name: str, work: Work) -> None:
    """Code one population, and let its integers drive those that follow."""
    population, parts = work.network.population(name), work.placed.into[name]
    rule, role = population.rule, work.placed.roles[name]
    capped = rule.max_spikes is not None and rule.max_spikes < spikes_in_a_step(role)
    plan = work.plan.populations.get(name, XyloPopulationPlan())
    dashes = (None if given is None else np.asarray(given, np.int64) for given in (plan.dash_syn, plan.dash_mem))
    task = Task(work.forms[name], work.units[name], rule.spike == ">=", role, capped, *dashes)
    weights = tuple(_weight_codes(part, task, work.shifts[part.matrix]) for part in parts)
    if work.spikes is None:
        registers = _as_planned(nearest_registers(task), plan)
    elif not task.fires:
        sent = work.spikes.arriving(parts, name).astype(np.float64)
        arriving = sent @ np.concatenate([part.weight for part in parts], axis=1).T
        registers = _as_planned(fitted_integrators(task, arriving), plan)
    else:
        trial = _trial(name, parts, weights, work, work.spikes)
        registers = _as_planned(calibrated_registers(task, trial), plan)
        if trial.own.any() and plan.threshold is None:
            registers = _as_planned(with_common_factor(task, registers, trial), plan)
        work.spikes = work.spikes.with_coded(name, trial.sent(registers, task))
    work.codings[name] = Coding(name, task, registers, parts, weights, work.shifts)


def _weight_codes(part: DenseSynapses, task: Task, shift: int) -> NDArray[np.int16]:
    """Return the codes of a matrix, int16 (n_out, n_in)."""
    scaled = part.weight * (task.form.gain * task.units)[:, np.newaxis] / 2.0**shift
    return np.clip(np.rint(scaled), *WEIGHT_RANGE).astype(np.int16)


def _trial(
    name: str, parts: tuple[DenseSynapses, ...], weights: tuple[NDArray[np.int16], ...], work: Work, spikes: Activity
) -> Trial:
    """Return what a population is measured with, given what the coded ones before it send."""
    shifted = [(codes << work.shifts[part.matrix]).T for part, codes in zip(parts, weights, strict=True)]
    none = np.zeros((0, work.network.population(name).size), np.int16)
    own = [np.full(part.weight.shape[1], part.source == name and part.after == 1) for part in parts]
    return Trial(
        spikes.arriving(parts, name),
        np.concatenate([none, *shifted]).astype(np.int16)[:, np.newaxis],
        spikes.sent[name],
        np.concatenate([np.zeros(0, np.bool_), *own]),
        work.placed.latency[name],
    )


def _as_planned(registers: Registers, plan: XyloPopulationPlan) -> Registers:
    """Return registers with the thresholds and biases that a plan gives."""
    given = {"threshold_code": plan.threshold, "bias_code": plan.bias}
    codes: dict[str, Any] = {key: np.asarray(v, np.int64) for key, v in given.items() if v is not None}
    return replace(registers, **codes)


def assembled(work: Work) -> tuple[tuple[XyloPopulation, ...], tuple[CodedProjection, ...]]:
    """Return all populations and synapses of the chip, with relays where a spike has to wait."""
    inputs = frozenset(work.network.inputs)
    relays = Relays(work.shifts, inputs, work.placed.latency)
    populations, projections = [], []
    for coding in work.codings.values():
        populations.append(_population(coding, work))
        for part, codes in zip(coding.parts, coding.weights, strict=True):
            source, shift = relays.source(part), work.shifts[part.matrix]
            projections.append(coded_synapses(source, coding.name, codes, shift, source in inputs))
    return (*relays.populations.values(), *populations), (*relays.projections, *projections)


def _population(coding: Coding, work: Work) -> XyloPopulation:
    registers = coding.registers
    units = coding.task.units_of_v(registers)
    return XyloPopulation(
        coding.name,
        work.network.population(coding.name).shape,
        work.placed.latency[coding.name],
        float(np.median(units)) if units.size else 1.0,
        coding.task.role,
        registers.dash_syn,
        registers.dash_mem,
        registers.threshold_code,
        registers.bias_code,
        units,
        coding.task.fires,
    )


def plan_of(work: Work) -> XyloPlan:
    """Return all decisions, with which the same codes come out again."""
    populations = {
        name: XyloPopulationPlan(
            coding.registers.dash_syn.tolist(),
            coding.registers.dash_mem.tolist(),
            coding.registers.threshold_code.tolist(),
            coding.registers.bias_code.tolist(),
            coding.task.units.tolist(),
        )
        for name, coding in work.codings.items()
    }
    return XyloPlan(work.shifts, populations)
