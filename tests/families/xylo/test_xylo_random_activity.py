from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.families.xylo.neuron_form import neuron_form
from neurodeploy.families.xylo.random_activity import random_activity
from neurodeploy.families.xylo.synapses import place
from tests.families.xylo.networks import NETWORKS, reference


@pytest.mark.parametrize("kind", [kind for kind in NETWORKS if kind != "biases"])
def test_random_run_sends_what_the_reference_does(kind: str) -> None:
    """All but a bias of synapses, which acts at once here, as on the chip; sums are of another precision."""
    network = NETWORKS[kind]()
    forms = {p.name: neuron_form(p, np.zeros(p.size)) for p in network.populations}
    found = random_activity(network, place(network), forms)
    wanted = reference(network, {"input": found.sent["input"]}).sent
    assert found.sent.keys() == wanted.keys()
    for name, spikes in found.sent.items():
        assert spikes.any()
        assert (spikes != wanted[name]).mean() < 0.002
