"""Remedies for neurons that never fire or fire too much: thresholds and biases that were tried on the data.

A neuron that never fired does the same under a lower threshold up to its first spike. So it fires once the threshold
lies below the highest v that was seen; and once its bias is larger by what was missing there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS
from neurodeploy.families.loihi.check.observe import SATURATED, Observation, emulate
from neurodeploy.families.loihi.codes import CODE_RANGES, THRESHOLD_MAX, LoihiPopulation
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.run_options import Inputs

Ints = NDArray[np.int64]

LOWERED_FACTORS = (1.0, 0.9, 0.75, 0.5, 0.25)
"""Parts of a threshold that are tried where the largest that should do does not."""

RAISED_FACTORS = (1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""By what thresholds are multiplied in search of one at which neurons no longer fire all the time."""

SLIGHTLY_RAISED_FACTORS = (1.01, 1.05, 1.1)
"""By what thresholds are multiplied first where a population is not to fire at all."""

TRIED_ON = 64
"""Samples, at most, on which a higher threshold is tried."""


def reachable_threshold(population: LoihiPopulation, highest: Ints) -> str:
    """Return the threshold below which some input can make a neuron fire; ``highest`` is what v can reach, (n,)."""
    codes, can = _below(population, highest)
    if not can.any():
        return (
            f"nothing raises v of {population.name} above 0: give its weights more bits or another scale, or add a bias"
        )
    text, _ = _lower(population, codes, _nearest(population, codes, can))
    return f"{text} so that input can make it fire at all"


def waking_threshold(program: LoihiProgram, population: LoihiPopulation, seen: Observation, inputs: Inputs) -> str:
    """Return a change after which a silent population fires on calibration data; each is tried before it is named.

    Args:
        program: the program.
        population: the silent one.
        seen: what it does on the data.
        inputs: calibration data, ``[T, B, *shape]`` for each input.
    """
    codes, can = _below(population, seen.v_peak)
    if can.any():
        neuron = _nearest(population, codes, can)
        for part in LOWERED_FACTORS:
            text, changed = _lower(population, np.maximum((codes * part).astype(np.int64), _least(population)), neuron)
            if _fires(program, replace(population, threshold_code=changed), inputs, int(seen.peak_sample[neuron])):
                return f"{text} so that it fires on calibration data"
    missing = _missing_bias(population, seen.v_peak)
    neuron = int(missing.argmin())
    mantissa = population.bias_mantissa + int(missing[neuron])
    if mantissa.max() <= _most_bias(program):
        biased = replace(population, bias_mantissa=mantissa)
        if _fires(program, biased, inputs, int(seen.peak_sample[neuron])):
            return (
                f"raise the bias mantissa of {population.name} by {int(missing[neuron])} (plan:"
                f" populations.{population.name}.bias) so that it fires on calibration data, or give it larger weights"
            )
    return f"neither threshold nor bias alone makes {population.name} fire: check the scale of its weights"


def lowered_threshold(program: LoihiProgram, population: LoihiPopulation, seen: Observation) -> str:
    """Return how far v of the lost neurons got, and below which thresholds the first and all of them fire.

    Args:
        program: the program.
        population: the one with lost neurons.
        seen: what it does on calibration data.
    """
    lost = seen.lost
    threshold = np.maximum(population.threshold_code.astype(np.int64) << ALIGN_BITS, 1)
    share = float((seen.v_peak / threshold)[lost].max())
    codes, can = _below(population, seen.v_peak)
    can = can & lost
    if not can.any():
        missing = np.where(lost, _missing_bias(population, seen.v_peak), np.iinfo(np.int64).max)
        neuron = int(missing.argmin())
        more = int(missing[neuron])
        if population.bias_mantissa[neuron] + more > _most_bias(program):
            return "v of none of them got above 0, so no threshold wakes them: check the scale of their weights"
        return f"v of none of them got above 0, so no threshold wakes them; a bias mantissa larger by {more} wakes one"
    nearest, last = _nearest(population, codes, can), _nearest(population, codes, can, farthest=True)
    text, changed = _lower(population, codes, nearest)
    _, for_all = _lower(population, codes, last)
    found = f"the highest v reached {100 * share:.3g} % of the threshold: {text}"
    if (for_all < changed).any():
        which = "all" if int(can.sum()) == int(lost.sum()) else str(int(can.sum()))
        found += f" to wake the first; v of {which} of them passed {_lower(population, codes, last, short=True)[0]}"
    return found


def raised_threshold(program: LoihiProgram, population: LoihiPopulation, seen: Observation, inputs: Inputs) -> str:
    """Return a higher threshold at which the saturated neurons are so no longer, tried on the first samples.

    Args:
        program: the program.
        population: the one with saturated neurons.
        seen: what it does on the data.
        inputs: calibration data, ``[T, B, *shape]`` for each input.
    """
    old = population.threshold_code.astype(np.int64)

    def calms(sent: NDArray[Any]) -> bool:
        share = np.count_nonzero(sent, axis=(0, 1)) / max(sent.shape[0] * sent.shape[1], 1)
        return bool((share[seen.saturated] < SATURATED).all())

    if found := _raised(program, population, inputs, RAISED_FACTORS, calms):
        return f"{found[0]}, at which none of them does on {found[1]}"
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    drive = int((bias > old << ALIGN_BITS)[seen.saturated].sum())
    if drive:
        return (
            f"the bias of {drive} of them is above their threshold: lower it (plan: populations.{population.name}.bias)"
        )
    most = f"{RAISED_FACTORS[-1]:g} times the threshold"
    return f"{most} does not stop them: lower the scale of their weights, or their bias"


