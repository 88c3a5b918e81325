"""The scale of a population: the weight codes that stand for one volt, chosen from weights and rules alone.

K is the largest at which weights fill their codes and, as a power of two above that, nothing can leave its register.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT
from neurodeploy.ir.network import Projection
from neurodeploy.ir.synapses import Shape
from neurodeploy.passes.fold import Folded

Floats = NDArray[np.float64]

FINE_THRESHOLD = 1024
"""Threshold code above which rounding it, and the half unit that truncation drains a step, no longer matter (0.1 %)."""

ASSUMED_MAX_SPIKES = 8
"""Spikes in one step that scales and warnings assume where a neuron can send any number."""


@dataclass(frozen=True, eq=False, slots=True)
class Synapses:
    """A projection ready to be quantised.

    folded: its float weights, times the population's gain. delay: hardware steps. source_shape: of what sends.
    payload: the least and the most that one spike of the source can carry. message_bits: 0 where it carries nothing.
    measured: the most that one step's input lowers and raises each neuron on data, float64 (n,), V, with room; None
        without data.
    """

    projection: Projection
    folded: Folded
    delay: int
    source_shape: Shape
    payload: tuple[float, float] = (0, 1)
    message_bits: int = 0
    measured: tuple[Floats, Floats] | None = None

    def swing(self) -> tuple[float, float]:
        """Return the most that one step's input can lower and raise any neuron, V; no more than it does on data."""
        low, high = self.folded.row_sums()
        least, most = self.payload
        down = float((most * low + least * high).min(initial=0.0))
        up = float((most * high + least * low).max(initial=0.0))
        if self.measured is None:
            return down, up
        low, high = self.measured
        return max(down, float(low.min(initial=0.0))), min(up, float(high.max(initial=0.0)))

    def swings(self, n: int) -> tuple[Floats, Floats]:
        """Return the most that one step's input lowers and raises each of ``n`` neurons, float64 (n,), V."""
        low, high = (np.repeat(side, n // len(side)) for side in self.folded.row_sums())
        least, most = self.payload
        down, up = np.minimum(most * low + least * high, 0.0), np.maximum(most * high + least * low, 0.0)
        if self.measured is None:
            return down, up
        return np.maximum(down, self.measured[0]), np.minimum(up, self.measured[1])

    def times(self, gain: Floats, shape: Shape) -> Synapses:
        """Return the same synapses with each target neuron in other volts, ``gain`` (n,) of which are one of these."""
        folded = self.folded.scaled(gain.reshape(shape), self.source_shape)
        measured = None if self.measured is None else (self.measured[0] * gain, self.measured[1] * gain)
        return replace(self, folded=folded, measured=measured)


def rising_of_neurons(neuron: AffineNeuron, synapses: tuple[Synapses, ...]) -> Floats | None:
    """Return how far u or v of each neuron gets in a step from the threshold, V; None where data does not say."""
    reach = np.zeros_like(neuron.threshold)
    for s in synapses:
        if s.measured is None:
            return None
        reach = reach + np.maximum(-s.measured[0], s.measured[1])
    lost = np.maximum(1.0 - neuron.keep_syn, 2.0**-DECAY_BITS)
    found: Floats = reach / lost + np.abs(neuron.bias) + neuron.threshold + neuron.adapt_most
    return found


def most_codes_per_volt(
    neuron: AffineNeuron, synapses: tuple[Synapses, ...], formats: dict[str, int], name: str
) -> float:
    """Return the most codes per volt at which threshold and bias are held and neither u nor a rising v overflows.

    Args:
        neuron: the population in the chip's form.
        synapses: all that flows into it, in float.
        formats: the target's number formats.
        name: of the population, for the message.

    Raises:
        DeployError: threshold or bias are so large that their codes leave nothing for the weights.
    """
    rising, _ = _farthest(neuron, synapses)
    _check_held(1.0, neuron, formats, name)
    held = 2.0 ** held_exponent(1.0, neuron, formats)
    return float(min(held, (STATE_LIMIT - 2**ALIGN_BITS) / (max(rising, 1e-300) * 2**ALIGN_BITS)))


def highest_potential(neuron: AffineNeuron, synapses: tuple[Synapses, ...], least_leak: float = 0.0) -> Floats:
    """Return what v of each neuron stays below in the model, whatever the input, before it fires; float64 (n,), V.

    Args:
        neuron: the population in the chip's form.
        synapses: all that flows into it.
        least_leak: part of a state that is lost in a step at least.
    """
    low, high = (sum(sides) for sides in zip(*(s.swings(len(neuron.threshold)) for s in synapses), strict=True))
    high = high - low * (neuron.keep_second is not None)
    lost_syn = np.maximum(1.0 - neuron.keep_syn, least_leak)
    if neuron.keep_second is not None:
        lost_syn = np.minimum(lost_syn, np.maximum(1.0 - neuron.keep_second, least_leak))
    lost_mem = np.maximum(1.0 - neuron.keep_mem, least_leak)
    with np.errstate(divide="ignore", invalid="ignore"):
        drive = high / lost_syn + np.maximum(neuron.bias, 0.0)
        settled = np.where(drive > 0, drive / lost_mem, 0.0)
        start = np.where(neuron.u_init > 0, neuron.u_init / lost_syn, 0.0)
    found: Floats = np.nan_to_num(settled, nan=0.0, posinf=np.inf) + np.maximum(neuron.v_init, 0.0) + start
    return found


def is_out_of_reach(neuron: AffineNeuron, synapses: tuple[Synapses, ...]) -> bool:
    """Tell whether no input can bring any v to its threshold, however long it lasts.

    Where nothing leaks, that is what 4096 steps of the most input cannot do: the chip counts no smaller leak.
    """
    if not neuron.model.fires or not neuron.threshold.size:
        return False
    return bool((neuron.threshold > highest_potential(neuron, synapses, 2.0**-DECAY_BITS)).all())


def base_scale(neuron: AffineNeuron, filling: list[float]) -> float:
    """Return the codes per volt at which the largest weights just fill their codes.

    Args:
        neuron: the population in the chip's form.
        filling: for each projection the largest scale at which its weights fit; infinite without weights.
    """
    base = min(filling, default=np.inf)
    if np.isfinite(base):
        return base
    extents = (neuron.threshold,) if neuron.model.fires else (np.abs(neuron.v_init), np.abs(neuron.bias))
    return FINE_THRESHOLD / (max(float(extent.max(initial=0.0)) for extent in extents) or 1.0)


@dataclass(frozen=True, slots=True)
class ExponentLimits:
    """The largest exponent of a population's unit under each limit; a limit that does not apply is infinite.

    threshold: the largest threshold fits its code.
    bias: the largest bias fits its code.
    one_step: u, and v in a step from the threshold, stay within their registers.
    lasting: v does, however long inputs drive it.
    weights: the chip has no larger one.
    fine: the smallest one, not the largest, at which the rounding of the threshold, or of the weights of graded spikes,
        no longer matters.
    """

    threshold: float
    bias: float
    one_step: float
    lasting: float
    weights: int
    fine: float

    def chosen(self) -> int:
        """Return the largest exponent, so that precision is used, at which nothing overflows that matters.

        1. Where lasting inputs allow an exponent that is fine, it is taken: nothing is given up.
        2. Else v may saturate under them, and the exponent is just fine, or what one step allows where that is less.
        3. It is at least 0, the weights' own unit, whatever overflows then.
        4. It is never more than the codes of thresholds and biases, and the chip, can hold.
        """
        wished = self.lasting if self.lasting >= self.fine else min(self.fine, self.one_step)
        return int(min(max(wished, 0), np.floor(self.threshold), np.floor(self.bias), self.weights))


def unit_exponent(
    base: float, neuron: AffineNeuron, synapses: tuple[Synapses, ...], finest: float, formats: dict[str, int], name: str
) -> int:
    """Return the power of two by which the unit exceeds the weights' own; see :class:`ExponentLimits`.

    Args:
        base: of :func:`base_scale`.
        neuron: the population in the chip's form.
        synapses: all that flows into it.
        finest: codes per volt at which the weights of graded spikes fill their codes, or 0.
        formats: the target's number formats.
        name: for the message.

    Raises:
        DeployError: a threshold or bias cannot be held at any scale.
    """
    _check_held(base, neuron, formats, name)
    # The last threshold code lies below the register's end; a v that is read must not fire there.
    room = STATE_LIMIT if neuron.model.fires else (2 ** formats["threshold_bits"] - 1) << ALIGN_BITS
    one_step, lasting = (
        np.floor(np.log2(room / (max(volts, 1e-300) * base * 2**ALIGN_BITS))) for volts in _farthest(neuron, synapses)
    )
    return ExponentLimits(
        threshold=_threshold_exponent(base, neuron, formats),
        bias=_bias_exponent(base, neuron, formats),
        one_step=one_step,
        lasting=lasting,
        weights=formats["weight_exponent_max"],
        fine=_fine_exponent(base, neuron, finest),
    ).chosen()


def held_exponent(base: float, neuron: AffineNeuron, formats: dict[str, int]) -> float:
    """Return the exponent, of any sign, up to which threshold and bias fit their codes.

    Args:
        base: codes per volt, which a power of two multiplies.
        neuron: the population in the chip's form.
        formats: the target's number formats.
    """
    return min(_threshold_exponent(base, neuron, formats), _bias_exponent(base, neuron, formats))


def _threshold_exponent(base: float, neuron: AffineNeuron, formats: dict[str, int]) -> float:
    threshold = float(neuron.threshold.max())
    return float(np.log2((2 ** formats["threshold_bits"] - 1) / (threshold * base))) if threshold > 0 else np.inf


def _bias_exponent(base: float, neuron: AffineNeuron, formats: dict[str, int]) -> float:
    bias = float(np.abs(neuron.bias).max(initial=0.0))
    most = formats["bias_mantissa_max"] << formats["bias_exponent_max"]
    return float(np.log2(most / (bias * base * 2**ALIGN_BITS))) if bias > 0 else np.inf


def _fine_exponent(base: float, neuron: AffineNeuron, finest: float) -> float:
    """Return the smallest exponent at which the largest threshold, and the weights of graded spikes, are fine."""
    highest = float(neuron.threshold.max()) if neuron.model.fires else 0.0
    fine = np.ceil(np.log2(FINE_THRESHOLD / (highest * base))) if highest > 0 else 0.0
    return float(max(fine, np.ceil(np.log2(finest / base))) if finest > 0 else fine)


def _check_held(base: float, neuron: AffineNeuron, formats: dict[str, int], name: str) -> None:
    """Refuse a threshold or bias so large that its code leaves nothing for the weights."""
    if np.floor(held_exponent(base, neuron, formats)) < -10:
        threshold, bias = float(neuron.threshold.max()), float(np.abs(neuron.bias).max(initial=0.0))
        raise DeployError(
            f"{name!r} has a threshold of {threshold:.4g} V or a bias of {bias:.4g} V that is far too large for its"
            " weights",
            where=f"node {name!r}",
            fix="Rescale the layer, or train it with larger weights.",
        )


def _farthest(neuron: AffineNeuron, synapses: tuple[Synapses, ...]) -> tuple[float, float]:
    """Return how far from 0 v or u can get, V: in a step from the threshold, and if inputs drive v for long."""
    swings = [s.swing() for s in synapses]
    low, high = sum(swing[0] for swing in swings), sum(swing[1] for swing in swings)
    if neuron.bias_syn is not None and neuron.takes_bias_as_spikes:
        low, high = low + float(neuron.bias_syn.min(initial=0.0)), high + float(neuron.bias_syn.max(initial=0.0))
    bias = float(np.abs(neuron.bias).max(initial=0.0))
    lost_syn, lost_mem = _lost(neuron.keep_syn), _lost(neuron.keep_mem)
    start = float(np.abs(neuron.v_init).max(initial=0.0)) if not neuron.model.fires else 0.0
    threshold = max(float(neuron.threshold.max()) + neuron.adapt_most, start)
    # A second current takes the input with the other sign.
    lost_second = np.inf if neuron.keep_second is None else _lost(neuron.keep_second)
    up, down = (of_u / lost_syn + of_other / lost_second + bias for of_u, of_other in ((high, -low), (-low, high)))
    rising = max(up, down) + threshold
    falling = down / lost_mem
    if neuron.v_min is not None:
        falling = min(falling, down + float(np.abs(neuron.v_min).max()))
    climbs = not neuron.model.fires or neuron.model.reset == "none"
    climbs = climbs or (neuron.model.reset != "zero" and neuron.model.max_spikes is not None)
    climbing = up / lost_mem if climbs else 0.0
    return rising, max(rising, falling, climbing)


def _lost(keep: Floats) -> float:
    """Return the smallest part of a state that is lost in a step, at least one unit of the decay code."""
    return max(1.0 - float(keep.max(initial=0.0)), 2.0**-DECAY_BITS)
