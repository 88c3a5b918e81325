"""Real-valued input as graded spikes: in how many bits, and in which scale, chosen on calibration data.

An input ``x`` is sent as the whole number ``rint(x * scale)``, which multiplies the weights' codes. A larger scale
loses less of ``x``; beyond what threshold and registers leave room for, it would take bits of the weights. Both losses
are measured on what arrives at the neurons, and the least is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.quantise.gains import gains_of_rows
from neurodeploy.families.loihi.quantise.grid import find_grid
from neurodeploy.families.loihi.quantise.learned_rounding import learned_codes
from neurodeploy.families.loihi.quantise.second_moments import second_moments
from neurodeploy.families.loihi.scale import Synapses, most_codes_per_volt
from neurodeploy.families.loihi.weights import dequantise_weights, filling_scale, quantise_weights, weight_range
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.synapses import Shape
from neurodeploy.passes.fold import Folded, applied

Floats = NDArray[np.float64]

WIDTHS = (8, 16, 24)
"""Bits of a graded spike's payload that are tried, narrow ones first. Unverified: that a chip sends whole bytes; a
width between them is taken as the next."""

HEADROOM = 2.0
"""By how much data may exceed calibration data that has no limit of its own; values of images do not."""

OCTAVES = range(-3, 6)
"""Powers of two of the largest scale at which weights keep their bits, by which scales are tried."""

WORTH = 0.8
"""Share of the loss that a wider message, or one that takes bits of the weights, may have at most to be taken."""

MAX_LEARNED = 1024
"""Inputs of a neuron up to which the loss assumes learned rounding."""

MAX_ROWS, MAX_VALUES = 256, 2**16
"""Rows of data, evenly spaced, on which the loss is measured, and values that they may have in all."""

GRIDS = (1, 2, 4, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 512, 1023, 1024, 4095, 4096, 65535)
"""Steps into which sensors, images and fixed-point numbers divide one."""

SAFETY = 1.5
"""By how much a current may exceed the largest on calibration data before it can leave a register."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The form in which an input's values are sent.

    bits: of a payload, with the sign. scale: what a value is multiplied by. payload: the least and the most that is
    expected. full: the largest scale at which weights keep all their bits. is_exact: every value of the data is a whole
    number of steps.
    """

    bits: int
    scale: float
    payload: tuple[float, float]
    full: float = np.inf
    is_exact: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Reached:
    """A population that an input reaches: in the chip's form, the input's synapses, and all that flows in.

    A message is taken to carry the value itself. moments: second moments of what flows in, for learned rounding.
    """

    neuron: AffineNeuron
    synapses: Synapses
    into: tuple[Synapses, ...]
    moments: Floats | None = None

    @classmethod
    def of(
        cls, neuron: AffineNeuron, synapses: Synapses, into: tuple[Synapses, ...], values: Any, learned: bool
    ) -> Reached:
        """Return it with the second moments that learned rounding takes, where that is asked for and quick.

        Args:
            neuron: the population that is reached.
            synapses: the input's synapses into it.
            into: all that flows into it.
            values: calibration data ``[T, B, *shape]`` of the input; read where rounding is learned.
            learned: whether learned rounding is asked for.
        """
        per_row = synapses.folded.entries[0].size if synapses.folded.entries.size else 0
        quick = learned and not synapses.folded.is_sparse and 0 < per_row <= MAX_LEARNED
        return cls(neuron, synapses, into, second_moments(values, synapses.folded, neuron) if quick else None)


def is_graded(values: NDArray[Any]) -> bool:
    """Tell whether an input holds other values than 0 and 1."""
    return not bool(((values == 0) | (values == 1)).all())


def choose_messages(
    values: NDArray[Any],
    reached: list[Reached],
    bits: int | str,
    formats: dict[str, int],
    given: tuple[int, float | None],
) -> Messages:
    """Return the width and scale at which least of what arrives is lost.

    Args:
        values: calibration data ``[T, B, *shape]``.
        reached: each population that the input reaches.
        bits: of the weights.
        formats: the target's number formats.
        given: bits of a message, or 0, and scale, or None, as the user wants them.
    """
    low, high = expected_range(values)
    rows = _rows(values)
    full = min((_most(one, formats) / _filling(one, bits) for one in reached), default=np.inf) * (1 - 1e-9)
    grid = _grid(rows)
    best, least = None, np.inf
    true = [applied(one.synapses.folded, rows, one.synapses.source_shape) for one in reached]
    tried: set[float] = set()
    for width in [given[0]] if given[0] else _widths(formats["message_bits_max"]):
        scales = _scales(full, (2 ** (width - 1) - 1) / max(-low, high, 1e-30), grid)
        for scale in [given[1]] if given[1] else [scale for scale in scales if scale not in tried]:
            tried.add(scale)
            losses = (_loss(rows, one, scale, bits, formats, t) for one, t in zip(reached, true, strict=True))
            loss = max(losses, default=0.0)
            is_exact = grid is not None and (scale / grid).is_integer()
            gains_exactness = best is not None and is_exact and not best.is_exact and scale <= full
            costs = best is not None and (width > best.bits or scale > max(full, best.scale)) and not gains_exactness
            if best is None or loss < least * (WORTH if costs else 1.0):
                payload = (float(np.floor(low * scale)), float(np.ceil(high * scale)))
                best, least = Messages(width, float(scale), payload, full, is_exact), loss
    assert best is not None
    return best


def _widths(most: int) -> tuple[int, ...]:
    """Return the widths of messages that are tried, up to the widest that the target sends."""
    return tuple(width for width in WIDTHS if width <= most) or (most,)


def messages_of_range(
    low: float, high: float, reached: list[Reached], bits: int | str, formats: dict[str, int]
) -> Messages:
    """Return the width and scale for values whose range alone is known.

    Bits are shared out: as many are taken of the values' own as of the weights, if both cannot be kept.

    Args:
        low, high: the least and the largest value.
        reached: each population that the input reaches.
        bits: of the weights, 1 to 8, or ``ternary`` or ``binary``.
        formats: the target's number formats.
    """
    width = _widths(formats["message_bits_max"])[0]
    full = min((_most(one, formats) / _filling(one, bits) for one in reached), default=np.inf) * (1 - 1e-9)
    most = (2 ** (width - 1) - 1) / max(-low, high, 1e-30)
    scale = most if full >= most else float(np.sqrt(full * most))
    return Messages(width, float(scale), (float(np.floor(low * scale)), float(np.ceil(high * scale))), full)


def expected_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the least and the most that data like this is expected to hold.

    Where many samples end at the very same value, that is the end; else there may be more beyond it.
    """
    of_samples = values.reshape(values.shape[0], values.shape[1], -1)
    low, high = float(of_samples.min()), float(of_samples.max())
    lows, highs = of_samples.min(axis=(0, 2)), of_samples.max(axis=(0, 2))
    bounded = [int((ends == end).sum()) > 1 for ends, end in ((lows, low), (highs, high))]
    return min(low * (1.0 if bounded[0] else HEADROOM), 0.0), max(high * (1.0 if bounded[1] else HEADROOM), 0.0)


