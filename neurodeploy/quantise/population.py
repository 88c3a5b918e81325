"""One population and its synapses as integer codes: weights, threshold, decays, bias and initial registers.

All that flows into a population shares one unit: ``K`` weight codes per volt, so that ``unit = K << 6`` register
units are one volt; see :mod:`neurodeploy.quantise.scale`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import ALIGN_BITS, DECAY_BITS
from neurodeploy.codes import CodedPopulation, CodedProjection
from neurodeploy.needs import can, refuse_missing
from neurodeploy.network import Population
from neurodeploy.passes.helpers import BIAS_SOURCE
from neurodeploy.quantise.calibration import Drive, mean_input, second_moments
from neurodeploy.quantise.gains import filling_gains
from neurodeploy.quantise.grid import Grid, aligned, channel_gains, find_grid, is_kept
from neurodeploy.quantise.neurons import ChipNeuron
from neurodeploy.quantise.overflow import overflow_warnings
from neurodeploy.quantise.plan import (
    BiasPlan,
    PopulationPlan,
    ProjectionPlan,
    compact,
    pack_steps,
    spread,
    unpack_steps,
)
from neurodeploy.quantise.registers import Registers, code_population
from neurodeploy.quantise.rounding import RATIOS, learned_codes, ratio_by_error
from neurodeploy.quantise.scale import Synapses, base_scale, most_codes_per_volt, unit_exponent
from neurodeploy.quantise.weights import (
    WeightRange,
    dequantise_weights,
    filling_scale,
    quantise_weights,
    weight_range,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PERCENTILE = 99.5
"""Share of weights, in percent, that the method of that name lets fit; larger ones are clipped."""

MAX_LEARNED = 4608
"""Inputs of a neuron up to which second moments are taken; beyond, weights are rounded to nearest."""

CORRECTIONS = ("bias", "threshold")
THRESHOLD_FACTORS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)
"""By what a population's thresholds may be multiplied so that it fires as often as the float model's."""


CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late floor adaptive second delay graded conv sparse"
)
"""Which neurons and synapses are given scales and initial codes, see :mod:`neurodeploy.needs`."""

NOTHING_PLANNED = PopulationPlan()


@dataclass(frozen=True, eq=False, slots=True)
class Choices:
    """How a population is to be quantised; what the plan says comes first.

    bits: of the weights. scale: how codes per volt are chosen; None for ``range`` at 6 bits and more, else ``mse``.
    rounding: ``nearest`` or ``learned``. correct: which of ``CORRECTIONS``. per_channel: a gain for each channel.
    plan, projections: what the plan says of the population and of each projection into it.
    drive: what flows in on calibration data, or None.
    """

    bits: int | str = 8
    scale: str | None = None
    rounding: str = "nearest"
    correct: tuple[str, ...] = ()
    per_channel: bool = False
    plan: PopulationPlan = NOTHING_PLANNED
    projections: tuple[ProjectionPlan, ...] = ()
    drive: Drive | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """A population's codes, those of its synapses, what can go wrong, and the decisions, complete.

    grids: for each projection what its weights' grid is called, where they were trained quantised and are kept, else
        None.
    late: synapses of the source of bias, or None. never_fires: no input brings the model's v to its threshold.
    """

    population: CodedPopulation
    projections: tuple[CodedProjection, ...]
    warnings: tuple[str, ...]
    plan: PopulationPlan
    projection_plans: tuple[ProjectionPlan, ...]
    grids: tuple[str | None, ...] = ()
    late: CodedProjection | None = None
    never_fires: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    """Codes per volt, and by how much they exceed those at which the largest weight fits."""

    weights_per_volt: float
    ratio: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class _Weights:
    """A projection on its way to codes: range, bits as the plan has them, and the scale at which all weights fit.

    grid: of weights that were trained quantised; that scale then keeps them.
    """

    synapses: Synapses
    plan: ProjectionPlan
    bits: int | str
    codes: WeightRange
    filling: float
    grid: Grid | None = None

    @property
    def weight(self) -> Floats:
        return self.synapses.folded.stored

    def exponent(self, scale: _Scale, formats: dict[str, int]) -> int:
        """Return the plan's exponent, or the smallest at which the largest weight that is not clipped still fits."""
        if self.plan.exponent is not None:
            return self.plan.exponent
        fits = self.filling * scale.ratio
        over = np.log2(scale.weights_per_volt / fits) if np.isfinite(fits) else 0.0
        return int(np.clip(np.ceil(over - 1e-9), 0, formats["weight_exponent_max"]))


