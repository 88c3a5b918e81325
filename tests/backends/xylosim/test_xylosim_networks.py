"""Networks that we quantise run on the real XyloSim as they do here, and relays wait there too."""

from __future__ import annotations

import pytest

from neurodeploy.backends.xylosim import backend
from neurodeploy.families.xylo import kernel
from neurodeploy.families.xylo.quantise import quantise
from tests.families.xylo.chips import CHIPS
from tests.families.xylo.networks import NETWORKS, data, reference

pytestmark = [pytest.mark.usefixtures("xylosim"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("kind", NETWORKS)
def test_quantised_network_is_met_in_all_registers(kind: str) -> None:
    network = NETWORKS[kind]()
    inputs = data(network)
    layout = quantise(network, CHIPS["xylo-audio3"], reference(network, inputs)).layout
    counts = layout.counts(inputs)
    assert kernel.run(layout.codes, counts).differences(backend.run(layout.codes, counts)) == {}
