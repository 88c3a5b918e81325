"""The two integer arithmetics of a Loihi neuron core, defined once.

All registers count in their own least significant bit. A weight of 1 moves the current ``u`` by ``2**ALIGN_BITS``,
a threshold code of 1 stands at ``v == 2**ALIGN_BITS``. The step of one neuron, in order::

    a  = sum of weights of the spikes that arrive           (Synapses)
    u' = wrap(decay(u, du + 1) + (a << ALIGN_BITS))
    v' = clip(decay(v, dv) + u' + bias)
    s  = v' > threshold << ALIGN_BITS
    v' = 0 where s
    decay(x, d) = sign(x) * ((abs(x) * (4096 - d)) >> DECAY_BITS)     truncation towards zero

Source: lava-nc 0.10.0, ``lava.proc.lif.models.PyLifModelBitAcc`` and ``lava.proc.dense.models.PyDenseModelBitAcc``;
    the decay, the strict threshold and the hard reset agree with the Loihi 2 trace that the NIR paper published
    (Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DECAY_BITS = 12
"""Decays are fractions of ``2**DECAY_BITS``."""

ALIGN_BITS = 6
"""Weights and thresholds are shifted left by this much before they meet the state."""

STATE_BITS = 24
"""Width of u and v, with the sign."""

STATE_LIMIT = 2 ** (STATE_BITS - 1)
"""u wraps into (-STATE_LIMIT, STATE_LIMIT]; v is clipped to +-(STATE_LIMIT - 1)."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The choices of a core's arithmetic in which Intel's simulator and the chip differ.

    name: how programs and command lines call it.
    wraps_once: u is brought back by one turn of ``2**24`` only (Lava), else by as many as it takes (the chip).
    shifts_sum: a negative weight exponent shifts the summed input (Lava), else each weight before the sum (the chip).
    """

    name: str
    wraps_once: bool
    shifts_sum: bool


LAVA = Arithmetic("lava", wraps_once=True, shifts_sum=True)
LOIHI = Arithmetic("loihi", wraps_once=False, shifts_sum=False)
ARITHMETICS = {arithmetic.name: arithmetic for arithmetic in (LAVA, LOIHI)}


def find_arithmetic(name: str, where: str = "--arithmetic") -> Arithmetic:
    """Return the arithmetic called ``name``.

    Raises:
        DeployError: there is none of that name.
    """
    # Here, so that Lava's worker, which has no package, can load this file.
    from neurodeploy.errors import DeployError, known

    if name not in ARITHMETICS:
        raise DeployError(f"no arithmetic is called {name!r}", where=where, fix=f"Choose one of {known(ARITHMETICS)}.")
    return ARITHMETICS[name]


def decay(state: NDArray[np.int64], code: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what a register keeps in a step, truncated towards zero.

    ``sign(state) * ((abs(state) * (4096 - code)) >> 12)``
    """
    kept: NDArray[np.int64] = np.sign(state) * ((np.abs(state) * (2**DECAY_BITS - code)) >> DECAY_BITS)
    return kept