def quieting_threshold(program: LoihiProgram, population: LoihiPopulation, inputs: Inputs) -> str:
    """Return a higher threshold at which a population no longer fires, tried on the first samples.

    Args:
        program: the program.
        population: the one that fires, and does not in the float model.
        inputs: calibration data, ``[T, B, *shape]`` for each input.
    """
    if found := _raised(
        program, population, inputs, (*SLIGHTLY_RAISED_FACTORS, *RAISED_FACTORS), lambda sent: not sent.any()
    ):
        return f"{found[0]}, at which it does not on {found[1]}"
    most = f"{RAISED_FACTORS[-1]:g} times the threshold"
    return f"{most} does not quiet it: check the scale of its weights, its bias and its leak"


def _raised(
    program: LoihiProgram,
    population: LoihiPopulation,
    inputs: Inputs,
    factors: tuple[float, ...],
    is_enough: Callable[[NDArray[Any]], bool],
) -> tuple[str, str] | None:
    """Return the least of higher thresholds at which what is sent is as wanted, and on which data, both in words."""
    few = {name: values[:, :TRIED_ON] for name, values in inputs.items()}
    n_samples = next(iter(few.values())).shape[1]
    tried = "this data" if n_samples < TRIED_ON else f"its first {n_samples} samples"
    top = 2 ** program.number_formats.get("threshold_bits", THRESHOLD_MAX.bit_length()) - 1
    old = population.threshold_code.astype(np.int64)
    for factor in factors:
        new = np.minimum(np.ceil(np.maximum(old, 1) * factor).astype(np.int64), top)
        if is_enough(_sent(program, replace(population, threshold_code=new), few)):
            return f"raise {_between(old, new, factor)} (plan: populations.{population.name}.threshold)", tried
        if (new == top).all():
            break
    return None


def _below(population: LoihiPopulation, highest: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the largest threshold codes below what v reached, and which of them a neuron can have."""
    codes = (highest.astype(np.int64) - 1) >> ALIGN_BITS
    return codes, codes >= _least(population)


def _most_bias(program: LoihiProgram) -> int:
    return int(program.number_formats.get("bias_mantissa_max", CODE_RANGES["bias_mantissa"][1]))


def _least(population: LoihiPopulation) -> int:
    return 0 if population.model.max_spikes == 1 else 1


def _nearest(population: LoihiPopulation, codes: Ints, among: NDArray[np.bool_], farthest: bool = False) -> int:
    """Return the neuron among some whose code is the largest (or smallest) part of its threshold."""
    places = np.flatnonzero(among)
    shares = (codes / np.maximum(population.threshold_code, 1))[places]
    return int(places[shares.argmin() if farthest else shares.argmax()])


def _lower(population: LoihiPopulation, codes: Ints, neuron: int, short: bool = False) -> tuple[str, Ints]:
    """Return lower thresholds of the whole population, by the part that one neuron needs, in words and as codes."""
    old = population.threshold_code.astype(np.int64)
    share = int(codes[neuron]) / max(int(old[neuron]), 1)
    if (old == old[0]).all():
        new = np.full_like(old, codes[neuron])
    else:
        share = np.floor(share * 1000) / 1000
        new = np.maximum((old * share).astype(np.int64), _least(population))
    if short:
        return (str(int(new[0])) if (old == old[0]).all() else f"{share:.3f} times theirs"), new
    return f"lower {_between(old, new, share)} (plan: populations.{population.name}.threshold)", new


def _between(old: Ints, new: Ints, factor: float) -> str:
    if (old == old[0]).all():
        return f"threshold from {int(old[0])} to {int(new[0])}"
    return f"thresholds of {int(old.min())} to {int(old.max())} to {factor:.3f} times as much"


def _missing_bias(population: LoihiPopulation, highest: Ints) -> Ints:
    """Return how much larger each neuron's bias mantissa must be for v to pass the threshold where it was highest."""
    missing = (population.threshold_code.astype(np.int64) << ALIGN_BITS) + 1 - highest
    needed: Ints = -(-np.maximum(missing, 1) >> population.bias_exponent)
    return needed


def _fires(program: LoihiProgram, changed: LoihiPopulation, inputs: Inputs, sample: int) -> bool:
    one = {name: values[:, sample : sample + 1] for name, values in inputs.items()}
    return bool(_sent(program, changed, one).any())


def _sent(program: LoihiProgram, changed: LoihiPopulation, inputs: Inputs) -> NDArray[Any]:
    """Return what a population sends, ``[T, B, n]``, once it is changed."""
    populations = tuple(changed if p.name == changed.name else p for p in program.populations)
    sent = emulate(replace(program, populations=populations), inputs).spikes(changed.name)
    return sent.reshape(*sent.shape[:2], -1)
