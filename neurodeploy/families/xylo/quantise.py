"""Quantise a float network for a Xylo chip: shifts of decays, scales of neurons, shifts of matrices, thresholds.

Populations are coded in the order in which they feed each other, each on what the coded ones before it send.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.activity import Activity
from neurodeploy.families.xylo.codes import WEIGHT_RANGE
from neurodeploy.families.xylo.exactness import check_exact
from neurodeploy.families.xylo.kernel import run_alone
from neurodeploy.families.xylo.layout import Layout, lay_out
from neurodeploy.families.xylo.limits import XyloChip, faults
from neurodeploy.families.xylo.losses import Coding, loss_sentences
from neurodeploy.families.xylo.neuron_form import NeuronForm, neuron_form
from neurodeploy.families.xylo.plan import XyloPlan, XyloPopulationPlan
from neurodeploy.families.xylo.population import XyloPopulation
from neurodeploy.families.xylo.relays import CODED_DELAY, CODED_INPUT_DELAY, WEIGHT_BITS, Relays
from neurodeploy.families.xylo.scale import choose_shifts, demand
from neurodeploy.families.xylo.synapses import DenseSynapses, Placed, place
from neurodeploy.families.xylo.thresholds import (
    Registers,
    Task,
    Trial,
    calibrated_registers,
    nearest_registers,
    with_factor,
)
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.network import Network

Floats = NDArray[np.float64]

COMMON_FACTORS = (1.0, 0.97, 1.03, 0.94, 1.06, 0.9, 1.1, 0.85, 1.15, 0.8, 1.2)
"""Factors on all thresholds of a population that feeds itself, tried with its own spikes; the nearest to 1 first."""


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
        spikes: what the float model sends on calibration data, or None: then scales follow from bounds of weights, and
            thresholds are rounded.
        plan: decisions that are taken over; what it leaves out is decided anew.

    Raises:
        LackingError: Xylo does not compute the network; all reasons are named.
        DeployError: the chip does not hold it; all limits that are violated are named, with used and available.
    """
    check_exact(network)
    work = prepared(network, spikes, plan or XyloPlan())
    for population in network.populations:
        code_population(population.name, work)
    populations, projections = assembled(work)
    layout = lay_out(network.inputs, populations, projections)
    if found := faults(layout.codes, chip):
        raise DeployError(
            f"the network does not fit {chip.title}: {'; '.join(found)}",
            where="the chip's limits",
            fix="Make the network smaller, prune it, or choose a chip that holds it.",
        )
    losses = loss_sentences(network, work.placed, list(work.codings.values()), work.spikes)
    return Quantised(layout.populations, projections, layout, plan_of(work), losses)


def prepared(network: Network, spikes: Activity | None, plan: XyloPlan) -> Work:
    """Return the network's populations in the chip's form, with their scales."""
    placed = place(network)
    forms, demands = {}, {}
    for population in network.populations:
        parts = placed.into[population.name]
        bias = sum((part.bias for part in parts), np.zeros(population.size))
        forms[population.name] = form = neuron_form(population, bias)
        demands[population.name] = demand(form, parts, spikes, population.name)
    shifts = choose_shifts(list(demands.values()), plan.shifts)
    units = {}
    for name, asked in demands.items():
        given = plan.populations.get(name, XyloPopulationPlan()).units
        units[name] = asked.units(shifts) if given is None else np.asarray(given, np.float64)
    return Work(network, placed, forms, shifts, units, plan, spikes)


def code_population(name: str, work: Work) -> None:
    """Code one population, and let its integers drive those that follow."""
    population, parts = work.network.population(name), work.placed.into[name]
    task = Task(work.forms[name], work.units[name], population.rule.spike == ">=", work.placed.roles[name])
    weights = tuple(_weight_codes(part, task, work.shifts[part.matrix]) for part in parts)
    trial = _trial(name, parts, weights, work)
    registers = nearest_registers(task) if trial is None else calibrated_registers(task, trial)
    registers = _as_planned(registers, work.plan.populations.get(name))
    if trial is not None and work.spikes is not None and task.fires:
        registers, sent = _closed(name, task, registers, trial, parts, weights, work)
        work.spikes = work.spikes.with_coded(name, sent)
    work.codings[name] = Coding(name, task, registers, parts, weights)


