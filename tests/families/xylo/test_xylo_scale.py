from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.families.xylo.codes import STATE_MAX
from neurodeploy.families.xylo.limits import SHIFT_MAX
from neurodeploy.families.xylo.neuron_form import NeuronForm
from neurodeploy.families.xylo.scale import Demand, choose_shifts, demand
from neurodeploy.families.xylo.synapses import place
from tests.families.xylo.networks import chain, data, reference


def asked(room: float, **largest: float) -> Demand:
    sizes = {matrix.rstrip("_"): np.array([size]) for matrix, size in largest.items()}
    return Demand(np.array([room]), np.ones(1), sizes, dict.fromkeys(sizes, 1.0))


def test_largest_weight_fills_its_codes_where_registers_leave_room() -> None:
    assert asked(1e6, in_=0.5).units({"in": 3}).tolist() == [127 * 8 / 0.5]
    assert asked(100.0, in_=0.5).units({"in": 3}).tolist() == [100.0]


def test_shifts_are_as_large_as_registers_leave_room_for() -> None:
    """With room for 1000 units a V, a weight of 1 V fills 127 << 3 = 1016; a shift more would only make it coarse."""
    assert choose_shifts([asked(1000.0, in_=1.0)], {})["in"] == 3
    assert choose_shifts([asked(1e9, in_=1.0)], {})["in"] == SHIFT_MAX
    assert choose_shifts([asked(50.0, in_=1.0)], {})["in"] == 0


def test_matrices_into_one_neuron_are_chosen_together() -> None:
    """Recurrent weights are 8 times as large: three shifts more bring both to full codes in one unit."""
    found = choose_shifts([asked(2032.0, in_=1.0, rec=8.0), asked(1e4, out=1.0)], {})
    assert (found["in"], found["rec"]) == (4, 7)
    assert found["out"] == 6


def test_shifts_that_are_given_stay() -> None:
    assert choose_shifts([asked(1000.0, in_=1.0)], {"in": 5})["in"] == 5


@pytest.mark.parametrize("filled", [0.9, 0.45])
def test_registers_hold_what_is_seen(filled: float) -> None:
    network = chain((6, 12, 4), keep_syn=0.9, keep_mem=0.95)
    spikes = reference(network, data(network))
    n = 12
    form = NeuronForm(*(np.full(n, value) for value in (0.9, 0.95, 1.0, 1.0, 0.0, 0.0)))
    parts = place(network).into["layer0"]
    found = demand(form, parts, spikes, "layer0", filled)
    drive = spikes.sent["input"].astype(float)
    i, largest = np.zeros((drive.shape[1], n)), np.zeros(n)
    for row in drive:
        i = i + row @ parts[0].weight.T
        largest, i = np.maximum(largest, np.abs(i).max(axis=0)), 0.9 * i
    assert (found.room * largest <= filled * STATE_MAX).all()
    assert (found.room * 1.0 <= filled * STATE_MAX).all()
