"""Neurons and synapses of few numbers, so that what follows from them can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.families.loihi.scale import Synapses
from neurodeploy.ir.network import Projection
from neurodeploy.ir.synapses import Linear
from neurodeploy.passes.fold import Folded, fold

FORMATS = {
    "threshold_bits": 17, "bias_mantissa_max": 4095, "bias_exponent_max": 7, "weight_exponent_max": 20,
    "decay_bits": 12,
}  # fmt: skip


def neuron(n: int = 1, model: NeuronModel | None = None, **values: Any) -> AffineNeuron:
    """Return ``n`` neurons without memory and with a threshold of 1 V, but for what is given."""
    zero, one = np.zeros(n), np.ones(n)
    plain = AffineNeuron(zero, zero, one, one, zero, zero, zero, model or NeuronModel())
    return replace(plain, **{key: np.broadcast_to(np.float64(value), n) for key, value in values.items()})


def folded(weight: Any) -> Folded:
    """Return dense synapses without biases."""
    matrix = np.asarray(weight, np.float64)
    return fold(Projection("in", "n", (Linear(matrix),)), (matrix.shape[1],))


def synapses(weight: Any, **options: Any) -> Synapses:
    """Return dense synapses from an input, ready to be quantised."""
    matrix = np.asarray(weight, np.float64)
    return Synapses(Projection("in", "n", (Linear(matrix),)), folded(matrix), 1, (matrix.shape[1],), **options)
