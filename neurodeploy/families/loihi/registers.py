"""A population's own registers as codes: threshold, leaks, bias, what programmed neurons add, and initial values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT
from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.families.loihi.initial import InitialCodes, cleared_codes, initial_codes
from neurodeploy.families.loihi.weights import quantise_weights, weight_range
from neurodeploy.ir.network import Population
from neurodeploy.ir.plan import PopulationPlan, spread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAK_OFF = 0.1
"""Share by which a leak may miss the model's before that is said."""

LEAST_LEAK = 1e-3
"""Part of a decay code below which a model's leak is none: time constants of four million steps and more."""

MISSED_CONDITION = (
    "fires at v > threshold, where the model fires at v >= threshold; the chip cannot lower the threshold by"
    f" 1/{2**ALIGN_BITS} of a unit, so they differ only where v meets the threshold exactly"
)


@dataclass(frozen=True, eq=False, slots=True)
class LateBias:
    """The part of a bias that acts from the population's row 0 on, as weights of a source that is always on.

    weight: int16 (n,). exponent, weight_bits, sign_mode: of the synapses. after: steps from row 0 on until they first
        deliver.
    """

    weight: NDArray[np.int16]
    exponent: int
    weight_bits: int
    sign_mode: str
    after: int


@dataclass(frozen=True, eq=False, slots=True)
class Registers:
    """A population's codes, and warnings about what could not be matched.

    bias: mantissa, int64 (n,), and exponent of the whole bias. late: the part of it that is not in ``population``.
    """

    population: LoihiPopulation
    warnings: tuple[str, ...]
    bias: tuple[Ints, int]
    late: LateBias | None


def code_population(
    population: Population,
    neuron: AffineNeuron,
    weights_per_volt: float,
    latency: int,
    formats: dict[str, int],
    plan: PopulationPlan,
) -> Registers:
    """Return a population's codes, and warnings about what could not be matched.

    Where no initial codes make up for a bias that acts before the first input, it enters through synapses of a source
    that is always on and starts at the population's latency; what those synapses cannot hold stays a register's. So
    does a constant input of currents that spikes clear, or of two, of which nothing is left for a register.

    Args:
        population: the float neurons.
        neuron: the same in the chip's form.
        weights_per_volt: weight codes, at exponent 0, that are one volt.
        latency: hardware step of the population's row 0.
        formats: the target's number formats.
        plan: codes that are taken over; what it leaves out is decided here.
    """
    unit = weights_per_volt * 2**ALIGN_BITS
    given = {key: values for key in ("threshold", "leak_u", "leak_v") if (values := getattr(plan, key)) is not None}
    planned = {key: spread(values, population.shape).astype(np.int64) for key, values in given.items()}
    _check_scale(population.name, neuron, weights_per_volt, formats, plan)
    least, top = (neuron.threshold > 0).astype(np.int64), 2 ** formats["threshold_bits"] - 1
    threshold = np.clip(np.rint(neuron.threshold * weights_per_volt), least, top).astype(np.int64)
    threshold = planned.get("threshold", threshold)
    if not neuron.model.fires:
        threshold = np.full_like(threshold, top)
    typical = (np.maximum(threshold, 1) << ALIGN_BITS) / 2.0
    typical = typical if neuron.model.fires else np.full(threshold.shape, np.inf)
    dv = planned.get("leak_v", _decay_codes(neuron.keep_mem, formats, typical))
    du = planned.get("leak_u", np.maximum(_decay_codes(neuron.keep_syn, formats, typical, top=1) - 1, 0))
    if plan.bias is not None:
        mantissa, exponent = spread(plan.bias.mantissa, population.shape).astype(np.int64), plan.bias.exponent
    else:
        mantissa, exponent = bias_codes(np.rint(neuron.bias * unit).astype(np.int64), formats)
    extras = _extra_codes(neuron, unit, formats)
    starts, beyond = zip(*(_start_codes(values, unit) for values in (neuron.u_init, neuron.v_init)), strict=True)
    goal = starts[0], starts[1]
    model, threshold, warnings = _condition(
        neuron,
        threshold,
        "threshold" in planned,
        is_on_grid(neuron.model, du, dv, (mantissa << exponent, *goal), extras),
    )

    def initial_for(bias: Ints, goal: tuple[Ints, Ints]) -> InitialCodes:
        if model.reset_interval:
            return cleared_codes(bias, threshold if model.fires else None)
        return initial_codes(du, dv, threshold, bias, goal, latency, extras.get("v_min"))

    bias = mantissa, exponent
    initial, late, own = _start(neuron, mantissa << exponent, du, unit, goal, initial_for, formats["weight_bits_max"])
    mantissa, exponent = bias if late is None else bias_codes(own, formats)
    if any(beyond):
        warnings.append(
            f"{max(beyond)} of {population.size} neurons start beyond what a register holds,"
            f" {STATE_LIMIT / unit:.3g} V; they start at this limit"
        )
    warnings = [f"{population.name}: {warning}" for warning in warnings]
    if ((threshold == 1) & (least == 1)).any():
        warnings.append(f"{population.name}: thresholds round to 1 weight unit; the weights are too large for them")
    if (neuron.keep_syn >= 1.0).any():
        warnings.append(f"{population.name}: a synaptic current that never decays loses 1/4096 a step on the chip")
    missed = initial.v_error != 0
    if missed.any():
        worst = float(np.max(np.abs(initial.v_error) / (np.maximum(threshold, 1) << ALIGN_BITS)))
        warnings.append(
            f"{population.name}: {int(missed.sum())} of {population.size} neurons do not start as the model"
            f" does: bias acts {latency} steps before the first input and no initial code makes up for it"
            f" (worst {worst:.2g} of the threshold)"
        )
    codes: dict[str, Any] = {"du": du, "dv": dv, "threshold_code": threshold, "bias_mantissa": mantissa, **extras}
    coded = LoihiPopulation(
        population.name,
        population.shape,
        bias_exponent=exponent,
        u_init=initial.u,
        v_init=initial.v,
        latency=latency,
        unit=unit,
        model=model,
        **codes,
    )
    return Registers(coded, tuple(warnings), bias, late)


