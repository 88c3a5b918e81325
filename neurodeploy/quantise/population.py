"""One population and its synapses as integer codes: scale, weights, threshold, decays, bias and initial registers.

All that flows into a population shares one unit: ``K`` weight codes per volt, so that ``unit = K << 6`` register
units are one volt. K is the largest at which weights fill their codes and, as a power of two above that, nothing can
leave its register.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT
from neurodeploy.codes import CodedPopulation, CodedProjection
from neurodeploy.errors import DeployError
from neurodeploy.network import Population, Projection
from neurodeploy.passes.fold import Folded
from neurodeploy.quantise.initial import initial_codes
from neurodeploy.quantise.neurons import ChipNeuron
from neurodeploy.quantise.weights import WeightRange, filling_scale, quantise_weights, weight_range

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FINE_THRESHOLD = 1024
"""Threshold code above which rounding it, and the half unit that truncation drains a step, no longer matter (0.1 %)."""


@dataclass(frozen=True, eq=False, slots=True)
class Synapses:
    """A projection ready to be quantised: its folded float weights, times the population's gain."""

    projection: Projection
    folded: Folded
    delay: int


@dataclass(frozen=True, eq=False, slots=True)
class Coded:
    """A population's codes, those of its synapses, and what can go wrong."""

    population: CodedPopulation
    projections: tuple[CodedProjection, ...]
    warnings: tuple[str, ...]


def quantise_population(
    population: Population,
    neuron: ChipNeuron,
    synapses: tuple[Synapses, ...],
    latency: int,
    formats: dict[str, int],
    bits: int,
) -> Coded:
    """Quantise a population and the synapses into it, from their values alone.

    Args:
        population: the float neurons, for name and shape.
        neuron: the same in the chip's form.
        synapses: all that flows into it.
        latency: hardware step of the population's row 0.
        formats: the target's number formats.
        bits: weight bits.

    Raises:
        DeployError: a threshold or bias cannot be held at any scale.
    """
    ranges = [weight_range(s.folded.weight, bits, s.projection.name) for s in synapses]
    filling = [filling_scale(s.folded.weight, codes) for s, codes in zip(synapses, ranges, strict=True)]
    base = min(filling, default=np.inf)
    base = base if np.isfinite(base) else FINE_THRESHOLD / float(neuron.threshold.max())
    swing = _swing(synapses)
    exponent = _unit_exponent(base, neuron, swing, formats, population.name)
    weights_per_volt = base * 2.0**exponent
    projections = tuple(
        _code_projection(s, codes, weights_per_volt, fills, formats, bits)
        for s, codes, fills in zip(synapses, ranges, filling, strict=True)
    )
    coded, warnings = _code_population(population, neuron, weights_per_volt, latency, formats)
    return Coded(coded, projections, (*warnings, *_overflow_warnings(coded, projections)))


def _swing(synapses: tuple[Synapses, ...]) -> tuple[float, float]:
    """Return the most that one step's input can lower and raise any neuron of the population, V."""
    low, high = 0.0, 0.0
    for s in synapses:
        weight = s.folded.weight.reshape(len(s.folded.weight), -1)
        low += float(np.minimum(weight, 0.0).sum(axis=1).min(initial=0.0))
        high += float(np.maximum(weight, 0.0).sum(axis=1).max(initial=0.0))
    return low, high


def _unit_exponent(
    base: float, neuron: ChipNeuron, swing: tuple[float, float], formats: dict[str, int], name: str
) -> int:
    """Return the power of two by which the unit exceeds the weights' own.

    It is as large as it can be, so that precision is used, while nothing overflows. Four limits count: the threshold's
    width, the bias's width, u and a rising v in the worst case, and a falling v in the worst case. The last one gives
    way where it would leave the threshold coarse: a v that low only saturates.
    """
    bits = np.log2
    threshold = float(neuron.threshold.max())
    held = bits((2 ** formats["threshold_bits"] - 1) / (threshold * base))
    bias = float(np.abs(neuron.bias).max(initial=0.0))
    if bias > 0:
        most = formats["bias_mantissa_max"] << formats["bias_exponent_max"]
        held = min(held, bits(most / (bias * base * 2**ALIGN_BITS)))
    if np.floor(held) < -10:
        raise DeployError(
            f"{name!r} has a threshold of {threshold:.4g} V or a bias of {bias:.4g} V that dwarfs its weights",
            where=f"node {name!r}",
            fix="Rescale the layer, or train it with larger weights.",
        )
    current = max(-swing[0], swing[1]) / _lost(neuron.keep_syn)
    rising = current + bias + threshold
    safe = bits(STATE_LIMIT / (rising * base * 2**ALIGN_BITS))
    falling = (-swing[0] / _lost(neuron.keep_syn) + bias) / _lost(neuron.keep_mem)
    deep = bits(STATE_LIMIT / (max(falling, rising) * base * 2**ALIGN_BITS))
    fine = np.ceil(bits(FINE_THRESHOLD / (threshold * base)))
    wished = np.floor(deep) if np.floor(deep) >= fine else min(fine, np.floor(safe))
    largest = min(np.floor(held), formats["weight_exponent_max"])
    return int(min(max(wished, 0), largest))