def quantise_population(
    population: Population,
    neuron: ChipNeuron,
    synapses: tuple[Synapses, ...],
    latency: int,
    formats: dict[str, int],
    choices: Choices,
) -> Coded:
    """Quantise a population and the synapses into it.

    Args:
        population: the float neurons, for name and shape.
        neuron: the same in the chip's form.
        synapses: all that flows into it.
        latency: hardware step of the population's row 0.
        formats: the target's number formats.
        choices: how.

    Raises:
        DeployError: a threshold or bias cannot be held at any scale.
    """
    neuron, synapses, gains = _stretched(population, neuron, synapses, choices, formats)
    weights = _ranges(synapses, choices)
    method = choices.plan.scale or choices.scale or ("range" if min(map(_width, weights), default=8) >= 6 else "mse")
    moments = _moments(weights, neuron, choices)
    candidates = _scales(population, neuron, weights, formats, method, choices, moments)

    def code(scale: _Scale, coded: tuple[CodedProjection, ...], corrects: bool) -> tuple[Any, ...]:
        corrected = neuron
        if corrects:
            corrected = _corrected(neuron, weights, coded, scale.weights_per_volt, choices, formats)
        codes = code_population(population, corrected, scale.weights_per_volt, latency, formats, choices.plan)
        return scale.weights_per_volt, coded, codes, corrected

    # Where the mean input is met, rates need not be: a neuron that most samples leave alone may lie at its threshold.
    may_correct = "bias" in choices.correct and choices.drive is not None and choices.plan.bias is None
    variants = (True, False) if may_correct and neuron.model.fires else (may_correct,)
    found = []
    for scale in candidates:
        coded = tuple(_code_projection(w, scale, formats, choices, m) for w, m in zip(weights, moments, strict=True))
        found += [code(scale, coded, corrects) for corrects in variants]
    if len(found) > 1 and choices.drive is not None:
        drive = choices.drive
        found.sort(key=lambda one: drive.rate_error(one[2].population, (*one[1], *_late(one[2]))))
    weights_per_volt, projections, codes, corrected = found[0]
    decided = _plan(codes, weights_per_volt, method, gains)
    if choices.drive is not None and "threshold" in choices.correct and choices.plan.threshold is None:
        into = (*projections, *_late(codes))
        fitted = _fitting_threshold(codes.population, into, choices.drive, 2 ** formats["threshold_bits"] - 1)
        decided = _plan(replace(codes, population=fitted), weights_per_volt, method, gains)
        # Initial codes and warnings follow from the threshold.
        codes = code_population(population, corrected, weights_per_volt, latency, formats, decided)
    refuse_missing((codes.population, *projections), CAN, "quantisation")
    late = _late(codes)
    kept = [_kept(w, p, weights_per_volt) for w, p in zip(weights, projections, strict=True)]
    lost = [f"{w.synapses.projection.name}: {lost}" for w, (_, lost) in zip(weights, kept, strict=True) if lost]
    payloads = (*((int(s.payload[0]), int(s.payload[1])) for s in synapses), *((0, 1) for _ in late))
    return Coded(
        codes.population,
        projections,
        (*codes.warnings, *lost, *overflow_warnings(codes.population, (*projections, *late), payloads)),
        decided,
        tuple(_projection_plan(w, p, weights_per_volt) for w, p in zip(weights, projections, strict=True)),
        tuple(title for title, _ in kept),
        late=late[0] if late else None,
    )


def _late(codes: Registers) -> tuple[CodedProjection, ...]:
    """Return the synapses of the source of bias, if there are any; they first deliver in row 0, or in the row after."""
    name, late = codes.population.name, codes.late
    if late is None:
        return ()
    weight = late.weight.reshape(-1, 1)
    latency = codes.population.latency + late.after
    return (CodedProjection(BIAS_SOURCE, name, weight, late.exponent, late.weight_bits, late.sign_mode, latency),)


def _stretched(
    population: Population,
    neuron: ChipNeuron,
    synapses: tuple[Synapses, ...],
    choices: Choices,
    formats: dict[str, int],
) -> tuple[ChipNeuron, tuple[Synapses, ...], list[float] | None]:
    """Return the population with each channel in volts of its own, so that its weights fill their codes too.

    A neuron whose weights, thresholds, biases and states are all multiplied by one number fires as before.
    """
    given = choices.plan.channel_gain
    n_channels = population.shape[0] if population.shape else 1
    grids = [find_grid(s.folded.stored) for s in synapses]
    grid_gains = channel_gains([s.folded for s in synapses], n_channels) if not any(grids) else None
    gain = None if given is None else np.asarray(given, np.float64)
    if gain is None:
        gain = grid_gains
    if gain is None and choices.per_channel and neuron.model.fires and not any(grids):
        gain = filling_gains(neuron, synapses, population.shape, formats, population.name)
    if gain is None:
        return neuron, synapses, None
    of_neurons = spread(gain, population.shape)
    scaled = tuple(s.times(of_neurons, population.shape) for s in synapses)
    return neuron.times(of_neurons), scaled, gain.tolist()


