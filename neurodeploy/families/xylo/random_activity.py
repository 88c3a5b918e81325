"""Let a float network in the chip's form run on random spikes, for thresholds to be fitted to where there is no data.

Rates differ between samples, from hardly any spikes to many, so that neurons are driven weakly and strongly.
"""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.activity import Activity
from neurodeploy.families.xylo.codes import HIDDEN_MAX
from neurodeploy.families.xylo.neuron_form import NeuronForm
from neurodeploy.families.xylo.synapses import Placed
from neurodeploy.ir.network import Network
from neurodeploy.ir.rule import NeuronRule

RATES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6)
STEPS, SAMPLES, SEED = 60, 96, 0

Floats = NDArray[np.float64]


def random_activity(network: Network, placed: Placed, forms: dict[str, NeuronForm]) -> Activity:
    """Return what a network receives and sends on random spikes; always the same.

    Args:
        network: float neurons that Xylo has.
        placed: their synapses.
        forms: the populations in the chip's form, by name.
    """
    rng, extent = np.random.default_rng(SEED), (STEPS, SAMPLES)
    rates = np.resize(RATES, SAMPLES)[:, np.newaxis]
    sent = {name: (rng.random((*extent, prod(s))) < rates).astype(np.uint8) for name, s in network.inputs.items()}
    sent |= {p.name: np.zeros((*extent, p.size), np.uint8) for p in network.populations}
    states = {p.name: (np.zeros((SAMPLES, p.size)), np.zeros((SAMPLES, p.size))) for p in network.populations}
    for t in range(STEPS):
        for population in network.populations:
            form, (i, v) = forms[population.name], states[population.name]
            x = np.zeros_like(v)
            for part in placed.into[population.name]:
                if t >= part.after:
                    x += sent[part.source][t - part.after] @ part.weight.T
            i = form.keep_syn * (i + form.gain * x)
            v = form.keep_mem * v + i + form.bias
            spikes = _spikes(v, form, population.rule)
            sent[population.name][t] = spikes
            states[population.name] = i, v - spikes * np.where(np.isfinite(form.threshold), form.threshold, 0.0)
    return Activity({p: values for p, values in sent.items() if p in network.inputs or network.fires(p)}, {})


def _spikes(v: Floats, form: NeuronForm, rule: NeuronRule) -> Floats:
    """Return the counts of a step, float64 (B, n)."""
    held = v / form.threshold
    counts = np.floor(held) if rule.spike == ">=" else np.ceil(held) - 1
    found: Floats = np.clip(counts, 0, rule.max_spikes or HIDDEN_MAX)
    return found
