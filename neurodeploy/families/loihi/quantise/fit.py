"""A population's scale, gains of channels and clipping: chosen so that codes keep its membranes.

By default the largest weight fills its code. Where that leaves little of many neurons, because single weights or
channels are much larger than the others, the largest weights are clipped, or each channel has a scale of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.membrane import LEVELS, Part, membrane_error
from neurodeploy.families.loihi.quantise.gains import filling_gains
from neurodeploy.families.loihi.quantise.grid import Grid, aligned, channel_gains, find_grid
from neurodeploy.families.loihi.quantise.learned_rounding import RATIOS, ratio_by_error
from neurodeploy.families.loihi.quantise.second_moments import IsolatedPopulation, second_moments
from neurodeploy.families.loihi.scale import Synapses, base_scale, held_exponent, most_codes_per_volt, unit_exponent
from neurodeploy.families.loihi.weights import WeightRange, filling_scale, weight_range
from neurodeploy.ir.network import Population
from neurodeploy.ir.plan import PopulationPlan, ProjectionPlan, spread

Floats = NDArray[np.float64]

PERCENTILE = 99.5
"""Share of weights, in percent, that the method of that name lets fit; larger ones are clipped."""

MAX_LEARNED = 4608
"""Inputs of a neuron up to which second moments are taken; beyond, weights are rounded to nearest."""

FINE = 1e-3
"""Mean error of the membranes up to which nothing is given up for others: 3 % of what arrives, root mean square."""

CLEARLY = 0.5
"""Share of that error that clipping, or gains, may leave at most to be taken."""

NOTHING_PLANNED = PopulationPlan()


@dataclass(frozen=True, eq=False, slots=True)
class Choices:
    """Choices by which a population is quantised; what the plan says comes first.

    bits: of the weights. scale: how codes per volt are chosen; None for ``range`` at 6 bits and more, else ``mse``,
    and for clipping where that is clearly better.
    rounding: ``nearest`` or ``learned``. correct: which of ``CORRECTIONS``. per_channel: a gain for each channel; None
    for where that is clearly better.
    plan, projections: what the plan says of the population and of each projection into it.
    drive: what flows in on calibration data, or None.
    """

    bits: int | str = 8
    scale: str | None = None
    rounding: str = "nearest"
    correct: tuple[str, ...] = ()
    per_channel: bool | None = False
    plan: PopulationPlan = NOTHING_PLANNED
    projections: tuple[ProjectionPlan, ...] = ()
    drive: IsolatedPopulation | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """Codes per volt, and by how much they exceed those at which the largest weight fits."""

    weights_per_volt: float
    ratio: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Weights:
    """A projection on its way to codes: range, bits as the plan has them, and the scale at which all weights fit.

    grid: of weights that were trained quantised; that scale then keeps them. kept: the least and the most that is kept
    of a weight, V, where what is beyond has been given up, so that nothing makes up for it.
    """

    synapses: Synapses
    plan: ProjectionPlan
    bits: int | str
    codes: WeightRange
    filling: float
    grid: Grid | None = None
    kept: tuple[float, float] | None = None

    @property
    def weight(self) -> Floats:
        """The float weights that are stored, V, as far as they are kept."""
        stored = self.synapses.folded.entries
        return stored if self.kept is None else np.clip(stored, *self.kept)

    def keeping(self, scale: Scale, formats: dict[str, int]) -> Weights:
        """Return it with what codes do not hold at a scale given up."""
        per_volt = self.codes_per_volt(scale, formats)
        return replace(self, kept=(self.codes.low / per_volt, self.codes.high / per_volt))

    def exponent(self, scale: Scale, formats: dict[str, int]) -> int:
        """Return the plan's exponent, or the smallest at which the largest weight that is not clipped still fits."""
        if self.plan.exponent is not None:
            return self.plan.exponent
        fits = self.filling * scale.ratio
        over = np.log2(scale.weights_per_volt / fits) if np.isfinite(fits) else 0.0
        return int(np.clip(np.ceil(over - 1e-9), 0, formats["weight_exponent_max"]))

    def codes_per_volt(self, scale: Scale, formats: dict[str, int]) -> float:
        """Return how many of the projection's own codes are one volt."""
        return float(scale.weights_per_volt / 2.0 ** self.exponent(scale, formats))