def _ranges(synapses: tuple[Synapses, ...], choices: Choices) -> list[_Weights]:
    plans = choices.projections or tuple(ProjectionPlan() for _ in synapses)
    bits = [plan.bits or choices.bits for plan in plans]
    ranges = [weight_range(s.folded.stored, b, s.projection.name) for s, b in zip(synapses, bits, strict=True)]
    grids = aligned([find_grid(s.folded.stored) for s in synapses], ranges)
    return [
        _Weights(s, plan, b, codes, filling_scale(s.folded.stored, codes) if grid is None else grid.filling, grid)
        for s, plan, b, codes, grid in zip(synapses, plans, bits, ranges, grids, strict=True)
    ]


def _width(weights: _Weights) -> int:
    return weights.codes.bits


def _moments(weights: list[_Weights], neuron: ChipNeuron, choices: Choices) -> list[Floats | None]:
    """Return the second moments of what flows through each projection, where calibration data gives them."""
    if choices.drive is None:
        return [None] * len(weights)
    wanted = (
        choices.rounding == "learned" or choices.scale == "mse" or any(w.plan.rounding == "learned" for w in weights)
    )
    return [
        second_moments(spikes, w.synapses.folded, neuron)
        if wanted and not w.synapses.folded.is_sparse and w.weight.size <= MAX_LEARNED * len(w.weight)
        else None
        for w, spikes in zip(weights, choices.drive.spikes, strict=True)
    ]


def _scales(
    population: Population,
    neuron: ChipNeuron,
    weights: list[_Weights],
    formats: dict[str, int],
    method: str,
    choices: Choices,
    moments: list[Floats | None],
) -> list[_Scale]:
    """Return the codes per volt to try; more than one only where spike rates decide between them."""
    if choices.plan.codes_per_volt is not None:
        return [_Scale(choices.plan.codes_per_volt)]
    base = base_scale(neuron, [w.filling for w in weights])
    graded = [w.filling for w in weights if w.synapses.message_bits and np.isfinite(w.filling)]
    synapses = tuple(w.synapses for w in weights)

    def finest(ratio: float) -> _Scale:
        most = max(graded, default=0.0) * ratio
        exponent = unit_exponent(base * ratio, neuron, synapses, most, formats, population.name)
        per_volt = base * ratio * 2.0**exponent
        if any(s.measured is not None for s in synapses):
            per_volt = base * ratio * 2.0 ** max(exponent, 0)
            per_volt = min(per_volt, most_codes_per_volt(neuron, synapses, formats, population.name))
            if any(w.grid is not None for w in weights):
                per_volt = base * ratio * 2.0 ** np.floor(np.log2(per_volt / (base * ratio)) + 1e-6)
        return _Scale(per_volt, ratio)

    if any(w.grid is not None for w in weights):
        return [finest(1.0)]
    if method == "rate" and choices.drive is not None:
        return [finest(ratio) for ratio in RATIOS[::4]]
    return [finest(_ratio(weights, base, finest(1.0), formats, method, moments))]


def _ratio(
    weights: list[_Weights],
    base: float,
    unclipped: _Scale,
    formats: dict[str, int],
    method: str,
    moments: list[Floats | None],
) -> float:
    """Return by how much the scale exceeds the one at which the largest weight fits."""
    used = [(w, m) for w, m in zip(weights, moments, strict=True) if np.isfinite(w.filling)]
    if method == "percentile" and used:
        sizes = np.concatenate([np.abs(w.weight).ravel() for w, _ in used])
        return float(sizes.max() / max(np.percentile(sizes, PERCENTILE), sizes.max() / RATIOS[-1]))
    if method in ("mse", "rate") and used:
        down = [2.0 ** w.exponent(unclipped, formats) * base / unclipped.weights_per_volt for w, _ in used]
        triples = [(w.weight, w.codes, d) for (w, _), d in zip(used, down, strict=True)]
        return ratio_by_error(triples, base, [m for _, m in used])
    return 1.0