def measured_swing(values: NDArray[Any], folded: Folded, shape: Shape) -> tuple[Floats, Floats]:
    """Return the most by which one step of data like this lowers and raises each neuron, float64 (n,), V.

    Args:
        values: calibration data ``[T, B, *shape]``.
        folded: the input's synapses, V per unit of the values.
        shape: of the input.
    """
    current = applied(folded, _rows(values), shape)
    return SAFETY * current.min(axis=0, initial=0.0), SAFETY * current.max(axis=0, initial=0.0)


def loss_of_codes(
    values: NDArray[Any],
    scale: float,
    synapses: Synapses,
    coded: CodedProjection,
    unit: float,
    gains: list[float] | None = None,
) -> float:
    """Return what rounding inputs and weights changes in what arrives, by what arrives; both root mean squares.

    Args:
        values: data ``[T, B, *shape]``. scale: of the messages.
        synapses: whose weights stand for one message each. coded: their codes. unit: weight codes per volt, and
        gains: by how much more of a channel.
    """
    folded, rows, shape = synapses.folded, _rows(values) * scale, synapses.source_shape
    rounded = dequantise_weights(coded.weight, unit / 2.0**coded.exponent)
    if gains is not None and folded.is_sparse:
        rounded = rounded / gains_of_rows(gains, folded.weight.shape[0])[folded.weight.indices]
    elif gains is not None:
        rounded = rounded / gains_of_rows(gains, len(rounded)).reshape(-1, *(1,) * (rounded.ndim - 1))
    return _relative(applied(folded.with_stored(rounded), np.rint(rows), shape), applied(folded, rows, shape))


