"""Loihi's stages of compiling: each takes a draft and returns it with more in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neurodeploy.coding.approximation import Approximation, measure_changes
from neurodeploy.coding.calibration import FEWEST_SPIKES, Calibration, correction_sentences
from neurodeploy.families.base import Contract, Draft
from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS
from neurodeploy.families.loihi.bias_source import BIAS_SOURCE, bias_source
from neurodeploy.families.loihi.check.program_check import check_program
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.compile.cautions import beyond, cautions, refuse_misfits
from neurodeploy.families.loihi.compile.changes import helping, never_firing, strict, without_maxima
from neurodeploy.families.loihi.compile.inputs import float_parts, measure_inputs, messages_of_inputs
from neurodeploy.families.loihi.compile.losses import Loss, find_losses, loss_sentences
from neurodeploy.families.loihi.exactness import check_sent_potentials
from neurodeploy.families.loihi.messages import Messages
from neurodeploy.families.loihi.program import LoihiProgram, loihi_program
from neurodeploy.families.loihi.quantise.approximate import approximate
from neurodeploy.families.loihi.quantise.drive import drive
from neurodeploy.families.loihi.quantise.fit import Choices, Fit, fit_population
from neurodeploy.families.loihi.quantise.population import Coded, code_fit
from neurodeploy.families.loihi.relays import with_relays
from neurodeploy.families.loihi.scale import Synapses, is_out_of_reach
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.families.options import CompileOptions
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.decision import membranes
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.plan import InputPlan, Plan, PopulationPlan, ProjectionPlan, check_plan, projection_names
from neurodeploy.passes.maxima import with_realised_steps
from neurodeploy.passes.schedule import schedule

Names = dict[Projection, str]
"""How plans call each projection."""


@dataclass(frozen=True, eq=False, slots=True)
class Scaled:
    """A population in the chip's form, in float, with the scales to try.

    population: as the network has it. neuron, synapses: in the chip's form. latency: hardware step of its row 0.
    formats: the target's. choices: how it is quantised. fit: its volts and scales.
    integrates: its neurons have no threshold, because nothing reaches theirs and nobody hears them.
    """

    population: Population
    neuron: AffineNeuron
    synapses: tuple[Synapses, ...]
    latency: int
    formats: dict[str, int]
    choices: Choices
    fit: Fit
    integrates: bool

    def coded(self) -> Coded:
        """Return its codes."""
        return code_fit(self.population, self.fit, self.latency, self.choices)

    def quantise(self, choices: Choices) -> Coded:
        """Return the codes that other choices give."""
        fit = fit_population(self.population, self.neuron, self.synapses, self.formats, choices)
        return code_fit(self.population, fit, self.latency, choices)


@dataclass(frozen=True, eq=False, slots=True)
class LoihiDraft(Draft):
    """A program for a Loihi in the making.

    changes: what was approximated. steps: of each population of rectifiers, V. messages: how graded inputs are sent.
    names: how plans call each projection. nominal: the network before the steps of rectifiers are the chip's.
    scaled, coded: the populations in float with their scales, and their codes. losses: what codes lost, where asked.
    graded: what sending inputs as messages costs.
    """

    target: LoihiTarget
    changes: tuple[Approximation, ...] = ()
    steps: dict[str, float] = field(default_factory=dict)
    messages: dict[str, Messages] = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    nominal: Network | None = None
    scaled: tuple[Scaled, ...] = ()
    coded: tuple[Coded, ...] = ()
    losses: tuple[Loss, ...] = ()
    graded: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def formats(self) -> dict[str, int]:
        """The target's number formats, by name."""
        return self.target.formats()

    def left(self, stage: str) -> dict[str, Any]:
        """Return scales and codes as the plan has them, JSON-ready."""
        if stage == "scale":
            return {
                one.population.name: {
                    "method": one.fit.method,
                    "codes_per_volt": [s.weights_per_volt for s in one.fit.scales],
                }
                for one in self.scaled
            }
        if stage == "code":
            return {c.population.name: c.plan.model_dump(exclude_none=True) for c in self.coded}
        return {}


def fold(draft: LoihiDraft) -> LoihiDraft:
    """Put rectifiers in place of maxima of values, and refuse potentials that are sent."""
    check_plan(draft.plan, draft.network, draft.target.name, draft.formats)
    network, calibration, steps, changes = without_maxima(draft.network, draft.target, draft.calibration)
    check_sent_potentials(network)
    return replace(draft, network=network, calibration=calibration, steps=steps, changes=changes)


