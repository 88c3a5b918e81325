"""Compile a model for a chip: quantised, scheduled, checked against what the chip holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from neurodeploy import contract as contracts
from neurodeploy.arithmetic import ALIGN_BITS
from neurodeploy.calibrate import Calibration, approximation_sentence, measure, run_reference
from neurodeploy.codes import CodedPopulation, CodedProjection
from neurodeploy.contract import Contract
from neurodeploy.data import Data, load_data
from neurodeploy.decision import Decision, class_count, membranes, settle_decision, with_decision
from neurodeploy.errors import DeployError, known
from neurodeploy.host import entering, split
from neurodeploy.host import sentence as host_sentence
from neurodeploy.importers.lower import read_network
from neurodeploy.network import Network, Population, Projection
from neurodeploy.passes.fold import fold
from neurodeploy.passes.helpers import BIAS_SOURCE, bias_source, relay_warnings, with_relays
from neurodeploy.passes.maxima import STAIRS, rectify, takes_maxima, widest, with_realised_steps
from neurodeploy.passes.schedule import schedule
from neurodeploy.program import Program
from neurodeploy.quantise.approximate import Approximation, approximate
from neurodeploy.quantise.messages import (
    Messages,
    Reached,
    bits_kept,
    choose_messages,
    expected_range,
    is_graded,
    loss_of_codes,
    measured_swing,
    messages_of_range,
)
from neurodeploy.quantise.messages import sentence as messages_sentence
from neurodeploy.quantise.neurons import ChipNeuron, chip_neuron
from neurodeploy.quantise.overflow import arithmetic_differences, custom_neurons, payload_range
from neurodeploy.quantise.plan import (
    InputPlan,
    Plan,
    PopulationPlan,
    ProjectionPlan,
    RoundingMethod,
    ScaleMethod,
    check_plan,
    load_plan,
    projection_names,
)
from neurodeploy.quantise.population import CORRECTIONS, Choices, Coded, quantise_population
from neurodeploy.quantise.registers import MISSED_CONDITION
from neurodeploy.quantise.scale import COUNTED_ON, Synapses, is_out_of_reach
from neurodeploy.synapses import Conv1d, Conv2d, MaxPool2d, Pool2d
from neurodeploy.target import Target, load_target, target_names
from neurodeploy.version import __version__

DEFAULT_WEIGHT_BITS = 8


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """How a network is compiled.

    weight_bits: of each weight, with the sign where a projection has both signs; or ``ternary`` or ``binary``.
    scale: how codes per volt are chosen: ``range``, ``percentile``, ``mse`` or ``rate``; None for ``range`` at 6 bits
        and more, else ``mse``. With calibration data ``mse`` is the membrane's error, else the weights'.
    rounding: ``nearest``, or ``learned`` on calibration data.
    correct: which of ``bias`` and ``threshold`` are changed so that firing rates on calibration data are met.
    per_channel: let each output channel fill its codes, by a gain of its own.
    message_bits: of each value of a graded input, with the sign; 0 where inputs are spikes, or where it is to be chosen
        because calibration data holds other values than 0 and 1.
    input_scale: by what a graded input is multiplied before it is rounded to whole numbers; None to choose it on
        calibration data, or 1 without.
    allow_oversize: compile what does not fit one chip, for the emulator.
    allow_silent: compile a network of which a population never fires.
    input_range: the least and the most of each graded input, by name, for where no calibration data says it.
    host: how many layers the host runs in float, ``auto`` for those that an input reaches directly, where calibration
        data does not say that it holds spikes; None for none. See :mod:`neurodeploy.host`.
    approximate: take the nearest neuron where the target lacks the model's, and measure on calibration data what that
        changes.
    """

    weight_bits: int | str = DEFAULT_WEIGHT_BITS
    scale: str | None = None
    rounding: str = "nearest"
    correct: tuple[str, ...] = ()
    per_channel: bool = False
    message_bits: int = 0
    input_scale: float | None = None
    allow_oversize: bool = False
    allow_silent: bool = False
    approximate: bool = False
    host: int | str | None = None
    input_range: dict[str, tuple[float, float]] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Compiled:
    """A program, the plan that gives the same program again, and what is known of its registers before it runs."""

    program: Program
    plan: Plan
    contract: Contract | None = None


def compile(model: Path | str | Any, target: str, **options: Any) -> Program:
    """Quantise and schedule a model for a target.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: name of the chip.
        **options: those of :func:`compile_with_plan`.

    Returns:
        The program; its ``warnings`` say what can go wrong or could not be matched.

    Raises:
        DeployError: the model cannot be read, or the chip cannot run it.
    """
    return compile_with_plan(model, target, **options).program


def compile_with_plan(
    model: Path | str | Any,
    target: str,
    *,
    dialect: str | None = None,
    plan: Plan | Path | str | None = None,
    calibrate: Data | Path | str | None = None,
    decide: Decision | str | None = None,
    **options: Any,
) -> Compiled:
    """Quantise and schedule a model for a target; return the decisions, too.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: name of the chip.
        dialect: as given to ``--dialect``, or None.
        plan: decisions, or a file of them; what it leaves out is decided by the options.
        calibrate: data that the methods that need some are given; never the data that is scored.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.
        **options: fields of :class:`CompileOptions`.

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
    if isinstance(calibrate, (str, Path)):
        calibrate = load_data(Path(calibrate), network.inputs)
    settings = CompileOptions(**options)
    check_options(settings, chip, calibrate is not None)
    host, on_chip, calibrate = _split(network, settings, calibrate)
    calibration = None if calibrate is None else run_reference(on_chip, calibrate)
    compiled = compile_network(on_chip, chip, settings, provenance, plan or Plan(), calibration)
    if host is not None:
        compiled = _with_host(compiled, host, network.digest())
    inputs, reference = (None, None) if calibration is None else (calibration.inputs, calibration.recording)
    contract = contracts.check(compiled.program, inputs, reference, settings.allow_silent)
    return replace(compiled, contract=contract)


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
) -> Compiled:
    """Quantise and schedule a network without asking whether it falls silent; see :func:`compile_with_plan`."""
    check_options(options, target, calibration is not None)
    formats = target.number_formats.values()
    check_plan(plan, network, target.name, formats)
    digest = network.digest()
    network, calibration, steps, rung = _without_maxima(network, target, calibration)
    latency, delays = schedule(network)
    messages = _messages_of_inputs(network, target, options, plan, calibration)
    # Firing rates are to meet those of the model as it was trained, not of its approximation.
    network, approximated = _approximated(network, target, options, calibration)
    rung = rung | approximated
    if calibration is not None:
        calibration = replace(calibration, network=network)
    names = dict(zip(network.projections, projection_names(network), strict=True))
    # Potentials that decide are held against each other, so they share one scale.
    read = membranes(network)
    coded: list[Coded] = []
    graded: dict[str, dict[str, Any]] = {}
    for population in network.populations:
        into = network.into(population.name)
        neuron, synapses = _float_parts(population, network, target, messages, calibration, delays)
        sends = any(p.source == population.name for p in network.projections)
        if integrates := not sends and is_out_of_reach(neuron, synapses):
            neuron = neuron.integrating()
        choices = Choices(
            options.weight_bits,
            options.scale,
            options.rounding,
            options.correct,
            options.per_channel and population.name not in (*read, *steps),
            plan.populations.get(population.name, PopulationPlan()),
            tuple(plan.projections.get(names[p], ProjectionPlan()) for p in into),
            None
            if calibration is None
            else calibration.drive(population.name, {name: one.scale for name, one in messages.items()}),
        )
        coded.append(quantise_population(population, neuron, synapses, latency[population.name], formats, choices))
        if integrates:
            coded[-1] = _never_firing(coded[-1])
        if population.name in steps:
            coded[-1] = _helping(coded[-1])
            realised = float(coded[-1].population.threshold_code[0] << ALIGN_BITS) / coded[-1].population.unit
            new = with_realised_steps(network.projections, population.name, steps[population.name], realised)
            delays |= {new[old]: delays[old] for old in new}
            names |= {new[old]: names[old] for old in new}
            network = replace(network, projections=tuple(new.get(p, p) for p in network.projections))
        if calibration is not None:
            _measure_inputs(graded, messages, synapses, coded[-1], calibration)
    said = rung.get("approximations", {}).get("changes", {})
    rung = rung | _strict(network, coded, calibration, said)
    complete = Plan(
        target=target.name,
        inputs={name: InputPlan(message_bits=one.bits, scale=one.scale) for name, one in messages.items()},
        populations={c.population.name: c.plan for c in coded},
        projections={
            names[p]: own
            for c in coded
            for p, own in zip(network.into(c.population.name), c.projection_plans, strict=True)
        },
    )
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
            **rung,
            **_found(graded, coded, names, network),
            **({"per_channel": stretched} if stretched else {}),
            **({"never_fire": never} if (never := [c.population.name for c in coded if c.never_fires]) else {}),
            "network_sha256": digest,
            "plan_sha256": complete.digest(),
        },
        message_bits={name: one.bits for name, one in messages.items()},
        input_scale={name: one.scale for name, one in messages.items()},
        decision=network.decision,
        readouts=network.readouts,
    )
    program = with_relays(program, formats["delay_max"])
    warnings = _warnings(program, coded, _beyond(network, program, target, options))
    return Compiled(replace(program, warnings=warnings), complete)


