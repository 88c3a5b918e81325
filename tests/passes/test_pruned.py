"""Pruned weights: zeros are no synapses, neither stored nor counted nor made again by rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.compiler import compile
from neurodeploy.cost.energy import count_events
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.emulator.fan_out import fan_outs
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.synapses import Linear
from tests.families.loihi.test_exactness import ZERO


def pruned(n: int, share: float, seed: int = 5) -> Network:
    rng = np.random.default_rng(seed)
    weight = (rng.choice([-1.0, 1.0], (n, n)) * rng.uniform(0.5, 1, (n, n)) * (rng.random((n, n)) < share)).astype("f4")
    population = Population("a", (n,), ZERO, np.float32(0.9), np.float32(1.0))
    return Network({"in": (n,)}, (population,), (Projection("in", "a", (Linear(weight),)),), ("a",), 1e-3, "snntorch")


def spikes(n: int) -> np.ndarray:
    return (np.random.default_rng(1).random((4, 6, n)) < 0.1).astype(np.uint8)


def test_a_matrix_of_zeros_mostly_is_stored_sparse_and_gives_the_same() -> None:
    network = pruned(100, 0.05)
    weight = network.projections[0].ops[0].weight  # type: ignore[union-attr]
    program = compile(network, "loihi2")
    coded = program.projections[0]
    assert coded.is_sparse
    assert coded.weight.size == np.count_nonzero(weight)
    dense = np.zeros((100, 100), np.int16)
    dense[coded.indices, np.repeat(np.arange(100), np.diff(coded.indptr))] = coded.weight  # type: ignore[arg-type]
    same = replace(coded, weight=dense, n_out=None, indices=None, indptr=None)
    x = {"in": spikes(100)}
    one, other = run(program, x, backend="emulator"), run(replace(program, projections=(same,)), x, backend="emulator")
    np.testing.assert_array_equal(one.spikes("a"), other.spikes("a"))
    for key in ("synops", "synops_dense"):
        np.testing.assert_array_equal(one.counters[key], other.counters[key])
    delivered = (x["in"].sum(axis=0) @ np.count_nonzero(weight, axis=0)).sum()
    assert one.counters["synops"].sum() == delivered
    assert one.counters["synops_dense"].sum() == x["in"].sum() * 100
    events = count_events(program, one, {"in": 0.0})
    assert (events.synops, events.synops_dense) == (delivered / 6, x["in"].sum() * 100 / 6)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_learned_rounding_leaves_zeros(share: float) -> None:
    network = pruned(70, share)
    options = {"rounding": "learned", "scale": "mse", "per_channel": True}
    program = compile(network, "loihi2", calibrate=Data({"in": spikes(70)}, None, ""), weight_bits=4, **options)
    weight = network.projections[0].ops[0].weight  # type: ignore[union-attr]
    assert np.count_nonzero(program.projections[0].weight) <= np.count_nonzero(weight)


def test_what_is_not_zero_is_what_has_to_fit() -> None:
    n, rng = 4200, np.random.default_rng(0)
    weight = np.zeros((n, n), np.float32)
    weight[rng.integers(0, n, 9000), rng.integers(0, n, 9000)] = rng.uniform(0.5, 1, 9000)
    population = Population("a", (n,), ZERO, np.float32(0.9), np.float32(1.0))
    network = Network({"in": (n,)}, (population,), (Projection("in", "a", (Linear(weight),)),), ("a",), 1e-3, "nir")
    assert weight.size > 2**24
    assert compile(network, "loihi1").projections[0].weight.size == np.count_nonzero(weight)


@pytest.mark.parametrize("kind", ["dense", "sparse", "conv", "grouped"])
def test_fan_outs_are_what_single_spikes_deliver(kind: str) -> None:
    rng = np.random.default_rng(2)
    conv = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 1 if kind == "conv" else 2}
    shape = (7,) if kind in ("dense", "sparse") else (4, 6, 7)
    size = (5, 7) if len(shape) == 1 else (6, 4 // conv["groups"], 3, 2)  # type: ignore[operator]
    weight = (rng.integers(-2, 3, size) * 2).astype(np.int16)
    layout = conv if len(shape) == 3 else {}
    if kind == "sparse":
        layout = {"n_out": 9, "indices": np.array([0, 3, 8, 1]), "indptr": np.array([0, 2, 2, 3, 3, 4, 4, 4])}
        weight = np.array([2, 0, 4, 0], np.int16)
    p = CodedProjection("in", "a", weight, 0, 8, "mixed", 1, **layout)  # type: ignore[arg-type]
    each = np.eye(int(np.prod(shape)), dtype=np.int64).reshape(-1, *shape)
    np.testing.assert_array_equal(fan_outs(p, shape), definition.delivered(p, each, p.weight != 0))
