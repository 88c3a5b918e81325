"""Compile a model for a chip: quantised, scheduled, checked against what the chip holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from neurodeploy.analysis.calibration_data import (
    FEWEST_SPIKES,
    Calibration,
    correction_sentences,
    measure_changes,
    run_reference,
)
from neurodeploy.coding.data import Data, Given, given_samples
from neurodeploy.compiler.keywords import Compiling, shows
from neurodeploy.compiler.options import CompileOptions, check_options
from neurodeploy.errors import LackingError
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS
from neurodeploy.families.loihi.check.program_check import Contract, check_program
from neurodeploy.families.loihi.compile.cautions import beyond, cautions, refuse_misfits, refuse_too_many_neurons
from neurodeploy.families.loihi.compile.changes import helping, never_firing, strict, without_maxima
from neurodeploy.families.loihi.compile.inputs import float_parts, measure_inputs, messages_of_inputs
from neurodeploy.families.loihi.compile.losses import Loss, find_losses, loss_sentences
from neurodeploy.families.loihi.compile.nearest import nearest_form
from neurodeploy.families.loihi.exactness import check_sent_potentials
from neurodeploy.families.loihi.helpers import BIAS_SOURCE, bias_source, with_relays
from neurodeploy.families.loihi.messages import Messages, is_graded
from neurodeploy.families.loihi.quantise.approximate import approximate
from neurodeploy.families.loihi.quantise.fit import Choices
from neurodeploy.families.loihi.quantise.population import Coded, quantise_population
from neurodeploy.families.loihi.scale import is_out_of_reach
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.codes import CodedPopulation, CodedProjection
from neurodeploy.ir.decision import Decision, membranes, with_decision
from neurodeploy.ir.host import entering, split
from neurodeploy.ir.host import sentence as host_sentence
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.plan import (
    InputPlan,
    Plan,
    PopulationPlan,
    ProjectionPlan,
    check_plan,
    load_plan,
    projection_names,
)
from neurodeploy.ir.program import Program
from neurodeploy.passes.maxima import with_realised_steps
from neurodeploy.passes.schedule import schedule
from neurodeploy.targets.target import Target, load_target
from neurodeploy.version import __version__


@dataclass(frozen=True, eq=False, slots=True)
class Compiled:
    """A program, the plan that gives the same program again, and what is known of its registers before it runs.

    said: what is known to be lost, and what mends it; what was given up or refitted. It depends on the options, too.
    """

    program: Program
    plan: Plan
    contract: Contract | None = None
    said: tuple[str, ...] = ()


@shows(Compiling)
def compile(
    model: Path | str | Any,
    target: str | Path | Target,
    *,
    dialect: str | None = None,
    plan: Plan | Path | str | None = None,
    calibrate: Given | None = None,
    decide: Decision | str | None = None,
    weight_bits: int | str | None = None,
    scale: str | None = None,
    rounding: str | None = None,
    correct: tuple[str, ...] | None = None,
    per_channel: bool | None = None,
    message_bits: int = 0,
    input_scale: float | None = None,
    input_range: dict[str, tuple[float, float]] | None = None,
    allow_oversize: bool = False,
    allow_silent: bool = False,
    approximate: bool = False,
    host: int | str | None = None,
) -> Program:
    """Quantise and schedule a model for a target.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: the chip, by name, as a TOML file, or as :func:`neurodeploy.load_target` gives it.
        dialect: as given to ``--dialect``, or None.
        plan: decisions, or a file of them; what it leaves out is decided by the options.
        calibrate: data that the methods that need some are given, a file, samples or arrays; never the data that is
            scored.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.

    Returns:
        The program; its ``warnings`` say what can go wrong or could not be matched.

    Raises:
        DeployError: the model, the plan or the data cannot be read, or the chip cannot run the network.
    """
    return compile_with_plan(
        model,
        target,
        dialect=dialect,
        plan=plan,
        calibrate=calibrate,
        decide=decide,
        weight_bits=weight_bits,
        scale=scale,
        rounding=rounding,
        correct=correct,
        per_channel=per_channel,
        message_bits=message_bits,
        input_scale=input_scale,
        input_range=input_range,
        allow_oversize=allow_oversize,
        allow_silent=allow_silent,
        approximate=approximate,
        host=host,
    ).program


@shows(Compiling)
def compile_with_plan(
    model: Path | str | Any,
    target: str | Path | Target,
    *,
    dialect: str | None = None,
    plan: Plan | Path | str | None = None,
    calibrate: Given | None = None,
    decide: Decision | str | None = None,
    **options: Unpack[Compiling],
) -> Compiled:
    """Quantise and schedule a model for a target; return the decisions, too.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: the chip, by name, as a TOML file, or as :func:`neurodeploy.load_target` gives it.
        dialect: as given to ``--dialect``, or None.
        plan: decisions, or a file of them; what it leaves out is decided by the options.
        calibrate: data that the methods that need some are given; never the data that is scored.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.
        **options: how it is compiled; see below.

    Raises:
        DeployError: the model, the plan or the data cannot be read, or the chip cannot run the network.
    """
    chip = load_target(target)
    provenance: dict[str, Any] = {"neurodeploy": __version__}
    if isinstance(model, Network):
        network = model
    else:
        network, settled, graph = read_network(model, dialect)
        provenance.update(model_sha256=graph.sha256, nir=graph.version, dialect_evidence=list(settled.evidence))
    network = with_decision(network, decide)
    if isinstance(plan, (str, Path)):
        plan = load_plan(plan)
    samples = None if calibrate is None else given_samples(calibrate, network.inputs)
    data = None if samples is None else samples.part(0, samples.n_samples)
    settings = CompileOptions(**options).settled(data is not None)
    check_options(settings, chip, data is not None)
    host, on_chip, data = _split(network, settings, data)
    refuse_too_many_neurons(on_chip, chip, settings)
    calibration = None if data is None else run_reference(on_chip, data)
    try:
        compiled = compile_network(on_chip, chip, settings, provenance, plan or Plan(), calibration, True)
    except LackingError as error:
        cost = "" if calibration is None or settings.approximate else nearest_form(on_chip, chip, calibration)
        raise LackingError(error.what, where=error.where, fix=f"{error.fix} {cost}".strip()) from error
    if host is not None:
        compiled = _with_host(compiled, host, network.digest())
    inputs, reference = (None, None) if calibration is None else (calibration.inputs, calibration.recording)
    contract = check_program(compiled.program, inputs, reference, settings.allow_silent)
    return replace(compiled, contract=replace(contract, warnings=(*compiled.said, *contract.warnings)))


def _split(
    network: Network, options: CompileOptions, calibrate: Data | None
) -> tuple[Network | None, Network, Data | None]:
    """Return what the host runs, or None, what the chip does, and the calibration data as it enters the chip."""
    if options.host is None:
        return None, network, calibrate
    if options.host == "auto" and calibrate is not None and not any(map(is_graded, calibrate.x.values())):
        return None, network, calibrate
    host, on_chip = split(network, options.host)
    if calibrate is not None:
        calibrate = replace(calibrate, x=entering(host, on_chip.inputs, calibrate.x))
    return host, on_chip, calibrate


def _with_host(compiled: Compiled, host: Network, digest: str) -> Compiled:
    """Return a program of the whole network: that of the chip, and what the host runs before it."""
    program = compiled.program
    provenance = {
        **program.provenance,
        "network_sha256": digest,
        "host": [population.name for population in host.populations],
    }
    warnings = (host_sentence(host), *program.warnings)
    return replace(compiled, program=replace(program, host=host, provenance=provenance, warnings=warnings))


def compile_network(
    network: Network,
    target: Target,
    options: CompileOptions,
    provenance: dict[str, Any],
    plan: Plan,
    calibration: Calibration | None,
    names_losses: bool = False,
) -> Compiled:
    """Quantise and schedule a network without asking whether it falls silent; see :func:`compile_with_plan`.

    Losses, and what mends them, are found only where they are asked for: it quantises populations anew.
    """
    check_options(options, target, calibration is not None)
    formats = target.number_formats.values()
    check_plan(plan, network, target.name, formats)
    digest = network.digest()
    trained = calibration
    network, calibration, steps, changes = without_maxima(network, target, calibration)
    check_sent_potentials(network)
    latency, delays = schedule(network)
    messages = messages_of_inputs(network, target, options, plan, calibration)
    # Firing rates are to meet those of the model as it was trained, not of its approximation.
    if options.approximate:
        network, more = approximate(network, target)
        changes += more
    nominal = network
    if calibration is not None:
        calibration = replace(calibration, network=network)
    names = dict(zip(network.projections, projection_names(network), strict=True))
    # Potentials that decide are compared with each other, so they share one scale.
    read = membranes(network)
    coded: list[Coded] = []
    losses: list[Loss] = []
    graded: dict[str, dict[str, Any]] = {}
    for population in network.populations:
        into = network.into(population.name)
        neuron, synapses = float_parts(population, network, target, messages, calibration, delays)
        sends = any(p.source == population.name for p in network.projections)
        if integrates := not sends and is_out_of_reach(neuron, synapses):
            neuron = neuron.integrating()
        choices = Choices(
            options.bits_on(target),
            options.scale,
            options.rounding or "nearest",
            _corrections(options, calibration, population.name),
            False if population.name in (*read, *steps) else options.per_channel,
            plan.populations.get(population.name, PopulationPlan()),
            tuple(plan.projections.get(names[p], ProjectionPlan()) for p in into),
            None
            if calibration is None
            else calibration.drive(population.name, {name: one.scale for name, one in messages.items()}),
        )
        quantise = partial(quantise_population, population, neuron, synapses, latency[population.name], formats)
        coded.append(quantise(choices))
        if integrates:
            coded[-1] = never_firing(coded[-1])
        if names_losses:
            losses += find_losses(population, neuron, synapses, choices, coded[-1], quantise)
        if population.name in steps:
            coded[-1] = helping(coded[-1])
            network = _with_realised_step(network, coded[-1].population, steps[population.name], delays, names)
        if calibration is not None:
            measure_inputs(graded, messages, synapses, coded[-1], calibration)
    nearest, more = strict(nominal, coded)
    changes += more
    complete = Plan(
        target=target.name,
        inputs=_input_plans(messages, plan, calibration),
        populations={c.population.name: c.plan for c in coded},
        projections={
            names[p]: own
            for c in coded
            for p, own in zip(network.into(c.population.name), c.projection_plans, strict=True)
        },
    )
    rates = {name: own.rate for name, own in complete.inputs.items() if own.rate is not None}
    sources, late = _late_bias(network, coded)
    stretched = [name for name, own in complete.populations.items() if own.channel_gain is not None]
    program = Program(
        target=target.name,
        arithmetic=target.arithmetic,
        inputs=network.inputs,
        populations=(*(c.population for c in coded), *sources),
        projections=(*(p for c in coded for p in c.projections), *late),
        outputs=network.outputs,
        dt=network.dt,
        dialect=network.dialect,
        number_formats=formats,
        provenance={
            **provenance,
            **({"approximations": measure_changes(trained, nearest, changes)} if trained and changes else {}),
            **_found(graded, coded, names, network),
            **({"per_channel": stretched} if stretched else {}),
            **({"calibration_rates": rates} if rates else {}),
            **({"never_fire": never} if (never := [c.population.name for c in coded if c.never_fires]) else {}),
            "network_sha256": digest,
            "plan_sha256": complete.digest(),
        },
        message_bits={name: one.bits for name, one in messages.items()},
        input_scale={name: one.scale for name, one in messages.items()},
        decision=network.decision,
        readouts=network.readouts,
        undecided=network.undecided,
    )
    program = with_relays(program, formats["delay_max"])
    refuse_misfits(program, target)
    warnings = cautions(program, coded, beyond(network, program, target, options))
    said = [*loss_sentences(losses), *(note for c in coded for note in c.notes)]
    if calibration is not None:
        factors = {c.population.name: c.threshold_factor for c in coded if not c.population.helps}
        said += correction_sentences(calibration, factors, bool(options.correct))
    return Compiled(replace(program, warnings=warnings), complete, said=tuple(said))


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


def _with_realised_step(
    network: Network,
    rectifiers: CodedPopulation,
    step: float,
    delays: dict[Projection, int],
    names: dict[Projection, str],
) -> Network:
    """Return the network with the step that rectifiers have on the chip; the new projections enter both dicts."""
    realised = float(rectifiers.threshold_code[0] << ALIGN_BITS) / rectifiers.unit
    new = with_realised_steps(network.projections, rectifiers.name, step, realised)
    delays |= {new[old]: delays[old] for old in new}
    names |= {new[old]: names[old] for old in new}
    return replace(network, projections=tuple(new.get(p, p) for p in network.projections))


def _late_bias(network: Network, coded: list[Coded]) -> tuple[tuple[CodedPopulation, ...], tuple[CodedProjection, ...]]:
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
