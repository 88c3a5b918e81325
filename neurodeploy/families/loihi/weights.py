"""Weights as integer codes: sign mode, step, range and rounding of a Loihi synapse.

Source: lava-nc 0.10.0, ``lava/magma/core/process/connection.py`` and ``lava/utils/weightutils.py``: mixed weights lie
    in [-256, 255] and lose their lowest ``8 - bits + 1`` bits, excitatory ones lie in [0, 255] and lose ``8 - bits``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError

FULL_BITS = 8
"""Bits at which an unsigned weight keeps every code up to 255."""


@dataclass(frozen=True, slots=True)
class WeightRange:
    """The codes that synapses of one sign mode and width can hold: ``offset`` plus multiples of ``step``.

    They lie from ``low`` to ``high``. bits: the width that the chip stores them in.
    """

    sign_mode: str
    step: int
    low: int
    high: int
    bits: int
    offset: int = 0


TERNARY = WeightRange("mixed", 128, -128, 128, 2)
BINARY = WeightRange("mixed", 256, -128, 128, 2, offset=128)
"""-1, 0 and 1, and -1 and 1, in the two bits that the chip has for them."""


def weight_range(weight: NDArray[np.float64], bits: int | str, where: str) -> WeightRange:
    """Return the range of codes for weights: their sign mode is ``mixed`` only if both signs occur.

    Args:
        weight: float weights, any shape.
        bits: 1 to 8, with the sign where weights are mixed; or ``ternary`` or ``binary``.
        where: for the message.

    Raises:
        DeployError: one bit cannot hold both signs.
    """
    if isinstance(bits, str):
        return {"ternary": TERNARY, "binary": BINARY}[bits]
    if weight.min(initial=0.0) < 0 < weight.max(initial=0.0):
        if bits < 2:
            raise DeployError(
                "weights of both signs need at least 2 bits",
                where=where,
                fix="Use --weight-bits 2 or more, or binary, which stores -1 and 1 in 2 bits.",
            )
        step = 2 ** (FULL_BITS - bits + 1)
        return WeightRange("mixed", step, -256, 256 - step, bits)
    step = 2 ** (FULL_BITS - bits)
    if weight.min(initial=0.0) < 0:
        return WeightRange("inhibitory", step, -(256 - step), 0, bits)
    return WeightRange("excitatory", step, 0, 256 - step, bits)


def filling_scale(weight: NDArray[np.float64], codes: WeightRange) -> float:
    """Return the largest scale (codes per unit of weight) at which every weight fits; infinite if all are zero."""
    high, low = float(weight.max(initial=0.0)), float(weight.min(initial=0.0))
    scales = ([codes.high / high] if high > 0 else []) + ([codes.low / low] if low < 0 else [])
    return min(scales, default=np.inf)


def quantise_weights(weight: NDArray[np.float64], scale: float, codes: WeightRange) -> NDArray[np.int16]:
    """Return weights as codes: ``weight * scale`` to the nearest multiple of the step, clipped to the range.

    Args:
        weight: of any shape.
        scale: codes per unit of weight.
        codes: the range, its step and its offset.
    """
    steps = weight * scale
    steps -= codes.offset
    steps /= codes.step
    np.rint(steps, out=steps)
    steps *= codes.step
    steps += codes.offset
    quantised: NDArray[np.int16] = np.clip(steps, codes.low, codes.high, out=steps).astype(np.int16)
    return quantised


def dequantise_weights(codes: NDArray[np.int16], scale: float) -> NDArray[np.float64]:
    """Return the float weights that codes stand for."""
    return codes.astype(np.float64) / scale
