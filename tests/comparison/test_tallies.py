"""Sums over blocks of samples: what recordings share, what they count, and where they part first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.comparison.tallies import Agreements, Events, both
from neurodeploy.comparison.verdict import _overflows
from neurodeploy.ir.recording import Recording


def raster(n_samples: int, *places: tuple[int, int, int]) -> np.ndarray:
    """Return 4 steps of 2 neurons that fire at ``(t, sample, neuron)``."""
    found = np.zeros((4, n_samples, 2), np.uint8)
    for place in places:
        found[place] = 1
    return found


def recorded(a: np.ndarray, b: np.ndarray, **options: Any) -> Recording:
    return Recording({"a": {"spikes": a}, "b": {"spikes": b}}, **{"meta": {}, **options})


def test_the_first_difference_of_all_blocks_is_the_earliest_row_then_the_first_node() -> None:
    same = raster(3, (0, 0, 0))
    found = Agreements(("a", "b"))
    blocks = [
        (recorded(same, same), recorded(same, raster(3, (0, 0, 0), (2, 1, 1)))),  # b in row 2
        (recorded(same, same), recorded(raster(3, (0, 0, 0), (2, 2, 0)), same)),  # a in row 2: comes before
        (recorded(same, same), recorded(raster(3, (0, 0, 0), (3, 0, 0)), same)),
        (recorded(same, same), recorded(raster(3, (0, 0, 0), (2, 0, 0)), same)),  # as early, and later found
    ]
    for i, (reference, chip) in enumerate(blocks):
        found.add({"reference": reference, "emulator": chip}, 3 * i)
    result = found.result()
    first = result["first_difference"]["reference-emulator"]
    assert (first["node"], first["t"], first["sample"], first["unit"]) == ("a", 2, 5, [0])
    assert result["agreement_with"] == "reference"
    assert result["agreement"] == {"emulator": {"a": pytest.approx(4 / 7), "b": pytest.approx(4 / 5)}}


def test_a_backend_with_fewer_samples_is_held_against_the_same_ones_of_the_others() -> None:
    whole, few = raster(3, (0, 0, 0), (1, 2, 1)), raster(1, (0, 0, 0))
    none = raster(0)
    found = Agreements(("a", "b"))
    found.add({"emulator": recorded(whole, whole), "lava": recorded(few, few), "late": recorded(none, none)}, 0)
    result = found.result()
    assert result["agreement_with"] == "emulator"
    assert result["agreement"] == {"lava": {"a": 1.0, "b": 1.0}}
    assert result["first_difference"] == {"emulator-lava": None}


def test_values_are_held_against_those_of_the_base_in_volts() -> None:
    volts = np.arange(8.0).reshape(4, 1, 2)
    units = {"units": {"li": {"unit": "V", "scale": 4}, "n": {"unit": "V", "scale": 4}}}
    nodes = {"li": {"value": volts}, "n": {"spikes": raster(1), "v": volts}}
    codes = {"li": {"value": (4 * volts).astype(np.int32) + 2}, "n": {"spikes": raster(1), "v": volts.astype(np.int32)}}
    found = Agreements(("li", "n"), read=("n",))
    found.add({"emulator": Recording(codes, units), "reference": Recording(nodes, {})}, 0)
    values = found.result()["values"]["emulator"]
    assert set(values) == {"li", "n.v"}
    assert values["li"]["unit"] == "V"
    assert values["li"]["mean_absolute_error"] == pytest.approx(0.5)
    assert values["n.v"]["mean_absolute_error"] == pytest.approx(0.75 * volts.mean())
    assert found.result()["agreement"] == {"emulator": {"n": 1.0}}


def test_events_are_counted_over_blocks_and_given_for_one_sample() -> None:
    meta = {"counter_nodes": ["a", "b"]}
    counters = {"u_wraps": np.array([[[0, 2]], [[0, 1]]]), "synops": np.array([[[4, 6]], [[2, 0]]])}
    a, b = raster(1, (0, 0, 0)), raster(1, (0, 0, 0), (1, 0, 1))
    found = Events(("a", "b"))
    for _ in range(2):
        block = {"reference": recorded(b, b), "emulator": recorded(a, b, meta=meta, counters=counters)}
        found.add(block, {"in": np.array([0, 3, 1])})
    assert found.sent == {"in": 4.0}
    assert found.spikes == {"reference": {"a": 4, "b": 4}, "emulator": {"a": 2, "b": 4}}
    assert found.samples == {"reference": 2, "emulator": 2}
    assert found.fires == {"a", "b"}
    assert found.overflows == {"emulator": {"u_wraps": {"a": 0, "b": 6}}}
    assert _overflows(found) == ["u left its register and wrapped on emulator: b 6 times in 2 samples"]
    result = found.result()
    assert result["unit"] == "events per sample"
    assert result["spikes"] == {"reference": {"a": 2, "b": 2}, "emulator": {"a": 1, "b": 2}}
    assert result["emulator"] == {"u_wraps": {"a": 0, "b": 3}, "synops": {"a": 6, "b": 6}}


def test_nodes_are_shared_where_both_have_an_observable_in_one_shape() -> None:
    one, other = recorded(raster(1), raster(1)), Recording({"a": {"spikes": raster(1)}, "c": {"v": raster(1)}}, {})
    assert both(one, other, ("c", "b", "a"), "spikes") == ("a",)
    assert both(one, other, ("a", "c"), "v") == ()
    assert both(one, recorded(raster(2), raster(2)), ("a",), "spikes") == ()