def _start_codes(start: Floats, unit: float) -> tuple[Ints, int]:
    """Return what a state starts from in register units, at most a register's end, and how many neurons lie beyond."""
    wished, most = np.rint(start * unit), STATE_LIMIT - 1
    return np.clip(wished, -most, most).astype(np.int64), int((np.abs(wished) > most).sum())


def _start(
    neuron: AffineNeuron,
    bias: Ints,
    du: Ints,
    unit: float,
    goal: tuple[Ints, Ints],
    initial_for: Callable[[Ints, tuple[Ints, Ints]], InitialCodes],
    weight_bits: int,
) -> tuple[InitialCodes, LateBias | None, Ints]:
    """Return initial codes, what of a bias enters late, and what stays a register's, all in register units.

    Args:
        neuron: the population in the chip's form.
        bias: all of it, as a constant on v.
        du: codes of the current.
        unit: register units a volt.
        goal: u and v that row 0 must start from.
        initial_for: initial codes for a bias and a goal.
        weight_bits: of the synapses through which a bias enters.
    """
    of_current = bias if neuron.bias_syn is None else np.rint(neuron.bias_syn * unit).astype(np.int64)
    initial = initial_for(bias, goal)
    if neuron.takes_bias_as_spikes:
        return initial, _late_bias(of_current, neuron.sees_late, weight_bits)[0] if of_current.any() else None, bias
    if not initial.v_error.any() or not of_current.any():
        return initial, None, bias
    late, delivered = _late_bias(of_current, neuron.sees_late, weight_bits)
    u_rest = goal[0] if neuron.u_rest is None else np.rint(neuron.u_rest * unit).astype(np.int64)
    rest = bias - settled_bias(delivered, du)
    # What the synapses cannot hold is less than what it would cost to start elsewhere.
    missed = initial_for(rest, (u_rest, goal[1])).v_error != 0
    rest = np.where(missed, bias - settled_bias(of_current, du), rest)
    return initial_for(rest, (u_rest, goal[1])), late, rest


