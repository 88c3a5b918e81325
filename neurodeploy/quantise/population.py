"""One population and its synapses as integer codes: weights, threshold, decays, bias and initial registers.

All that flows into a population shares one unit: ``K`` weight codes per volt, so that ``unit = K << 6`` register
units are one volt; see :mod:`neurodeploy.quantise.scale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import ALIGN_BITS, STATE_LIMIT
from neurodeploy.codes import CodedPopulation, CodedProjection
from neurodeploy.network import Population
from neurodeploy.quantise.initial import initial_codes
from neurodeploy.quantise.neurons import ChipNeuron
from neurodeploy.quantise.overflow import overflow_warnings
from neurodeploy.quantise.scale import Synapses, base_scale, unit_exponent
from neurodeploy.quantise.weights import WeightRange, filling_scale, quantise_weights, weight_range

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
    ranges = [weight_range(s.folded.stored, bits, s.projection.name) for s in synapses]
    filling = [filling_scale(s.folded.stored, codes) for s, codes in zip(synapses, ranges, strict=True)]
    base = base_scale(neuron, filling)
    graded = [fills for s, fills in zip(synapses, filling, strict=True) if s.message_bits and np.isfinite(fills)]
    exponent = unit_exponent(base, neuron, synapses, max(graded, default=0.0), formats, population.name)
    weights_per_volt = base * 2.0**exponent
    projections = tuple(
        _code_projection(s, codes, weights_per_volt, fills, formats, bits)
        for s, codes, fills in zip(synapses, ranges, filling, strict=True)
    )
    coded, warnings = _code_population(population, neuron, weights_per_volt, latency, formats)
    payloads = tuple(s.payload for s in synapses)
    return Coded(coded, projections, (*warnings, *overflow_warnings(coded, projections, payloads)))


def _code_projection(
    s: Synapses, codes: WeightRange, weights_per_volt: float, filling: float, formats: dict[str, int], bits: int
) -> CodedProjection:
    """Return a projection's codes; its exponent is the smallest at which its largest weight still fits."""
    over = np.log2(weights_per_volt / filling) if np.isfinite(filling) else 0.0
    exponent = int(np.clip(np.ceil(over - 1e-9), 0, formats["weight_exponent_max"]))
    scale = weights_per_volt / 2.0**exponent
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
        quantise_weights(s.folded.stored, scale, codes),
        exponent,
        bits,
        codes.sign_mode,
        s.delay,
        message_bits=s.message_bits,
        **layout,
    )


def _code_population(
    population: Population, neuron: ChipNeuron, weights_per_volt: float, latency: int, formats: dict[str, int]
) -> tuple[CodedPopulation, list[str]]:
    """Return a population's codes, and in which words they miss the model."""
    unit = weights_per_volt * 2**ALIGN_BITS
    dv = _decay_codes(neuron.keep_mem, formats)
    du = np.maximum(_decay_codes(neuron.keep_syn, formats, top=1) - 1, 0)
    threshold = np.maximum(np.rint(neuron.threshold * weights_per_volt), 1).astype(np.int64)
    if not neuron.model.fires:
        threshold[:] = 2 ** formats["threshold_bits"] - 1
    mantissa, exponent = _bias_codes(np.rint(neuron.bias * unit).astype(np.int64), formats)
    extras = _extra_codes(neuron, unit, formats)
    goal = np.rint(neuron.u_init * unit).astype(np.int64), np.rint(neuron.v_init * unit).astype(np.int64)
    initial = initial_codes(du, dv, threshold, mantissa << exponent, goal, latency, extras.get("v_min"))
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
            f" does: bias acts {latency} steps before the first input and no initial code makes up for it"
            f" (worst {worst:.2g} of the threshold)"
        )
    codes = {"du": du, "dv": dv, "threshold_code": threshold, "bias_mantissa": mantissa, **extras}
    coded = CodedPopulation(
        population.name,
        population.shape,
        bias_exponent=exponent,
        u_init=initial.u,
        v_init=initial.v,
        latency=latency,
        unit=unit,
        model=neuron.model,
        **codes,
    )
    return coded, warnings


def _decay_codes(keep: Floats, formats: dict[str, int], top: int = 0) -> Ints:
    """Return the parts of a state that are lost in a step, in units of the decay code; up to ``top`` beyond it."""
    full = 2 ** formats["decay_bits"]
    codes: Ints = np.clip(np.rint(full * (1.0 - keep)), 0, full - 1 + top).astype(np.int64)
    return codes


def _extra_codes(neuron: ChipNeuron, unit: float, formats: dict[str, int]) -> dict[str, Ints]:
    """Return the codes of a floor and of an adaptive threshold, where there are such."""
    found = {}
    if neuron.v_min is not None:
        found["v_min"] = np.clip(np.rint(neuron.v_min * unit), 1 - STATE_LIMIT, 0).astype(np.int64)
    if neuron.adapt_keep is not None and neuron.adapt_rise is not None:
        found["adapt_decay"] = _decay_codes(neuron.adapt_keep, formats)
        found["adapt_step"] = np.clip(np.rint(neuron.adapt_rise * unit), 0, STATE_LIMIT - 1).astype(np.int64)
    return found


def _bias_codes(bias: Ints, formats: dict[str, int]) -> tuple[Ints, int]:
    """Return mantissas and the smallest common exponent at which the largest of them fits."""
    limit = formats["bias_mantissa_max"]
    for exponent in range(formats["bias_exponent_max"] + 1):
        mantissa = np.rint(bias / 2**exponent).astype(np.int64)
        if np.abs(mantissa).max(initial=0) <= limit:
            return mantissa, exponent
    raise AssertionError("the unit was chosen so that every bias fits")