@dataclass(frozen=True, eq=False, slots=True)
class Fit:
    """A population in volts of its own, its weights, and the scales to try; more than one where rates decide.

    neuron, weights: with each channel in volts that are ``gains`` of the model's, or None. moments: second moments of
    what flows through each projection, or None. method: how the scale was chosen. notes: what was given up for what.
    """

    name: str
    neuron: AffineNeuron
    weights: tuple[Weights, ...]
    formats: dict[str, int]
    gains: tuple[float, ...] | None = None
    method: str = "range"
    moments: tuple[Floats | None, ...] = ()
    scales: tuple[Scale, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def base(self) -> float:
        """Codes per volt at which the largest weight just fits."""
        return base_scale(self.neuron, [w.filling for w in self.weights])

    def finest(self, ratio: float) -> Scale:
        """Return the most codes per volt that registers hold, times a power of two the base times a ratio."""
        base, synapses = self.base, tuple(w.synapses for w in self.weights)
        graded = [w.filling for w in self.weights if w.synapses.message_bits and np.isfinite(w.filling)]
        most = max(graded, default=0.0) * ratio
        exponent = unit_exponent(base * ratio, self.neuron, synapses, most, self.formats, self.name)
        per_volt = base * ratio * 2.0**exponent
        if any(s.measured is not None for s in synapses):
            per_volt = base * ratio * 2.0 ** max(exponent, 0)
            per_volt = min(per_volt, most_codes_per_volt(self.neuron, synapses, self.formats, self.name))
            if any(w.grid is not None for w in self.weights):
                per_volt = base * ratio * 2.0 ** np.floor(np.log2(per_volt / (base * ratio)) + 1e-6)
        return Scale(per_volt, ratio)

    def clipping_scales(self) -> list[Scale]:
        """Return the scale at which all weights fit, and those that clip the largest, as far as registers hold them."""
        ratios = [1 / float(level) for level in LEVELS]
        held = [r for r in ratios if r == 1 or held_exponent(self.base * r, self.neuron, self.formats) >= 0]
        return [self.finest(ratio) for ratio in held]

    def parts(self) -> list[Part]:
        """Return the projections' weights as their errors are measured."""
        return [Part.of(w.synapses.folded, w.codes, self.neuron) for w in self.weights]

    def error(self, scale: Scale, parts: list[Part] | None = None) -> float:
        """Return the mean error of the membranes at a scale."""
        scales = [w.codes_per_volt(scale, self.formats) for w in self.weights]
        return membrane_error(parts or self.parts(), scales, len(self.neuron.threshold))

    def clipped(self, scale: Scale) -> tuple[int, float]:
        """Return how many weights are clipped at a scale, and the largest by what it is clipped to."""
        sizes = [
            np.abs(w.synapses.folded.entries) * w.codes_per_volt(scale, self.formats) / max(-w.codes.low, w.codes.high)
            for w in self.weights
        ]
        return sum(int((size > 1.01).sum()) for size in sizes), max(float(size.max(initial=0.0)) for size in sizes)


def fit_population(
    population: Population,
    neuron: AffineNeuron,
    synapses: tuple[Synapses, ...],
    formats: dict[str, int],
    choices: Choices,
) -> Fit:
    """Return a population's volts and scales, as plan and options say or as is clearly best for its membranes.

    Args:
        population: the float neurons.
        neuron: the same in the chip's form.
        synapses: all that flows into it, in float.
        formats: the target's number formats.
        choices: what options, plan and data say.

    Raises:
        DeployError: a threshold or bias cannot be held at any scale.
    """
    gains = _gains(population, neuron, synapses, formats, choices)
    found = _scaled(_in_volts(population, neuron, synapses, formats, choices, gains), choices)
    if not _is_free(found, choices):
        return found
    error = least = found.error(found.scales[0])
    if error <= FINE:
        return found
    best = found
    for candidate in _giving_up(population, neuron, synapses, found, choices):
        if (left := candidate.error(candidate.scales[0])) < CLEARLY * least:
            best, least = candidate, left
    return best if best is found else replace(best, notes=_notes(found, best, error, least))


def _is_free(found: Fit, choices: Choices) -> bool:
    """Tell whether nobody chose a scale, and data does not bind it."""
    plan = choices.plan
    chosen = plan.codes_per_volt or plan.channel_gain or (plan.scale or choices.scale) not in (None, "mse")
    binds = any(w.grid is not None or w.plan.exponent is not None for w in found.weights)
    return not chosen and not binds and not any(w.synapses.measured is not None for w in found.weights)


def _giving_up(
    population: Population, neuron: AffineNeuron, synapses: tuple[Synapses, ...], found: Fit, choices: Choices
) -> list[Fit]:
    """Return fits that clip single weights: at the scale of all channels, and with a scale for each."""
    forms = [found]
    if choices.per_channel is not False and neuron.model.fires:
        parts = [Part.of(w.synapses.folded, w.codes, neuron) for w in _ranges(synapses, choices)]
        levels = [part.clipping_levels() for part in parts]
        gains = filling_gains(neuron, synapses, population.shape, found.formats, population.name, levels)
        if gains is not None and (gains > 1).any():
            forms.append(_in_volts(population, neuron, synapses, found.formats, choices, gains))
    fits = []
    for form in forms:
        parts = form.parts()
        best = min(form.clipping_scales(), key=lambda scale: form.error(scale, parts))
        weights = tuple(w.keeping(best, form.formats) for w in form.weights)
        method = "range" if best.ratio == 1 else "mse"
        fits.append(replace(form, weights=weights, method=method, scales=(best,)))
    return [replace(one, moments=_moments(one.weights, one.neuron, choices)) for one in fits]


def _notes(before: Fit, after: Fit, error: float, left: float) -> tuple[str, ...]:
    """Return what was given up, why, and how to have it otherwise."""
    lost = f"{100 * error:.2g} % of what its weights do to v would be lost; now {100 * left:.2g} % are"
    found = []
    if after.gains is not None and after.gains != before.gains:
        found.append(f"each channel has a scale of its own; with one for all (--per-population) {lost}")
    count, times = after.clipped(after.scales[0])
    if count and after.scales[0].ratio > before.scales[0].ratio:
        size = f"up to {times:.3g} times as large as what is kept of them"
        why = "" if found else f"; if they were kept (--scale range), {lost}"
        found.append(
            f"{count} weights {size} are clipped{why}" if count > 1 else f"a weight {size[6:]} is clipped{why}"
        )
    return tuple(f"{after.name}: {one}" for one in found)


def _gains(
    population: Population,
    neuron: AffineNeuron,
    synapses: tuple[Synapses, ...],
    formats: dict[str, int],
    choices: Choices,
) -> Floats | None:
    """Return the gains of the plan, of weights' own grids, or those that fill the codes; None for none.

    A neuron whose weights, thresholds, biases and states are all multiplied by one number fires as before.
    """
    if choices.plan.channel_gain is not None:
        return np.asarray(choices.plan.channel_gain, np.float64)
    if any(find_grid(s.folded.entries) for s in synapses):
        return None
    n_channels = population.shape[0] if population.shape else 1
    gains = channel_gains([s.folded for s in synapses], n_channels)
    if gains is None and choices.per_channel and neuron.model.fires:
        gains = filling_gains(neuron, synapses, population.shape, formats, population.name)
    return gains


def _in_volts(
    population: Population,
    neuron: AffineNeuron,
    synapses: tuple[Synapses, ...],
    formats: dict[str, int],
    choices: Choices,
    gains: Floats | None,
) -> Fit:
    """Return the population with each channel in volts of its own, and no scale yet."""
    if gains is not None:
        of_neurons = spread(gains, population.shape)
        synapses = tuple(s.times(of_neurons, population.shape) for s in synapses)
        neuron = neuron.times(of_neurons)
    listed = None if gains is None else tuple(gains.tolist())
    return Fit(population.name, neuron, _ranges(synapses, choices), formats, listed)


def _ranges(synapses: tuple[Synapses, ...], choices: Choices) -> tuple[Weights, ...]:
    plans = choices.projections or tuple(ProjectionPlan() for _ in synapses)
    bits = [plan.bits or choices.bits for plan in plans]
    ranges = [weight_range(s.folded.entries, b, s.projection.name) for s, b in zip(synapses, bits, strict=True)]
    grids = aligned([find_grid(s.folded.entries) for s in synapses], ranges)
    return tuple(
        Weights(s, plan, b, codes, filling_scale(s.folded.entries, codes) if grid is None else grid.filling, grid)
        for s, plan, b, codes, grid in zip(synapses, plans, bits, ranges, grids, strict=True)
    )


def _moments(weights: tuple[Weights, ...], neuron: AffineNeuron, choices: Choices) -> tuple[Floats | None, ...]:
    """Return the second moments of what flows through each projection, where calibration data gives them."""
    if choices.drive is None:
        return (None,) * len(weights)
    wanted = (
        choices.rounding == "learned" or choices.scale == "mse" or any(w.plan.rounding == "learned" for w in weights)
    )
    return tuple(
        second_moments(spikes, w.synapses.folded, neuron)
        if wanted and not w.synapses.folded.is_sparse and w.weight.size <= MAX_LEARNED * len(w.weight)
        else None
        for w, spikes in zip(weights, choices.drive.spikes, strict=True)
    )


def _scaled(form: Fit, choices: Choices) -> Fit:
    """Return a form with the scales to try; more than one only where spike rates decide between them."""
    narrowest = min((w.codes.bits for w in form.weights), default=8)
    method = choices.plan.scale or choices.scale or ("range" if narrowest >= 6 else "mse")
    form = replace(form, method=method, moments=_moments(form.weights, form.neuron, choices))
    if choices.plan.codes_per_volt is not None:
        return replace(form, scales=(Scale(choices.plan.codes_per_volt),))
    if any(w.grid is not None for w in form.weights):
        return replace(form, scales=(form.finest(1.0),))
    if method == "rate" and choices.drive is not None:
        return replace(form, scales=tuple(form.finest(ratio) for ratio in RATIOS[::4]))
    return replace(form, scales=(form.finest(_ratio(form, method)),))


def _ratio(form: Fit, method: str) -> float:
    """Return by how much the scale exceeds the one at which the largest weight fits."""
    base, unclipped = form.base, form.finest(1.0)
    used = [(w, m) for w, m in zip(form.weights, form.moments, strict=True) if np.isfinite(w.filling)]
    if method == "percentile" and used:
        sizes = np.concatenate([np.abs(w.weight).ravel() for w, _ in used])
        return float(sizes.max() / max(np.percentile(sizes, PERCENTILE), sizes.max() / RATIOS[-1]))
    if method in ("mse", "rate") and used:
        down = [2.0 ** w.exponent(unclipped, form.formats) * base / unclipped.weights_per_volt for w, _ in used]
        triples = [(w.weight, w.codes, d) for (w, _), d in zip(used, down, strict=True)]
        return ratio_by_error(triples, base, [m for _, m in used])
    return 1.0