def _without_maxima(
    network: Network, target: Target, calibration: Calibration | None
) -> tuple[Network, Calibration | None, dict[str, float], dict[str, Any]]:
    """Return the network with rectifiers in place of maxima of values, and what that changes on calibration data.

    Raises:
        DeployError: the target's neurons cannot rectify.
    """
    if not takes_maxima(network):
        return network, calibration, {}, {}
    if target.neuron.spikes_per_step_max.value < STAIRS:
        able = [name for name in target_names() if load_target(name).neuron.spikes_per_step_max.value >= STAIRS]
        raise DeployError(
            f"the network pools maxima of currents, and {target.title} has no neurons that send values",
            where="MaxPool2d",
            fix=f"Compile for --target {' or '.join(able)}, which takes them with rectifiers; or use nn.AvgPool2d in"
            " its place, or pool behind the neurons, and train that (neurodeploy finetune starts from these weights).",
        )
    rows = None
    if calibration is not None:
        spikes = {n: o["spikes"] for n, o in calibration.recording.nodes.items() if "spikes" in o}
        rows = {**calibration.inputs, **spikes}
    made = rectify(network, widest(network, rows))
    if calibration is None:
        return made.network, None, made.steps, {}
    after = run_reference(made.network, Data(calibration.inputs, calibration.labels, "calibration"))
    targets = {p.target for p in network.projections if any(isinstance(op, MaxPool2d) for op in p.ops)}
    changes = tuple(Approximation(name, (f"takes maxima with rectifiers of {STAIRS} steps",)) for name in targets)
    settled = settle_decision(network, None, class_count(calibration.labels))
    measured = measure(calibration.recording, after.recording, calibration.labels, changes, settled.decision)
    return made.network, after, made.steps, {"approximations": measured}