def _late_bias(bias: Ints, sees_late: bool, weight_bits: int) -> tuple[LateBias, Ints]:
    """Return a bias as synapses of a source that is always on, and what these deliver of it, register units."""
    codes = weight_range(bias.astype(np.float64), weight_bits, "a bias")
    weight_units = bias / 2.0**ALIGN_BITS
    over = float(np.abs(weight_units).max()) / (256 - codes.step)
    exponent = max(0, int(np.ceil(np.log2(max(over, 1.0)))))
    weight = quantise_weights(weight_units, 2.0**-exponent, codes)
    delivered = (weight.astype(np.int64) << exponent) << ALIGN_BITS
    return LateBias(weight, exponent, weight_bits, codes.sign_mode, int(sees_late)), delivered


def settled_bias(delivered: Ints, du: Ints) -> Ints:
    """Return the constant on v, register units, that a constant input settles at behind currents of these codes."""
    return np.rint(delivered * (2.0**DECAY_BITS / (du + 1.0))).astype(np.int64)


def is_on_grid(model: NeuronModel, du: Ints, dv: Ints, values: tuple[Ints, ...], extras: dict[str, Ints]) -> bool:
    """Tell whether v is a whole number of threshold units at every spike test, and a spike does not subtract any.

    Then ``v >= c`` is ``v > c - 1`` in threshold codes, too. Synapses deliver whole numbers of them; so it holds where
    bias and initial values are such, and nothing decays but to nothing.

    Args:
        model: the integer neuron.
        du, dv: decay codes, int64 (n,).
        values: bias and initial u and v, int64 (n,) each, register units.
        extras: codes of what programmed neurons add, by name.
    """
    resets = model.reset in ("zero", "zero-late", "none") and model.max_spikes == 1
    keeps_all = bool((dv == 0).all()) or model.reset_interval == 1
    whole = not any((value & (2**ALIGN_BITS - 1)).any() for value in values)
    return resets and keeps_all and whole and not extras and bool((du == 2**DECAY_BITS - 1).all())


def _condition(
    neuron: AffineNeuron, threshold: Ints, is_planned: bool, on_grid: bool
) -> tuple[NeuronModel, Ints, list[str]]:
    """Return the neuron and its threshold codes, ``v >= threshold`` said in what the chip has, and what that misses.

    A planned threshold on the grid is one that says so already.
    """
    model = neuron.model
    if not model.fires or model.spike == ">":
        return model, threshold, []
    strict = replace(model, spike=">")
    if on_grid:
        return strict, threshold if is_planned else np.maximum(threshold - 1, 0), []
    if ">=" in neuron.conditions:
        return model, threshold, []
    return strict, threshold, [MISSED_CONDITION]


def _check_scale(
    name: str, neuron: AffineNeuron, weights_per_volt: float, formats: dict[str, int], plan: PopulationPlan
) -> None:
    """Refuse a scale of the plan's at which threshold or bias leave their codes.

    Raises:
        DeployError: they do.
    """
    largest = {
        "threshold": (neuron.threshold, 2 ** formats["threshold_bits"] - 1, plan.threshold),
        "bias": (neuron.bias * 2**ALIGN_BITS, formats["bias_mantissa_max"] << formats["bias_exponent_max"], plan.bias),
    }
    for what, (values, most, planned) in largest.items():
        code = float(np.abs(values).max(initial=0.0)) * weights_per_volt
        if code > 1.001 * most and (planned is None or code > 2**40):
            raise DeployError(
                f"{name!r}: at {weights_per_volt:g} codes per volt its {what} is {code:.4g}, but registers hold at"
                f" most {most}",
                where="--plan",
                fix="Lower codes_per_volt or channel_gain in the plan, or leave them out.",
            )


