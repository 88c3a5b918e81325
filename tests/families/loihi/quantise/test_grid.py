"""Weights that were trained quantised keep their grid: the owner's whole numbers are the codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.coding.data_file import load_data
from neurodeploy.compiler import compile, compile_with_plan
from neurodeploy.families.loihi.quantise.grid import find_grid
from neurodeploy.families.loihi.weights import weight_range
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.synapses import Conv2d, Linear
from tests.conftest import SHARED
from tests.families.loihi.test_exactness import ZERO, random_input

CASE = SHARED / "cases" / "chip" / "qat-grid"


def whole(low: int, high: int, shape: tuple[int, ...], seed: int = 3) -> np.ndarray:
    found = np.random.default_rng(seed).integers(low, high + 1, shape)
    found.flat[:2] = low, high
    return found


def one_layer(*ops: Any, shape: tuple[int, ...] = (12,), inputs: tuple[int, ...] = (8,)) -> Network:
    population = Population("a", shape, ZERO, np.float32(0.9375), np.float32(1.0))
    projections = tuple(Projection("in", "a", (op,)) for op in ops)
    return Network({"in": inputs}, (population,), projections, ("a",), 1e-3, "snntorch")


@pytest.mark.parametrize(
    ("low", "high", "step", "title"),
    [
        (-1, 1, 0.31, "ternary grid of 0.31"),
        (-7, 7, 1 / 16, "4-bit grid of 1/16"),
        (-8, 7, 1 / 16, "4-bit grid of 1/16"),
        (-5, 5, 0.0123, "4-bit grid of 0.0123"),
        (-127, 127, 1 / 128, "8-bit grid of 1/128"),
        (0, 255, 1 / 64, "8-bit grid of 1/64"),
        (0, 3, 0.1, "2-bit grid of 1/10"),
    ],
)
def test_codes_are_the_owners_whole_numbers(low: int, high: int, step: float, title: str) -> None:
    numbers = whole(low, high, (12, 8))
    program = compile(one_layer(Linear((numbers * step).astype(np.float32))), "loihi2")
    codes = program.projections[0].weight.astype(np.int64)
    factor = codes.max() // high
    np.testing.assert_array_equal(codes, numbers * factor)
    assert program.provenance["weight_grids"] == {"in -> a": title}


def test_a_binary_grid_has_no_zero() -> None:
    numbers = np.where(whole(0, 1, (12, 8)) == 0, -1, 1)
    for bits in (8, 2, "binary"):
        program = compile(one_layer(Linear((numbers * 0.07).astype(np.float32))), "loihi2", weight_bits=bits)
        codes = program.projections[0].weight.astype(np.int64)
        np.testing.assert_array_equal(codes, numbers * codes.max())
        assert program.provenance["weight_grids"] == {"in -> a": "binary grid of 0.07"}


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_step_for_each_output_channel_is_kept(calibrated: bool) -> None:
    numbers = whole(-7, 7, (4, 2, 3, 3))
    steps = np.array([0.1, 0.033, 0.25, 0.0071]).reshape(4, 1, 1, 1)
    network = one_layer(Conv2d((numbers * steps).astype(np.float32), padding=(1, 1)), shape=(4, 5, 5), inputs=(2, 5, 5))
    x = (np.random.default_rng(1).random((10, 4, 2, 5, 5)) < 0.3).astype(np.uint8)
    options: dict[str, Any] = {}
    if calibrated:
        options = {"calibrate": Data({"in": x}, None, ""), "rounding": "learned", "scale": "mse", "per_channel": True}
    compiled = compile_with_plan(network, "loihi2", **options)
    codes = compiled.program.projections[0].weight.astype(np.int64)
    np.testing.assert_array_equal(codes, numbers * (codes.max() // 7))
    again = compile(network, "loihi2", plan=compiled.plan)
    np.testing.assert_array_equal(again.projections[0].weight, codes)


def test_two_grids_into_one_population_share_a_unit() -> None:
    first, second = whole(-5, 5, (12, 8)), whole(-7, 6, (12, 8), 4)
    network = one_layer(Linear((first * 0.1).astype(np.float32)), Linear((second * 0.15).astype(np.float32)))
    program = compile(network, "loihi2")
    unit = program.population("a").unit / 64
    for p, numbers, step in zip(program.projections, (first, second), (0.1, 0.15), strict=True):
        codes = p.weight.astype(np.int64) << p.exponent
        np.testing.assert_allclose(codes / unit, numbers * step, rtol=1e-5, atol=1e-7)
    assert len(program.provenance["weight_grids"]) == 2


def test_fewer_bits_than_the_grid_has_are_said() -> None:
    network = one_layer(Linear((whole(-100, 100, (12, 8)) / 128).astype(np.float32)))
    program = compile(network, "loihi2", weight_bits=4)
    assert "weight_grids" not in program.provenance
    assert any("8-bit grid of 1/128, which 4 bits at this scale do not keep" in text for text in program.warnings)


def test_real_weights_lie_on_no_grid() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (30, 40)).astype(np.float32).astype(np.float64)
    assert find_grid(weight) is None
    assert find_grid(np.zeros((3, 4))) is None


@pytest.mark.parametrize("top", [7, 5])
def test_a_kept_grid_gives_the_models_spikes(top: int) -> None:
    network = one_layer(Linear((whole(-top, top, (12, 8)) / 16).astype(np.float32)))
    network = replace(
        network, populations=(replace(network.populations[0], decay_mem=np.full(12, 1 - 256 / 4096, np.float32)),)
    )
    x = {"in": random_input().astype(np.float32)}
    reference, chip = run(network, x), run(compile(network, "loihi2"), x, backend="emulator")
    assert reference.spikes("a").any()
    np.testing.assert_array_equal(chip.spikes("a"), reference.spikes("a"))


@pytest.mark.skipif(not CASE.exists(), reason="the case of a quantised network is not here")
@pytest.mark.parametrize(("name", "bits"), [("full", 8), ("five", 4)])
def test_a_network_trained_quantised_shares_all_spikes(name: str, bits: int) -> None:
    from neurodeploy.importers.lower import read_network

    network = read_network(CASE / f"{name}.nir", "nir,dt=1,gain=unit")[0]
    x = load_data(CASE / "data.npz", network.inputs).x
    reference, chip = run(network, x), run(compile(network, "loihi2", weight_bits=bits), x, backend="emulator")
    for node in reference.nodes:
        np.testing.assert_array_equal(chip.spikes(node), reference.spikes(node))


def test_ranges_of_one_sign_hold_more_levels() -> None:
    numbers = whole(0, 255, (12, 8)) / 255.0
    grid = find_grid(numbers)
    assert grid is not None
    assert grid.fitting(weight_range(numbers, 8, "")) is not None
    assert grid.fitting(weight_range(-numbers, 7, "")) is None
