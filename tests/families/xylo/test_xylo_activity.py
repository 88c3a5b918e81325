from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.activity import activity
from neurodeploy.families.xylo.synapses import place
from tests.families.xylo.networks import chain


def test_what_arrives_is_what_coded_populations_send() -> None:
    network = chain((2, 3, 2))
    (part,) = place(network).into["layer1"]
    inputs, spikes = {"input": np.zeros((4, 1, 2))}, {"layer0": np.ones((4, 1, 3)), "layer1": np.zeros((4, 1, 2))}
    found = activity(inputs, spikes)
    assert found.arriving((part,), "layer1").tolist() == np.ones((4, 1, 3)).tolist()
    coded = found.with_coded("layer0", np.full((4, 1, 3), 2, np.uint8))
    assert coded.arriving((part,), "layer1").tolist() == np.full((4, 1, 3), 2).tolist()
    assert found.coded == {}


@pytest.mark.parametrize("value", [0.5, -1, 16])
def test_input_that_the_chip_cannot_count_is_refused(value: float) -> None:
    with pytest.raises(DeployError, match="Xylo counts 0 to 15"):
        activity({"x": np.full((1, 1, 1), value)}, {})