def _decay_codes(keep: Floats, formats: dict[str, int], typical: Floats, top: int = 0) -> Ints:
    """Return the parts of a state that are lost in a step, in units of the decay code; up to ``top`` beyond it.

    Truncation towards zero takes half a unit more in each step, of a state that is ``typical`` units large; the code
    is chosen smaller by as much, but not so small that a state which should leak no longer does.
    """
    full = 2 ** formats["decay_bits"]
    exact = full * (1.0 - keep)
    corrected = np.where((exact >= 1) & (keep > 0), np.maximum(exact - full * 0.5 / typical, 1.0), exact)
    codes: Ints = np.clip(np.rint(corrected), 0, full - 1 + top).astype(np.int64)
    return codes


def leaks(neuron: AffineNeuron, coded: LoihiPopulation) -> dict[str, tuple[Floats, Floats]]:
    """Return the parts of v and u that are lost in a step, in the model and here, in units of the decay code.

    Truncation takes half a register unit more of a state that is half the threshold, unless the code is 0.

    Returns:
        By register, ``v`` and, where the model has a synaptic current, ``u``: two arrays float64 (n,).
    """
    full = 2.0**DECAY_BITS
    typical = (coded.threshold_code << ALIGN_BITS) / 2.0 if coded.model.fires else np.full(coded.size, np.inf)
    truncated = full / 2.0 / np.maximum(typical, 1.0)
    found = {"v": (full * (1.0 - neuron.keep_mem), coded.dv + np.where(coded.dv > 0, truncated, 0.0))}
    if neuron.keep_syn.any():
        found["u"] = full * (1.0 - neuron.keep_syn), coded.du + 1 + truncated
    return found


def missed(leak: tuple[Floats, Floats]) -> NDArray[np.bool_]:
    """Return the neurons whose leak is over ``LEAK_OFF`` more or less here than in the model, bool (n,)."""
    exact, here = leak
    off: NDArray[np.bool_] = np.abs(here - exact) > LEAK_OFF * exact
    return off & (exact > LEAST_LEAK)


def other_leaks(neuron: AffineNeuron, coded: LoihiPopulation) -> Ints | None:
    """Return leak codes of v on the other side of the model's leak where codes miss it, int64 (n,); None if none do."""
    leak = leaks(neuron, coded)["v"]
    exact, here = leak
    if not (off := missed(leak)).any():
        return None
    other = np.clip(coded.dv.astype(np.int64) + np.where(here < exact, 1, -1), 0, 2**DECAY_BITS - 1)
    return np.where(off, other, coded.dv)


def _extra_codes(neuron: AffineNeuron, unit: float, formats: dict[str, int]) -> dict[str, Ints]:
    """Return the codes of a floor and of an adaptive threshold, where there are such."""
    found = {}
    if neuron.v_min is not None:
        found["v_min"] = np.clip(np.rint(neuron.v_min * unit), 1 - STATE_LIMIT, 0).astype(np.int64)
    if neuron.adapt_keep is not None and neuron.adapt_rise is not None:
        found["adapt_decay"] = _decay_codes(neuron.adapt_keep, formats, np.full(neuron.adapt_keep.shape, np.inf))
        found["adapt_step"] = np.clip(np.rint(neuron.adapt_rise * unit), 0, STATE_LIMIT - 1).astype(np.int64)
    if neuron.keep_second is not None:
        exact = np.full(neuron.keep_second.shape, np.inf)
        found["du_second"] = np.maximum(_decay_codes(neuron.keep_second, formats, exact, top=1) - 1, 0)
    return found


def bias_codes(bias: Ints, formats: dict[str, int]) -> tuple[Ints, int]:
    """Return mantissas and the smallest common exponent at which the largest of them fits."""
    limit = formats["bias_mantissa_max"]
    for exponent in range(formats["bias_exponent_max"] + 1):
        mantissa = np.rint(bias / 2**exponent).astype(np.int64)
        if np.abs(mantissa).max(initial=0) <= limit:
            return mantissa, exponent
    raise AssertionError("_check_scale lets no bias through that does not fit")