def find_nearest(draft: LoihiDraft) -> LoihiDraft:
    """Take the nearest neurons that the target has, where that was asked for."""
    network, changes = draft.network, draft.changes
    if draft.options.approximate:
        network, more = approximate(network, draft.target)
        changes += more
    # Firing rates are to meet those of the model as it was trained, not of its approximation.
    calibration = None if draft.calibration is None else replace(draft.calibration, network=network)
    return replace(draft, network=network, calibration=calibration, changes=changes)


def set_times(draft: LoihiDraft) -> LoihiDraft:
    """Find latencies and delays."""
    latency, delays = schedule(draft.network)
    return replace(draft, latency=latency, delays=delays)


def scale(draft: LoihiDraft) -> LoihiDraft:
    """Bring each population into the chip's form, and find the scales at which its codes keep its membranes."""
    network, target, calibration = draft.network, draft.target, draft.calibration
    messages = messages_of_inputs(network, target, draft.options, draft.plan, calibration)
    names = dict(zip(network.projections, projection_names(network), strict=True))
    draft = replace(draft, messages=messages, names=names, nominal=network)
    # Potentials that decide are compared with each other, so they share one scale.
    read = membranes(network)
    found = []
    for population in network.populations:
        shares = population.name in (*read, *draft.steps)
        found.append(_scaled(draft, draft.network.population(population.name), shares))
        if (step := draft.steps.get(population.name)) is not None:
            draft = _with_realised_step(draft, found[-1].coded().population, step)
    return replace(draft, scaled=tuple(found))


def _scaled(draft: LoihiDraft, population: Population, shares_scale: bool) -> Scaled:
    """Return a population with the scales to try."""
    network, calibration, name = draft.network, draft.calibration, population.name
    neuron, synapses = float_parts(population, network, draft.target, draft.messages, calibration, draft.delays)
    sends = any(p.source == name for p in network.projections)
    if integrates := not sends and is_out_of_reach(neuron, synapses):
        neuron = neuron.integrating()
    choices = Choices(
        draft.options.bits_on(draft.target),
        draft.options.scale,
        draft.options.rounding or "nearest",
        _corrections(draft.options, calibration, name),
        False if shares_scale else draft.options.per_channel,
        draft.plan.populations.get(name, PopulationPlan()),
        tuple(draft.plan.projections.get(draft.names[p], ProjectionPlan()) for p in network.into(name)),
        None if calibration is None else drive(calibration, name, {n: m.scale for n, m in draft.messages.items()}),
    )
    fit = fit_population(population, neuron, synapses, draft.formats, choices)
    return Scaled(population, neuron, synapses, draft.latency[name], draft.formats, choices, fit, integrates)


def code(draft: LoihiDraft) -> LoihiDraft:
    """Round weights, thresholds, leaks and biases to codes, and find what that loses."""
    found: list[Coded] = []
    losses: list[Loss] = []
    graded: dict[str, dict[str, Any]] = {}
    for one in draft.scaled:
        coded = one.coded()
        if one.integrates:
            coded = never_firing(coded)
        if draft.names_losses:
            losses += find_losses(one.population, one.neuron, one.synapses, one.choices, coded, one.quantise)
        if one.population.name in draft.steps:
            coded = helping(coded)
        if draft.calibration is not None:
            measure_inputs(graded, draft.messages, one.synapses, coded, draft.calibration)
        found.append(coded)
    return replace(draft, coded=tuple(found), losses=tuple(losses), graded=graded)


def place(draft: LoihiDraft) -> LoihiDraft:
    """Make program and plan, with what the chip needs to keep the model's time, and refuse what does not fit."""
    network, coded, target = draft.network, list(draft.coded), draft.target
    assert draft.nominal is not None
    nearest, more = strict(draft.nominal, coded)
    draft = replace(draft, changes=draft.changes + more)
    complete = _complete_plan(draft)
    program = with_relays(_program(draft, complete, nearest), draft.formats["delay_max"])
    refuse_misfits(program, target)
    warnings = cautions(program, coded, beyond(network, program, target, draft.options))
    said = [*loss_sentences(list(draft.losses)), *(note for c in coded for note in c.notes)]
    if draft.calibration is not None:
        factors = {c.population.name: c.threshold_factor for c in coded if not c.population.helps}
        said += correction_sentences(draft.calibration, factors, bool(draft.options.correct))
    whole = draft.with_host(replace(program, warnings=warnings))
    return replace(draft, program=whole, complete=complete, said=tuple(said))


def check(draft: LoihiDraft) -> LoihiDraft:
    """Find the bounds of registers and what calibration data shows; refuse what would be silent."""
    assert draft.program is not None
    inputs, reference = (None, None) if draft.trained is None else (draft.trained.inputs, draft.trained.recording)
    program = loihi_program(draft.program, "this check")
    found = check_program(program, inputs, reference, draft.options.allow_silent)
    return replace(draft, contract=Contract(found.warnings, found.as_json()))