def _code_projection(
    w: _Weights, scale_of_all: _Scale, formats: dict[str, int], choices: Choices, moments: Floats | None
) -> CodedProjection:
    """Return a projection's codes."""
    s = w.synapses
    exponent = w.exponent(scale_of_all, formats)
    scale = scale_of_all.weights_per_volt / 2.0**exponent
    weight = quantise_weights(w.weight, scale, w.codes)
    if w.plan.learned is not None:
        steps = unpack_steps(w.plan.learned, weight.size, w.bits, f"--plan, {s.projection.name}").reshape(weight.shape)
        weight = np.clip(weight + steps.astype(np.int16) * w.codes.step, w.codes.low, w.codes.high).astype(np.int16)
    elif moments is not None and (w.plan.rounding or choices.rounding) == "learned":
        weight = learned_codes(w.weight, scale, w.codes, moments)
    layout: dict[str, Any] = {}
    if s.folded.conv is not None:
        conv = s.folded.conv
        layout = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation, "groups": conv.groups}
    elif s.folded.is_sparse:
        matrix = s.folded.weight
        layout = {"n_out": matrix.shape[0], "indices": matrix.indices, "indptr": matrix.indptr}
    return CodedProjection(
        s.projection.source,
        s.projection.target,
        weight,
        exponent,
        w.codes.bits,
        w.codes.sign_mode,
        s.delay,
        message_bits=s.message_bits,
        **layout,
    )


def _corrected(
    neuron: ChipNeuron,
    weights: list[_Weights],
    projections: tuple[CodedProjection, ...],
    weights_per_volt: float,
    choices: Choices,
    formats: dict[str, int],
) -> ChipNeuron:
    """Return the neuron with a bias that makes up for what rounding the weights changed in the mean input."""
    if choices.drive is None or "bias" not in choices.correct or choices.plan.bias is not None:
        return neuron
    missing = np.zeros_like(neuron.bias)
    for w, p, spikes in zip(weights, projections, choices.drive.spikes, strict=True):
        lost = w.weight - dequantise_weights(p.weight, weights_per_volt / 2.0**p.exponent)
        missing += mean_input(spikes, w.synapses.folded, lost, len(missing))
    if neuron.bias_syn is not None and neuron.takes_bias_as_spikes:
        return replace(neuron, bias_syn=neuron.bias_syn + missing)
    kept = np.minimum(neuron.keep_syn, 1.0 - 1.0 / 2**DECAY_BITS)
    # The unit leaves room for the model's own bias; of what is added, as much as fits.
    most = (formats["bias_mantissa_max"] << formats["bias_exponent_max"]) / (weights_per_volt * 2**ALIGN_BITS)
    room = np.maximum(np.abs(neuron.bias), most * (1.0 - 2.0**-DECAY_BITS))
    return replace(neuron, bias=np.clip(neuron.bias + missing / (1.0 - kept), -room, room))


def _fitting_threshold(
    population: CodedPopulation, projections: tuple[CodedProjection, ...], drive: Drive, top: int
) -> CodedPopulation:
    """Return the population with thresholds, ``top`` at most, at which it fires as often as the float model's.

    All change by one factor.
    """
    if not population.model.fires:
        return population

    def scaled(factor: float) -> CodedPopulation:
        codes = np.clip(np.rint(population.threshold_code * factor), 1, top).astype(np.int64)
        return replace(population, threshold_code=codes)

    # Factors nearest to 1 first, so that a tie changes nothing.
    order = sorted(THRESHOLD_FACTORS, key=lambda factor: abs(factor - 1.0))
    return min((scaled(factor) for factor in order), key=lambda one: drive.rate_error(one, projections))


def _kept(w: _Weights, p: CodedProjection, weights_per_volt: float) -> tuple[str | None, str]:
    """Return what the weights' grid is called if codes keep it, and what to say if they do not."""
    grid = w.grid or find_grid(w.weight)
    if grid is None:
        return None, ""
    if is_kept(w.weight, dequantise_weights(p.weight, weights_per_volt / 2.0**p.exponent)):
        return grid.title, ""
    return None, f"weights lie on a {grid.title}, which {w.bits} bits at this scale do not keep"


def _plan(codes: Registers, weights_per_volt: float, method: str, gains: list[float] | None) -> PopulationPlan:
    coded = codes.population
    shape, (mantissa, exponent) = coded.shape, codes.bias
    return PopulationPlan(
        scale=method,  # type: ignore[arg-type]
        codes_per_volt=weights_per_volt,
        channel_gain=gains,
        threshold=compact(coded.threshold_code, shape) if coded.model.fires else None,
        leak_u=compact(coded.du, shape),
        leak_v=compact(coded.dv, shape),
        bias=BiasPlan(mantissa=compact(mantissa, shape), exponent=exponent),
    )


def _projection_plan(w: _Weights, p: CodedProjection, weights_per_volt: float) -> ProjectionPlan:
    nearest = quantise_weights(w.weight, weights_per_volt / 2.0**p.exponent, w.codes)
    steps = (p.weight.astype(np.int64) - nearest) // w.codes.step
    learned = bool(steps.any())
    return ProjectionPlan(
        bits=w.bits,  # type: ignore[arg-type]
        exponent=p.exponent,
        rounding="learned" if learned else "nearest",
        learned=pack_steps(steps.astype(np.int16), w.bits) if learned else None,
    )
