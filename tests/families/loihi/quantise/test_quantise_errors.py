"""What errors of weights do to the membrane: alone, and on what flows in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.families.loihi.membrane import Part, membrane_error
from neurodeploy.families.loihi.quantise.second_moments import (
    DAMPING,
    IsolatedPopulation,
    few,
    mean_input,
    second_moments,
)
from neurodeploy.families.loihi.weights import weight_range
from neurodeploy.ir.network import Projection
from neurodeploy.ir.synapses import Conv2d, Linear, Sparse
from neurodeploy.passes.fold import apply, fold
from tests.families.loihi.quantise.worked import folded, neuron


def part(weight: Any, bits: int = 8, **options: Any) -> Part:
    found = folded(weight)
    return Part.of(found, weight_range(found.weight, bits, "w"), neuron(len(found.weight), **options))


def test_a_neuron_of_which_nothing_is_left_costs_all() -> None:
    whole, lost = [1.0, 51 / 255], [0.001, 0.0]
    assert membrane_error([part([whole, lost])], [255.0], 2) == pytest.approx(0.5)
    assert membrane_error([part([whole, [0.0, 0.0]])], [255.0], 2) == pytest.approx(0.0)  # it never heard anything
    assert membrane_error([part([[0.0, 0.0]])], [255.0], 1) == 0.0
    half = membrane_error([part([[1.0, 0.0]]), part([[1.0, 0.0]])], [127.0, 510.0], 1)
    assert half == pytest.approx((0.5**2) / 2)


def test_what_is_beyond_four_thresholds_counts_for_nothing_where_a_spike_clears_v() -> None:
    scale = 510.0  # half of the weight is held
    subtract = NeuronModel(reset="subtract")
    assert membrane_error([part([[1.0]], threshold=0.125)], [scale], 1) == pytest.approx(0.0)
    assert membrane_error([part([[1.0]], threshold=0.2)], [scale], 1) == pytest.approx((0.3 / 0.8) ** 2)
    assert membrane_error([part([[1.0]], threshold=0.125, model=subtract)], [scale], 1) == pytest.approx(0.25)


def test_dense_and_sparse_weights_have_the_same_errors_and_clipping_levels() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (4, 9)).astype(np.float32)
    weight[1, 2] = 40.0
    few_pairs = fold(Projection("in", "n", (Sparse(sparse.csr_array(weight)),)), (9,))
    codes = weight_range(weight.astype(np.float64), 4, "w")
    parts = [Part.of(one, codes, neuron(4)) for one in (folded(weight), few_pairs)]
    levels = [one.clipping_levels() for one in parts]
    np.testing.assert_array_equal(*levels)
    assert levels[0][1] < 10 < 40  # the outlier counts as four thresholds
    assert membrane_error(parts[:1], [3.0], 4) == membrane_error(parts[1:], [3.0], 4)


def test_second_moments_are_of_inputs_as_u_and_v_filter_them() -> None:
    ones = np.ones((2, 1, 1), np.uint8)
    once = second_moments(ones, folded([[1.0]]), neuron(keep_syn=0.5, keep_mem=0.25))
    assert once[0, 0] == pytest.approx((1 + 1.75**2) / 2 * (1 + DAMPING))
    both = second_moments(ones, folded([[1.0]]), neuron(keep_syn=0.5, keep_mem=0.25, keep_second=0.75))
    assert both[0, 0] == pytest.approx((0.25**2) / 2 * (1 + DAMPING))
    assert second_moments(0 * ones, folded([[1.0]]), neuron())[0, 0] == 1.0


def test_second_moments_give_the_mean_square_of_what_an_error_adds_to_v() -> None:
    rng = np.random.default_rng(1)
    x = (rng.random((5, 3, 4, 7, 6)) < 0.4).astype(np.uint8)
    shape = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}
    error = rng.normal(0, 1, (6, 2, 3, 2)).astype(np.float32)
    conv = Conv2d(error, None, **shape)
    moments = second_moments(x, fold(Projection("in", "n", (conv,)), (4, 7, 6)), neuron())
    added = apply(conv, x.reshape(-1, 4, 7, 6).astype(np.float64))
    for row in range(6):
        of_group, flat = moments[row // 3], error[row].ravel().astype(np.float64)
        damped = of_group - np.eye(len(of_group)) * DAMPING / (1 + DAMPING) * np.trace(of_group) / len(of_group)
        assert flat @ damped @ flat == pytest.approx((added[:, row] ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", ["dense", "sparse", "convolution"])
def test_the_mean_input_is_what_synapses_deliver_a_step(kind: str) -> None:
    rng = np.random.default_rng(2)
    matrix = rng.normal(0, 1, (5, 12)).astype(np.float32)
    op: Any = {
        "dense": Linear(matrix), "sparse": Sparse(sparse.csr_array(matrix * (matrix > 0))),
        "convolution": Conv2d(rng.normal(0, 1, (4, 1, 2, 2)), None, (1, 2), (1, 0), (2, 1), 2),
    }[kind]  # fmt: skip
    shape = (2, 3, 2) if kind == "convolution" else (12,)
    x = (rng.random((6, 4, *shape)) < 0.5).astype(np.uint8)
    one = fold(Projection("in", "n", (op,)), shape)
    delivered = apply(op, x.reshape(-1, *shape).astype(np.float64)).mean(axis=0).ravel()
    np.testing.assert_allclose(mean_input(x, one, one.entries, len(delivered)), delivered, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean_input(x, one, 2 * one.entries, len(delivered)), 2 * delivered, rtol=1e-5, atol=1e-6)


def test_rates_count_with_the_spikes_that_moved() -> None:
    fired = np.array([1, 0, 0, 0]).reshape(4, 1, 1)
    error = {}
    for name, sent in {"same": [1, 0, 0, 0], "moved": [0, 1, 0, 0], "twice": [1, 1, 0, 0]}.items():
        drive = IsolatedPopulation((), fired, lambda population, projections, sent=sent: np.reshape(sent, (4, 1, 1)))
        error[name] = drive.rate_error(None, ())  # type: ignore[arg-type]
    assert error == {"same": 0.0, "moved": 2 / 4 / 4, "twice": 1 / 16 + 1 / 4 / 4}


def test_few_samples_are_evenly_spaced_and_16_at_least() -> None:
    values = np.arange(64).reshape(1, 64)
    assert few(values, 1)[0].tolist() == list(range(0, 64, 4))
    assert few(values, 32)[0].tolist() == list(range(0, 64, 2))
    assert few(values, 100)[0].tolist() == list(range(64))
