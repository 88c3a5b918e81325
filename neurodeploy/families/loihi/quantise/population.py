"""One population and its synapses as integer codes: weights, threshold, decays, bias and initial registers.

All that flows into a population shares one unit: ``K`` weight codes per volt, so that ``unit = K << 6`` register
units are one volt; see :mod:`neurodeploy.families.loihi.scale`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS
from neurodeploy.families.loihi.bias_source import BIAS_SOURCE
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.overflow import overflow_warnings
from neurodeploy.families.loihi.quantise.fit import Choices, Fit, Scale, Weights
from neurodeploy.families.loihi.quantise.grid import find_grid, is_kept
from neurodeploy.families.loihi.quantise.learned_rounding import learned_codes
from neurodeploy.families.loihi.quantise.second_moments import mean_input
from neurodeploy.families.loihi.quantise.thresholds import fitting_threshold
from neurodeploy.families.loihi.registers import Registers, code_population, other_leaks
from neurodeploy.families.loihi.weights import (
    dequantise_weights,
    quantise_weights,
)
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.network import Population
from neurodeploy.ir.plan import (
    BiasPlan,
    PopulationPlan,
    ProjectionPlan,
    compact,
    pack_steps,
    unpack_steps,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late floor adaptive second delay graded conv sparse"
)
"""Which neurons and synapses are given scales and initial codes, see :mod:`neurodeploy.ir.needs`."""


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """A population's codes, those of its synapses, what can go wrong, and the decisions, complete.

    grids: for each projection what its weights' grid is called, where they were trained quantised and are kept, else
        None.
    late: synapses of the source of bias, or None. never_fires: no input brings the model's v to its threshold.
    threshold_factor: by what thresholds were multiplied so that rates on calibration data are met.
    notes: what its scale gives up for what.
    """

    population: LoihiPopulation
    projections: tuple[CodedProjection, ...]
    warnings: tuple[str, ...]
    plan: PopulationPlan
    projection_plans: tuple[ProjectionPlan, ...]
    grids: tuple[str | None, ...] = ()
    late: CodedProjection | None = None
    never_fires: bool = False
    threshold_factor: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Candidate:
    """One way to code a population.

    per_volt: weight codes of one volt. projections: the synapses' codes. codes: the registers.
    neuron: the population in the chip's form, with the bias that these weights need.
    """

    per_volt: float
    projections: tuple[CodedProjection, ...]
    codes: Registers
    neuron: AffineNeuron

    @property
    def arriving(self) -> tuple[CodedProjection, ...]:
        """All that flows into the population, what a source of bias sends included."""
        return (*self.projections, *_late(self.codes))


def code_fit(population: Population, fit: Fit, latency: int, choices: Choices) -> Coded:
    """Return a population and the synapses into it as codes: of all candidates the one whose rates are the model's.

    Args:
        population: the float neurons, for name and shape.
        fit: the same in the chip's form, with its volts, its weights and the scales to try.
        latency: hardware step of the population's row 0.
        choices: how.

    Raises:
        DeployError: a threshold or bias cannot be held at any scale.
    """
    best, *others = _candidates(population, fit, latency, choices)
    if others and (drive := choices.drive) is not None:
        best = min((best, *others), key=lambda one: drive.rate_error(one.codes.population, one.arriving))
    decided, factor = _plan(best.codes, best.per_volt, fit.method, fit.gains), 1.0
    codes = best.codes
    if choices.drive is not None and "threshold" in choices.correct and choices.plan.threshold is None:
        top = 2 ** fit.formats["threshold_bits"] - 1
        fitted, factor = fitting_threshold(codes.population, best.arriving, choices.drive, top)
        decided = _plan(replace(codes, population=fitted), best.per_volt, fit.method, fit.gains)
        # Initial codes and warnings follow from the threshold.
        codes = code_population(population, best.neuron, best.per_volt, latency, fit.formats, decided)
    refuse_missing((codes.population, *best.projections), CAN, "quantisation")
    return _coded(replace(best, codes=codes), fit, decided, factor)


def _candidates(population: Population, fit: Fit, latency: int, choices: Choices) -> list[Candidate]:
    """Return the codes at each scale, with the bias corrected and not, and with each leak that data may prefer."""
    # Where the mean input is met, rates need not be: a neuron that most samples leave alone may lie at its threshold.
    may_correct = "bias" in choices.correct and choices.drive is not None and choices.plan.bias is None
    variants = (True, False) if may_correct and fit.neuron.model.fires else (may_correct,)
    found = []
    for scale in fit.scales:
        projections = tuple(
            _code_projection(w, scale, fit.formats, choices, m) for w, m in zip(fit.weights, fit.moments, strict=True)
        )
        for corrects in variants:
            neuron, per_volt = fit.neuron, scale.weights_per_volt
            if corrects:
                neuron = _corrected(neuron, fit.weights, projections, per_volt, choices, fit.formats)
            found += [
                Candidate(per_volt, projections, codes, neuron)
                for codes in _registers(population, neuron, per_volt, latency, fit.formats, choices)
            ]
    return found


def _registers(
    population: Population,
    neuron: AffineNeuron,
    per_volt: float,
    latency: int,
    formats: dict[str, int],
    choices: Choices,
) -> list[Registers]:
    """Return the registers and, where a leak lies between two codes and data is there to decide, the other one's."""
    found = [code_population(population, neuron, per_volt, latency, formats, choices.plan)]
    learns_leaks = choices.drive is not None and choices.rounding == "learned" and neuron.model.fires
    if learns_leaks and choices.plan.leak_v is None:
        other = other_leaks(neuron, found[0].population)
        if other is not None:
            plan = choices.plan.model_copy(update={"leak_v": compact(other, population.shape)})
            found.append(code_population(population, neuron, per_volt, latency, formats, plan))
    return found