def bits_kept(coded: CodedProjection) -> int:
    """Return how many bits of its width a projection's largest code uses."""
    largest = int(np.abs(coded.weight.astype(np.int64)).max(initial=0))
    lost = max(0, round(8 - float(np.log2(max(largest, 1)))))
    return max(0, coded.weight_bits - lost)


def sentence(name: str, measured: dict[str, Any]) -> str:
    """Return what was chosen for an input and what it costs: the rung ``input`` of the ladder."""
    low, high = measured["expected"]
    text = (
        f"input {name!r} is graded: sent as whole numbers of 1/{measured['scale']:g} in messages of"
        f" {measured['message_bits']} bits (expected {low:g} to {high:g})"
    )
    if measured["is_exact"]:
        text += ", and all calibration data is whole"
    for node, one in measured["populations"].items():
        text += f"; {node}: rounding inputs and weights changes its input by {one['loss']:.2%} (root mean square)"
        if one["bits_kept"] < one["bits"]:
            text += f", weights keep {one['bits_kept']} of {one['bits']} bits"
            if measured["full"] is not None:
                text += f", all of them at --input-scale {measured['full']:.3g}, which loses more"
    return text


def _rows(values: NDArray[Any]) -> Floats:
    """Return some rows of data ``[N, *shape]``, each from another step and sample."""
    flat = values.reshape(-1, *values.shape[2:])
    n_rows = int(np.clip(MAX_VALUES // max(flat[0].size, 1), 12, MAX_ROWS))
    step = max(1, len(flat) // n_rows)
    # A step that shares no factor with the batch visits every sample, also where images stand still.
    while step > 1 and np.gcd(step, values.shape[1]) > 1:
        step -= 1
    return np.asarray(flat[::step][: 2 * n_rows], np.float64)


def _grid(rows: Floats) -> int | None:
    """Return the fewest steps of one such that every value is a whole number of them, or None."""
    for steps in GRIDS:
        scaled = rows * steps
        if np.abs(scaled - np.rint(scaled)).max(initial=0.0) <= 1e-6 * max(steps, 1):
            return steps
    return None


def _scales(full: float, most: float, grid: int | None) -> list[float]:
    """Return the scales to try, up to ``most``: those first at which weights keep their bits."""
    full = full if np.isfinite(full) else most
    found = [full * 2.0**octave for octave in OCTAVES]
    within = [scale for scale in (*([] if grid is None else [float(grid)]), *found, most) if 0 < scale <= most]
    return sorted(within, key=lambda scale: (scale > full, scale))


def _most(one: Reached, formats: dict[str, int]) -> float:
    return most_codes_per_volt(one.neuron, one.into, formats, one.synapses.projection.target)


def _filling(one: Reached, bits: int | str) -> float:
    """Return the codes per volt at which the largest weight just fits, or a grid does, as if it were of one message."""
    stored = one.synapses.folded.entries
    codes = weight_range(stored, bits, one.synapses.projection.name)
    if (grid := find_grid(stored)) is not None and (fitting := grid.fitting(codes)) is not None:
        return fitting.filling
    filling = filling_scale(stored, codes)
    return filling if np.isfinite(filling) else 1e-30


def _loss(rows: Floats, one: Reached, scale: float, bits: int | str, formats: dict[str, int], true: Floats) -> float:
    """Return what rounding inputs and weights would change in what arrives, as :func:`loss_of_codes` has it."""
    folded, shape = one.synapses.folded, one.synapses.source_shape
    codes = weight_range(folded.entries, bits, one.synapses.projection.name)
    per_volt = min(_most(one, formats) / scale, _filling(one, bits))
    if one.moments is None:
        coded = quantise_weights(folded.entries, per_volt, codes)
    else:
        coded = learned_codes(folded.entries, per_volt, codes, one.moments)
    sent = applied(folded.with_stored(dequantise_weights(coded, per_volt)), np.rint(rows * scale) / scale, shape)
    return _relative(sent, true)


def _relative(changed: Floats, true: Floats) -> float:
    return float(np.sqrt(((changed - true) ** 2).mean() / max((true**2).mean(), 1e-30)))