def _weight_codes(part: DenseSynapses, task: Task, shift: int) -> NDArray[np.int16]:
    """Return the codes of a matrix, int16 (n_out, n_in)."""
    scaled = part.weight * (task.form.gain * task.units)[:, np.newaxis] / 2.0**shift
    return np.clip(np.rint(scaled), *WEIGHT_RANGE).astype(np.int16)


def _trial(
    name: str, parts: tuple[DenseSynapses, ...], weights: tuple[NDArray[np.int16], ...], work: Work
) -> Trial | None:
    if work.spikes is None or name not in work.spikes.sent:
        return None
    n = work.network.population(name).size
    shifted = [(codes << work.shifts[part.matrix]).T for part, codes in zip(parts, weights, strict=True)]
    weight = np.concatenate([np.zeros((0, n), np.int16), *shifted]).astype(np.int16)[:, np.newaxis]
    wanted = work.spikes.sent[name].sum(axis=0, dtype=np.int64)
    return Trial(work.spikes.arriving(parts, name), weight, wanted)


def _as_planned(registers: Registers, plan: XyloPopulationPlan | None) -> Registers:
    """Return registers with those that a plan gives."""
    if plan is None:
        return registers
    given = {
        "dash_syn": plan.dash_syn,
        "dash_mem": plan.dash_mem,
        "threshold_code": plan.threshold,
        "bias_code": plan.bias,
    }
    codes: dict[str, Any] = {key: np.asarray(v, np.int64) for key, v in given.items() if v is not None}
    return replace(registers, **codes)


def _closed(
    name: str,
    task: Task,
    registers: Registers,
    trial: Trial,
    parts: tuple[DenseSynapses, ...],
    weights: tuple[NDArray[np.int16], ...],
    work: Work,
) -> tuple[Registers, NDArray[np.uint8]]:
    """Return registers, and what the population sends with them, where it hears its own spikes instead of the model's.

    Only one that feeds itself in the next step does; its thresholds then get one more factor, unless a plan has them.
    """
    own = [i for i, part in enumerate(parts) if part.source == name and part.after == 1]
    if not own:
        return registers, run_alone(trial.drive, trial.weight, registers.neurons(), task.most)
    starts = np.cumsum([0, *(part.weight.shape[1] for part in parts)])
    rows = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in own])
    outside = np.delete(np.arange(starts[-1]), rows)
    drive = np.ascontiguousarray(trial.drive[:, :, outside])
    weight, weight_own = trial.weight[outside], trial.weight[rows]
    planned = work.plan.populations.get(name)
    factors = COMMON_FACTORS if planned is None or planned.threshold is None else (1.0,)
    tried: list[tuple[float, int, Registers, NDArray[np.uint8]]] = []
    for factor in factors:
        chosen = registers if factor == 1.0 else with_factor(task, registers, factor)
        sent = run_alone(drive, weight, chosen.neurons(), task.most, weight_own)
        error = float(np.abs(sent.sum(axis=0, dtype=np.int64) - trial.wanted).mean())
        tried.append((error, len(tried), chosen, sent))
    _, _, chosen, sent = min(tried, key=lambda one: one[:2])
    return chosen, sent


def assembled(work: Work) -> tuple[tuple[XyloPopulation, ...], tuple[CodedProjection, ...]]:
    """Return all populations and synapses of the chip, with relays where a spike has to wait."""
    relays = Relays(work.shifts, work.placed.latency)
    populations, projections = [], []
    for coding in work.codings.values():
        populations.append(_population(coding, work))
        for part, codes in zip(coding.parts, coding.weights, strict=True):
            source = relays.source(part)
            is_input = source in work.network.inputs
            matrix = "in" if is_input else "rec" if part.matrix == "in" else part.matrix
            if work.shifts[matrix] != work.shifts[part.matrix]:
                codes = _weight_codes(part, coding.task, work.shifts[matrix])
            delay = CODED_INPUT_DELAY if is_input else CODED_DELAY
            projections.append(
                CodedProjection(source, coding.name, codes, work.shifts[matrix], WEIGHT_BITS, "mixed", delay)
            )
    return (*relays.populations.values(), *populations), (*relays.projections, *projections)


def _population(coding: Coding, work: Work) -> XyloPopulation:
    registers, units = coding.registers, coding.task.units
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