def _helping(coded: Coded) -> Coded:
    """Return rectifiers as a population that the model does not have."""
    return replace(coded, population=replace(coded.population, helps="takes the largest of currents"))


def _approximated(
    network: Network,
    target: Target,
    options: CompileOptions,
    calibration: Calibration | None,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with neurons that the target has, and what that changed, as programs carry it."""
    if not options.approximate:
        return network, {}
    assert calibration is not None
    nearest, changes = approximate(network, target)
    if not changes:
        return network, {}
    return nearest, {"approximations": _measured(network, nearest, changes, calibration)}


def _measured(
    network: Network, nearest: Network, changes: tuple[Approximation, ...], calibration: Calibration
) -> dict[str, Any]:
    """Return what changes of neurons do to a network on calibration data."""
    after = run_reference(nearest, Data(calibration.inputs, calibration.labels, "calibration"))
    settled = settle_decision(network, None, class_count(calibration.labels))
    return measure(calibration.recording, after.recording, calibration.labels, changes, settled.decision)


def _never_firing(coded: Coded) -> Coded:
    """Return integrators as neurons of a threshold that nothing reaches, so that their spikes, none, are recorded."""
    population = coded.population
    sentence = (
        f"{population.name}: no input brings v to its threshold, so that it fires in no backend; its v can be read, and"
        " its scale is that of an integrator"
    )
    model = replace(population.model, fires=True)
    warnings = (sentence, *coded.warnings)
    return replace(coded, population=replace(population, model=model), warnings=warnings, never_fires=True)


def _late_bias(network: Network, coded: list[Coded]) -> tuple[tuple[CodedPopulation, ...], tuple[CodedProjection, ...]]:
    """Return the source of bias and its synapses, where a population needs them."""
    late = [c.late for c in coded if c.late is not None]
    if not late:
        return (), ()
    name = BIAS_SOURCE
    while name in network.shapes:
        name += " (always on)"
    return (bias_source(name),), tuple(replace(p, source=name) for p in late)


def _strict(
    network: Network, coded: list[Coded], calibration: Calibration | None, said: dict[str, list[str]]
) -> dict[str, Any]:
    """Return what it changes on calibration data that neurons fire at ``>`` where the model's do at ``>=``.

    Args:
        network: as it is compiled.
        coded: its populations.
        calibration: what the model does as it was trained, or None.
        said: what was approximated before, by population.
    """
    missed = [c.population.name for c in coded if any(MISSED_CONDITION in warning for warning in c.warnings)]
    if calibration is None or not missed:
        return {}
    populations = tuple(
        replace(p, rule=replace(p.rule, spike=">")) if p.name in missed else p for p in network.populations
    )
    found = {name: list(said.get(name, [])) for name in (*said, *missed)}
    for name in missed:
        found[name].append("fires at v > instead of v >= threshold")
    changes = tuple(Approximation(name, tuple(what)) for name, what in found.items())
    nearest = replace(network, populations=populations)
    return {"approximations": _measured(network, nearest, changes, calibration)}


def _messages_of_inputs(
    network: Network, target: Target, options: CompileOptions, plan: Plan, calibration: Calibration | None
) -> dict[str, Messages]:
    """Return how each graded input is sent: as the plan or the options say, or as calibration data has it."""
    formats = target.number_formats.values()
    found = {}
    for name in network.inputs:
        planned = plan.inputs.get(name, InputPlan())
        bits, scale = planned.message_bits or options.message_bits, planned.scale or options.input_scale
        values = None if calibration is None else calibration.inputs[name]
        graded = values is not None and is_graded(values)
        known_range = (options.input_range or {}).get(name) if values is None and not bits else None
        if not bits and not graded and known_range is None:
            continue
        if formats["message_bits_max"] == 0:
            raise _spikes_only(name, target)
        if known_range is not None:
            reached = _reached(name, Messages(1, 1.0, known_range), network, target, None, learned=False)
            found[name] = messages_of_range(*known_range, reached, options.weight_bits, formats)
        elif values is None or not graded or (bits and scale is not None):
            found[name] = Messages(bits, scale or 1.0, payload_range(bits))
        else:
            learned = options.rounding == "learned"
            unscaled = Messages(bits or formats["message_bits_max"], 1.0, expected_range(values))
            reached = _reached(name, unscaled, network, target, calibration, learned)
            found[name] = choose_messages(values, reached, options.weight_bits, formats, (bits, scale))
    return found


def _reached(
    name: str, unscaled: Messages, network: Network, target: Target, calibration: Calibration | None, learned: bool
) -> list[Reached]:
    """Return the populations that an input reaches, as if one message carried the value itself."""
    delays = dict.fromkeys(network.projections, 1)
    values = None if calibration is None else calibration.inputs[name]
    found = []
    for p in (p for p in network.projections if p.source == name):
        population = network.population(p.target)
        neuron, into = _float_parts(population, network, target, {name: unscaled}, calibration, delays)
        found += [Reached.of(neuron, s, into, values, learned) for s in into if s.projection is p]
    return found


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


def _measure_inputs(
    graded: dict[str, dict[str, Any]],
    messages: dict[str, Messages],
    synapses: tuple[Synapses, ...],
    coded: Coded,
    calibration: Calibration,
) -> None:
    """Add to ``graded`` what sending inputs as messages costs a population on calibration data, JSON-ready."""
    gains = coded.plan.channel_gain
    for s, projection in zip(synapses, coded.projections, strict=True):
        name = s.projection.source
        if name not in messages or coded.plan.codes_per_volt is None:
            continue
        sent, values = messages[name], calibration.inputs[name]
        entry = graded.setdefault(
            name,
            {
                "rung": "input",
                "message_bits": sent.bits,
                "scale": sent.scale,
                "full": sent.full if np.isfinite(sent.full) else None,
                "expected": list(sent.payload),
                "is_exact": sent.is_exact,
                "populations": {},
            },
        )
        entry["populations"][coded.population.name] = {
            "loss": loss_of_codes(values, sent.scale, s, projection, coded.plan.codes_per_volt, gains),
            "bits": projection.weight_bits,
            "bits_kept": bits_kept(projection),
        }


def _spikes_only(name: str, target: Target) -> DeployError:
    able = [name for name in target_names() if load_target(name).number_formats.message_bits_max.value]
    return DeployError(
        f"input {name!r} holds values other than 0 and 1, and {target.title} takes spikes only",
        where="--calibrate",
        fix="Let the host run the layers up to the first spikes (--host auto), encode the input as spikes (--encode"
        f" rate or latency), or use --target {' or '.join(able)}, which takes graded input.",
    )


def _float_parts(
    population: Population,
    network: Network,
    target: Target,
    messages: dict[str, Messages],
    calibration: Calibration | None,
    delays: dict[Projection, int],
) -> tuple[ChipNeuron, tuple[Synapses, ...]]:
    """Return a population in the chip's form, and all that flows into it, in float."""
    formats = target.number_formats.values()
    sends = any(p.source == population.name for p in network.projections)
    into = network.into(population.name)
    folded = [fold(p, network.shapes[p.source]) for p in into]
    bias = sum((f.bias for f in folded), start=np.zeros(population.shape))
    neuron = chip_neuron(population, bias, target, sends)
    gain = neuron.gain.reshape(population.shape).astype(np.float32)
    synapses = []
    for p in into:
        payload, message_bits, scale = _payload(p, network, messages, formats)
        shape = network.shapes[p.source]
        in_volts = folded.pop(0).scaled(gain, shape)
        measured = None
        if p.source in messages and calibration is not None:
            measured = measured_swing(calibration.inputs[p.source], in_volts, shape)
        scaled = in_volts.scaled(np.ones_like(gain), shape, 1.0 / scale)
        synapses.append(Synapses(p, scaled, delays[p], shape, payload, message_bits, measured))
    return neuron, tuple(synapses)


def check_options(options: CompileOptions, target: Target, has_data: bool) -> None:
    """Refuse widths, methods and scales that there are not, or that the target's numbers do not have.

    Raises:
        DeployError: at the first of them.
    """
    formats = target.number_formats.values()
    most = formats["weight_bits_max"]
    bits = options.weight_bits
    if bits not in ("ternary", "binary") and not (isinstance(bits, int) and 1 <= bits <= most):
        raise DeployError(
            f"{bits} bits per weight",
            where="--weight-bits",
            fix=f"{target.title} takes 1 to {most}, ternary and binary.",
        )
    needs_data = {
        "--scale": options.scale == "rate",
        "--rounding": options.rounding == "learned",
        "--correct": bool(options.correct),
        "--approximate": options.approximate,
    }
    for flag, needed in needs_data.items():
        if needed and not has_data:
            raise DeployError("this method needs calibration data", where=flag, fix="Give some with --calibrate.")
    for flag, value, choices in (
        ("--scale", options.scale, (None, *get_args(ScaleMethod))),
        ("--rounding", options.rounding, get_args(RoundingMethod)),
        *(("--correct", one, CORRECTIONS) for one in options.correct),
    ):
        if value not in choices:
            raise DeployError(f"{value!r} is no method", where=flag, fix=f"Choose from {known(filter(None, choices))}.")
    _check_messages(options, target, has_data)


def _check_messages(options: CompileOptions, target: Target, has_data: bool) -> None:
    message_most = target.number_formats.message_bits_max.value
    if options.message_bits and message_most == 0:
        able = [name for name in target_names() if load_target(name).number_formats.message_bits_max.value]
        raise DeployError(
            f"graded input of {options.message_bits} bits, and {target.title} takes spikes only",
            where="--message-bits",
            fix=f"Encode the input as spikes (run --encode rate or latency), or use --target {' or '.join(able)}.",
        )
    if options.message_bits and not 2 <= options.message_bits <= message_most:
        raise DeployError(
            f"graded input of {options.message_bits} bits",
            where="--message-bits",
            fix=f"{target.title} takes 2 to {message_most}, with the sign.",
        )
    if options.input_scale is None:
        return
    if not 0 < options.input_scale < np.inf:
        raise DeployError(
            f"an input scale of {options.input_scale:g}", where="--input-scale", fix="Give a number above 0."
        )
    if options.input_scale != 1 and not options.message_bits and not has_data:
        raise DeployError(
            f"an input scale of {options.input_scale:g} for inputs that are spikes",
            where="--input-scale",
            fix="Say --message-bits as well, or leave it out.",
        )


def _payload(
    projection: Projection, network: Network, messages: dict[str, Messages], formats: dict[str, int]
) -> tuple[tuple[float, float], int, float]:
    """Return what one spike of a projection's source carries at least and at most, in how many bits, in which scale."""
    if projection.source in network.inputs:
        if (sent := messages.get(projection.source)) is not None:
            return sent.payload, sent.bits, sent.scale
        return (0, 1), 0, 1.0
    rule = network.population(projection.source).rule
    if rule.max_spikes == 1:
        return (0, 1), 0, 1.0
    return (0, rule.max_spikes or COUNTED_ON), formats["message_bits_max"], 1.0


def _warnings(program: Program, coded: list[Coded], beyond: list[str]) -> tuple[str, ...]:
    """Return what can go wrong, or could not be matched."""
    found = list(beyond)
    for name, bits in program.message_bits.items():
        if name in program.provenance.get("graded_inputs", {}):
            found.append(messages_sentence(name, program.provenance["graded_inputs"][name]))
            continue
        low, high = payload_range(bits)
        scale = program.input_scale[name]
        found.append(
            f"input {name!r} is graded: its values are rounded to multiples of 1/{scale:g} and range from"
            f" {low / scale:g} to {high / scale:g}"
        )
        found += [
            f"{p.name}: messages of this scale leave weights {bits_kept(p)} of {p.weight_bits} bits; --calibrate"
            " DATA chooses scale and bits"
            for p in program.projections
            if p.source == name and bits_kept(p) < p.weight_bits
        ]
    if rung := program.provenance.get("approximations"):
        found.append(approximation_sentence(rung))
    for name, needs in custom_neurons(program).items():
        found.append(
            f"{name}: custom neuron ({needs}): simulator only; emulator and Lava run it as a model of our own, for the"
            " chip it would have to be programmed"
        )
    for population in program.populations:
        if population.model.max_spikes is None:
            found.append(
                f"{population.name}: can send any number of spikes a step; what follows reckons with {COUNTED_ON}, and"
                " wraps and clips are counted in each run"
            )
    found += [warning for c in coded for warning in c.warnings] + relay_warnings(program)
    return (*found, *arithmetic_differences(program))


def _beyond(network: Network, program: Program, target: Target, options: CompileOptions) -> list[str]:
    """Return in what the program exceeds the whole chip; how populations share cores is not looked at.

    Raises:
        DeployError: it does, and that was not allowed.
    """
    limits = target.limits
    neurons = sum(population.size for population in program.populations)
    # A weight of 0 is no synapse.
    synapse_bytes = sum(np.count_nonzero(p.weight) * p.weight_bits / 8 for p in program.projections)
    used = {
        "neurons": (neurons, limits.cores.value * limits.neurons_per_core.value),
        "bytes of synapses": (int(synapse_bytes), limits.cores.value * limits.synapse_bytes_per_core.value),
    }
    over = [f"{name}: {need:,} needed, {most:,} available" for name, (need, most) in used.items() if need > most]
    if not over:
        return []
    what = f"the network does not fit one {target.title} chip ({'; '.join(over)})"
    if options.allow_oversize:
        return [f"{what}: emulator only"]
    raise DeployError(
        what,
        where="--target",
        fix=" ".join(
            [
                "Use a smaller network or fewer --weight-bits, or say --allow-oversize to run it on the emulator.",
                *_written_out(network, program),
            ]
        ),
    )


def _written_out(network: Network, program: Program) -> list[str]:
    """Return which chains of convolutions and pools could only be written out, so that they share no weights."""
    found = []
    for p, coded in zip(
        (p for c in network.populations for p in network.into(c.name)), program.projections, strict=False
    ):
        if not coded.is_conv and any(isinstance(op, (Conv1d, Conv2d, Pool2d)) for op in p.ops):
            chain = ", ".join(type(op).__name__ for op in p.ops)
            found.append(
                f"{p.name}: {chain} was written out as {coded.weight.size:,} synapses; convolutions and pools"
                " in a row stay one convolution where what lies between them is not padded, or divides."
            )
    return found