STAGES: Mapping[str, Callable[[Any], LoihiDraft]] = {
    "fold": fold,
    "approximate": find_nearest,
    "schedule": set_times,
    "scale": scale,
    "code": code,
    "map": place,
    "check": check,
}


def _complete_plan(draft: LoihiDraft) -> Plan:
    """Return all decisions."""
    return Plan(
        target=draft.target.name,
        inputs=_input_plans(draft.messages, draft.plan, draft.calibration),
        populations={c.population.name: c.plan for c in draft.coded},
        projections={
            draft.names[p]: own
            for c in draft.coded
            for p, own in zip(draft.network.into(c.population.name), c.projection_plans, strict=True)
        },
    )


def _program(draft: LoihiDraft, complete: Plan, nearest: Network) -> LoihiProgram:
    """Return the program, whose projections may have delays of any length."""
    coded, messages = draft.coded, draft.messages
    sources, late = _late_bias(draft.network, list(coded))
    return draft.program_of(
        (*(c.population for c in coded), *sources),
        (*(p for c in coded for p in c.projections), *late),
        _provenance(draft, complete, nearest),
        message_bits={name: one.bits for name, one in messages.items()},
        input_scale={name: one.scale for name, one in messages.items()},
    )


def _provenance(draft: LoihiDraft, complete: Plan, nearest: Network) -> dict[str, Any]:
    """Return what is known of the program's making, JSON-ready; nothing where nothing was found."""
    trained, changes = draft.trained, draft.changes
    stretched = [name for name, own in complete.populations.items() if own.channel_gain is not None]
    rates = {name: own.rate for name, own in complete.inputs.items() if own.rate is not None}
    never = [c.population.name for c in draft.coded if c.never_fires]
    return {
        **draft.provenance,
        **({"approximations": measure_changes(trained, nearest, changes)} if trained and changes else {}),
        **_found(draft.graded, list(draft.coded), draft.names, draft.network),
        **({"per_channel": stretched} if stretched else {}),
        **({"calibration_rates": rates} if rates else {}),
        **({"never_fire": never} if never else {}),
        "network_sha256": draft.digest,
        "plan_sha256": complete.digest(),
    }


def _input_plans(messages: dict[str, Messages], plan: Plan, calibration: Calibration | None) -> dict[str, InputPlan]:
    """Return how inputs are sent, and how often they were not 0 in the calibration data of now or of the plan."""
    planned = {name: own.rate for name, own in plan.inputs.items() if own.rate is not None}
    rates = planned if calibration is None else calibration.rates()
    found = {name: InputPlan(rate=rate) for name, rate in rates.items()}
    for name, one in messages.items():
        found[name] = InputPlan(message_bits=one.bits, scale=one.scale, rate=rates.get(name))
    return found


def _corrections(options: CompileOptions, calibration: Calibration | None, name: str) -> tuple[str, ...]:
    """Return what of a population is corrected: nothing by rates that are chance."""
    spikes = None if calibration is None else calibration.spikes(name)
    return options.correct or () if spikes is None or spikes >= FEWEST_SPIKES else ()


def _with_realised_step(draft: LoihiDraft, rectifiers: LoihiPopulation, step: float) -> LoihiDraft:
    """Return the draft with the step that rectifiers have on the chip."""
    realised = float(rectifiers.threshold_code[0] << ALIGN_BITS) / rectifiers.unit
    new = with_realised_steps(draft.network.projections, rectifiers.name, step, realised)
    delays = draft.delays | {new[old]: draft.delays[old] for old in new}
    names = draft.names | {new[old]: draft.names[old] for old in new}
    projections = tuple(new.get(p, p) for p in draft.network.projections)
    return replace(draft, network=replace(draft.network, projections=projections), delays=delays, names=names)


def _late_bias(network: Network, coded: list[Coded]) -> tuple[tuple[LoihiPopulation, ...], tuple[CodedProjection, ...]]:
    """Return the source of bias and its synapses, where a population needs them."""
    late = [c.late for c in coded if c.late is not None]
    if not late:
        return (), ()
    name = BIAS_SOURCE
    while name in network.shapes:
        name += " (always on)"
    return (bias_source(name),), tuple(replace(p, source=name) for p in late)


def _found(
    graded: dict[str, dict[str, Any]], coded: list[Coded], names: dict[Projection, str], network: Network
) -> dict[str, Any]:
    """Return what was found of inputs and weights, as programs carry it; nothing where nothing was."""
    grids = {
        names[p]: grid
        for c in coded
        for p, grid in zip(network.into(c.population.name), c.grids, strict=True)
        if grid is not None and any(hasattr(op, "weight") for op in p.ops)
    }
    return {key: value for key, value in (("graded_inputs", graded), ("weight_grids", grids)) if value}
