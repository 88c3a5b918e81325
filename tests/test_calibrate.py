"""Populations alone, on what the float model's sources sent."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.calibrate import run_reference
from neurodeploy.compiler import compile
from neurodeploy.data import Data
from neurodeploy.network import Network
from tests.passes.test_helpers import deep, skipping, spikes


@pytest.mark.parametrize("network", [deep(), skipping(5)], ids=["deep", "skipping"])
def test_a_population_alone_runs_in_its_own_rows(network: Network) -> None:
    calibration = run_reference(network, Data({"in": spikes(4)}, None, "calibration"))
    program = compile(network, "loihi2")
    for population in network.populations:
        into = tuple(p for p in program.projections if p.target == population.name)
        sent = calibration.drive(population.name, {}).emulate(program.population(population.name), into)
        np.testing.assert_array_equal(sent, calibration.recording.spikes(population.name), err_msg=population.name)
