"""A source that is always on: it lets a deep layer's bias act from the layer's own row 0 on."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from neurodeploy.families.loihi.arithmetic import DECAY_BITS
from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.synapses import Shape

BIAS_SOURCE = "bias source"

ALWAYS_ON = "is always on: lets bias act from a layer's own row 0 on"


def source_of_bias(program: LoihiProgram) -> str | None:
    """Return the name of the population whose spikes are biases, or None if there is none."""
    return next((p.name for p in program.populations if p.helps == ALWAYS_ON), None)


def bias_source(name: str) -> LoihiPopulation:
    """Return one neuron that fires in every step from the first."""
    return without_memory(name, (1,), 0, ALWAYS_ON, bias=1)


def without_memory(
    name: str, shape: Shape, latency: int, helps: str, bias: int = 0, threshold: int = 0, model: Any = None
) -> LoihiPopulation:
    """Return neurons that keep nothing from step to step.

    Args:
        name, shape, latency, helps: of the population.
        bias, threshold: codes of every neuron.
        model: None for the plain one.
    """
    n, last = prod(shape), 2**DECAY_BITS - 1
    keys = {"du": last, "dv": last, "threshold_code": threshold, "bias_mantissa": bias, "u_init": 0, "v_init": 0}
    codes: dict[str, Any] = {key: np.full(n, value) for key, value in keys.items()}
    return LoihiPopulation(
        name, shape, bias_exponent=0, latency=latency, unit=1.0, model=model or NeuronModel(), helps=helps, **codes
    )