def _lost(keep: Floats) -> float:
    """Return the smallest part of a state that is lost in a step, at least one unit of the decay code."""
    return max(1.0 - float(keep.max(initial=0.0)), 2.0**-DECAY_BITS)


def _code_projection(
    s: Synapses, codes: WeightRange, weights_per_volt: float, filling: float, formats: dict[str, int], bits: int
) -> CodedProjection:
    """Return a projection's codes; its exponent is the smallest at which its largest weight still fits."""
    over = np.log2(weights_per_volt / filling) if np.isfinite(filling) else 0.0
    exponent = int(np.clip(np.ceil(over - 1e-9), 0, formats["weight_exponent_max"]))
    scale = weights_per_volt / 2.0**exponent
    geometry: dict[str, Any] = {}
    if s.folded.conv is not None:
        conv = s.folded.conv
        geometry = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation, "groups": conv.groups}
    return CodedProjection(
        s.projection.source,
        s.projection.target,
        quantise_weights(s.folded.weight, scale, codes),
        exponent,
        bits,
        codes.sign_mode,
        s.delay,
        **geometry,
    )


def _code_population(
    population: Population, neuron: ChipNeuron, weights_per_volt: float, latency: int, formats: dict[str, int]
) -> tuple[CodedPopulation, list[str]]:
    """Return a population's codes, and in which words they miss the model."""
    unit = weights_per_volt * 2**ALIGN_BITS
    full = 2 ** formats["decay_bits"]
    dv = np.clip(np.rint(full * (1.0 - neuron.keep_mem)), 0, full - 1).astype(np.int64)
    du = np.clip(np.rint(full * (1.0 - neuron.keep_syn)) - 1, 0, full - 1).astype(np.int64)
    threshold = np.maximum(np.rint(neuron.threshold * weights_per_volt), 1).astype(np.int64)
    mantissa, exponent = _bias_codes(np.rint(neuron.bias * unit).astype(np.int64), formats)
    goal = np.rint(neuron.u_init * unit).astype(np.int64), np.rint(neuron.v_init * unit).astype(np.int64)
    initial = initial_codes(du, dv, threshold, mantissa << exponent, goal, latency)
    warnings = []
    if (threshold == 1).any():
        warnings.append(f"{population.name}: thresholds round to 1 weight unit; the weights are too large for them")
    if (neuron.keep_syn >= 1.0).any():
        warnings.append(f"{population.name}: a synaptic current that never decays loses 1/4096 a step on the chip")
    missed = initial.v_error != 0
    if missed.any():
        worst = float(np.max(np.abs(initial.v_error) / (threshold << ALIGN_BITS)))
        warnings.append(
            f"{population.name}: {int(missed.sum())} of {population.size} neurons do not start as the model"
            " does: bias acts"
            f" {latency} steps before the first input and no initial code makes up for it"
            f" (worst {worst:.2g} of the threshold)"
        )
    coded = CodedPopulation(
        population.name,
        population.shape,
        du.astype(np.int32),
        dv.astype(np.int32),
        threshold.astype(np.int32),
        mantissa.astype(np.int32),
        exponent,
        initial.u.astype(np.int32),
        initial.v.astype(np.int32),
        latency,
        unit,
    )
    return coded, warnings


def _bias_codes(bias: Ints, formats: dict[str, int]) -> tuple[Ints, int]:
    """Return mantissas and the smallest common exponent at which the largest of them fits."""
    limit = formats["bias_mantissa_max"]
    for exponent in range(formats["bias_exponent_max"] + 1):
        mantissa = np.rint(bias / 2**exponent).astype(np.int64)
        if np.abs(mantissa).max(initial=0) <= limit:
            return mantissa, exponent
    raise AssertionError("the unit was chosen so that every bias fits")


def _overflow_warnings(population: CodedPopulation, projections: tuple[CodedProjection, ...]) -> list[str]:
    """Return what worst-case input (every spike of one sign of weight at once, for ever) does to the registers."""
    low, high = np.zeros(1), np.zeros(1)
    for p in projections:
        weight = p.weight.reshape(len(p.weight), -1).astype(np.int64) << (p.exponent + ALIGN_BITS)
        per_neuron = population.size // len(weight)
        low = low + np.repeat(np.minimum(weight, 0).sum(axis=1), per_neuron)
        high = high + np.repeat(np.maximum(weight, 0).sum(axis=1), per_neuron)
    full = 2.0**DECAY_BITS
    current = np.maximum(-low, high) / np.maximum((population.du + 1) / full, 1 / full)
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    fall = (low / ((population.du + 1) / full) + np.minimum(bias, 0)) / np.maximum(population.dv / full, 1 / full)
    warnings = []
    if (wraps := int((current >= STATE_LIMIT).sum())) > 0:
        warnings.append(
            f"{population.name}: u of {wraps} of {population.size} neurons can wrap if enough inputs fire at once;"
            " wraps are counted in each run"
        )
    if (clips := int((fall <= -STATE_LIMIT).sum())) > 0:
        warnings.append(
            f"{population.name}: v of {clips} of {population.size} neurons can saturate far below the threshold under"
            " lasting inhibition; counted in each run"
        )
    return warnings