def _coded(best: Candidate, fit: Fit, decided: PopulationPlan, factor: float) -> Coded:
    """Return the codes with what can go wrong and the decisions behind them."""
    codes, projections, late = best.codes, best.projections, _late(best.codes)
    pairs = list(zip(fit.weights, projections, strict=True))
    kept = [_kept(w, p, best.per_volt) for w, p in pairs]
    lost = [f"{w.synapses.projection.name}: {lost}" for w, (_, lost) in zip(fit.weights, kept, strict=True) if lost]
    sent = [w.synapses.payload for w in fit.weights]
    payloads = (*((int(low), int(high)) for low, high in sent), *((0, 1) for _ in late))
    return Coded(
        codes.population,
        projections,
        (*codes.warnings, *lost, *overflow_warnings(codes.population, (*projections, *late), payloads)),
        decided,
        tuple(_projection_plan(w, p, best.per_volt) for w, p in pairs),
        tuple(title for title, _ in kept),
        late=late[0] if late else None,
        threshold_factor=factor,
        notes=fit.notes,
    )


def _late(codes: Registers) -> tuple[CodedProjection, ...]:
    """Return the synapses of the source of bias, if there are any; they first deliver in row 0, or in the row after."""
    name, late = codes.population.name, codes.late
    if late is None:
        return ()
    weight = late.weight.reshape(-1, 1)
    latency = codes.population.latency + late.after
    return (CodedProjection(BIAS_SOURCE, name, weight, late.exponent, late.weight_bits, late.sign_mode, latency),)


def _code_projection(
    w: Weights, scale_of_all: Scale, formats: dict[str, int], choices: Choices, moments: Floats | None
) -> CodedProjection:
    """Return a projection's codes."""
    s = w.synapses
    exponent, scale = w.exponent(scale_of_all, formats), w.codes_per_volt(scale_of_all, formats)
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
    neuron: AffineNeuron,
    weights: tuple[Weights, ...],
    projections: tuple[CodedProjection, ...],
    weights_per_volt: float,
    choices: Choices,
    formats: dict[str, int],
) -> AffineNeuron:
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


def _kept(w: Weights, p: CodedProjection, weights_per_volt: float) -> tuple[str | None, str]:
    """Return what the weights' grid is called if codes keep it, and what to say if they do not."""
    grid = w.grid or find_grid(w.weight)
    if grid is None:
        return None, ""
    if is_kept(w.weight, dequantise_weights(p.weight, weights_per_volt / 2.0**p.exponent)):
        return grid.title, ""
    return None, f"weights lie on a {grid.title}, which {w.bits} bits at this scale do not keep"


def _plan(codes: Registers, weights_per_volt: float, method: str, gains: tuple[float, ...] | None) -> PopulationPlan:
    coded = codes.population
    shape, (mantissa, exponent) = coded.shape, codes.bias
    return PopulationPlan(
        scale=method,  # type: ignore[arg-type]
        codes_per_volt=weights_per_volt,
        channel_gain=None if gains is None else list(gains),
        threshold=compact(coded.threshold_code, shape) if coded.model.fires else None,
        leak_u=compact(coded.du, shape),
        leak_v=compact(coded.dv, shape),
        bias=BiasPlan(mantissa=compact(mantissa, shape), exponent=exponent),
    )


def _projection_plan(w: Weights, p: CodedProjection, weights_per_volt: float) -> ProjectionPlan:
    nearest = quantise_weights(w.weight, weights_per_volt / 2.0**p.exponent, w.codes)
    steps = (p.weight.astype(np.int64) - nearest) // w.codes.step
    learned = bool(steps.any())
    return ProjectionPlan(
        bits=w.bits,  # type: ignore[arg-type]
        exponent=p.exponent,
        rounding="learned" if learned else "nearest",
        learned=pack_steps(steps.astype(np.int16), w.bits) if learned else None,
    )
