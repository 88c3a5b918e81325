"""Folding a chain gives synapses that compute what the chain computes."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from scipy import sparse

from neurodeploy.errors import DeployError
from neurodeploy.ir.network import Projection
from neurodeploy.ir.synapses import (
    Conv1d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Pool2d,
    Scale,
    Sparse,
    SynapseOp,
    as_map,
    chain_shape,
)
from neurodeploy.passes import matrices
from neurodeploy.passes.fold import applied, apply, fold
from neurodeploy.passes.matrices import chain_matrix
from neurodeploy.passes.torch_operations import chain

RNG = np.random.default_rng(3)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 1, shape).astype(np.float32)


POOL = Pool2d((2, 2), (2, 2))
OVERLAPPING = Pool2d((3, 3), (2, 2), (1, 1), mean=True)
PADDED = Conv2d(weights(4, 2, 3, 3), None, (1, 1), (1, 1))
DILATED = Conv2d(weights(2, 1, 2, 2), None, (1, 1), (0, 0), (2, 2))

CHAINS: dict[str, tuple[tuple[int, ...], tuple[SynapseOp, ...], bool]] = {
    "linear": ((6,), (Linear(weights(4, 6), weights(4)),), False),
    "linear on an image": ((2, 3, 4), (Flatten(), Linear(weights(5, 24))), False),
    "two linears with biases": ((6,), (Linear(weights(4, 6), weights(4)), Linear(weights(3, 4), weights(3))), False),
    "linear over the last axis": ((3, 4), (Linear(weights(2, 4), weights(2)),), False),
    "sparse": ((6,), (Sparse(sparse.csr_array(weights(4, 6) * (weights(4, 6) > 0)), weights(4)),), False),
    "sparse on an image, scaled": (
        (2, 2, 3),
        (Scale(weights(2, 2, 3)), Sparse(sparse.csc_matrix(weights(5, 12)), weights(5)), Linear(weights(4, 5))),
        False,
    ),
    "sparse between images": (
        (2, 3, 3),
        (Sparse(sparse.csc_array(weights(48, 18)), weights(48), shape=(3, 4, 4)), Conv2d(weights(2, 3, 3, 3))),
        False,
    ),
    "pool alone": ((2, 8, 8), (POOL,), True),
    "one-dimensional convolution": ((2, 9), (Conv1d(weights(4, 1, 3), weights(4), 2, 1, 1, 2), Flatten()), True),
    "scale": ((2, 3, 3), (Scale(weights(2, 3, 3)),), False),
    "convolution": ((4, 7, 6), (Conv2d(weights(6, 2, 3, 2), weights(6), (2, 1), (1, 0), (1, 2), 2),), True),
    "convolution and pool": ((2, 8, 8), (PADDED, Pool2d((2, 2), (2, 2), mean=True)), True),
    "pool and convolution": ((2, 8, 8), (POOL, Conv2d(weights(4, 1, 3, 3), weights(4), groups=2)), True),
    "pool and padded convolution": ((2, 8, 8), (POOL, PADDED), True),
    "pool that leaves a rest and padded convolution": ((2, 9, 9), (POOL, PADDED), False),
    "scaled pool": ((2, 8, 8), (Scale(weights(2, 8, 8)), POOL), False),
    "uneven pool and convolution": ((1, 9, 7), (Pool2d((2, 2), (2, 2), mean=True), Conv2d(weights(2, 1, 2, 2)),), True),
    "overlapping padded pool": ((2, 6, 6), (OVERLAPPING, Flatten(), Linear(weights(3, 18))), False),
    "dilated convolution and pool": ((1, 9, 9), (DILATED, POOL), True),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_folded_synapses_compute_the_chain(name: str) -> None:
    shape, ops, is_conv = CHAINS[name]
    folded = fold(Projection("in", "out", ops), shape)
    assert (folded.conv is not None) == is_conv
    x = RNG.normal(0, 1, (3, *shape))
    expected = chain(ops, torch.device("cpu"), torch.float64)(torch.from_numpy(x)).numpy()
    if folded.conv is None:
        got = (x.reshape(3, -1) @ folded.weight.T).reshape(expected.shape) + folded.bias
    else:
        assert prod(folded.conv.output_shape(as_map(shape))) == prod(chain_shape(ops, shape))
        got = applied(folded, x, shape).reshape(expected.shape) + folded.bias
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_gain_of_its_own_for_each_neuron_turns_a_convolution_into_a_matrix() -> None:
    shape, ops, _ = CHAINS["convolution"]
    out = chain_shape(ops, shape)
    gain = np.abs(weights(*out))
    folded = fold(Projection("in", "out", ops), shape).scaled(gain, shape)
    assert folded.conv is None
    x = RNG.normal(0, 1, (2, *shape))
    expected = apply(ops[0], x) * gain
    np.testing.assert_allclose(
        (x.reshape(2, -1) @ folded.weight.T).reshape(expected.shape) + folded.bias, expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_written_out_is_the_chain_applied_to_every_input(name: str) -> None:
    shape, ops, _ = CHAINS[name]
    n_in = prod(shape)
    offset = fold(Projection("in", "out", ops), shape).bias
    x = np.eye(n_in).reshape(n_in, *shape)
    for op in ops:
        x = apply(op, x)
    dense = (x - offset).reshape(n_in, -1).T
    matrix = chain_matrix(ops, shape, "in -> out")
    np.testing.assert_allclose(matrix.toarray(), dense, rtol=1e-12, atol=1e-12)
    assert matrix.dtype == np.float64
    assert matrix.has_sorted_indices
    assert (np.diff(matrix.indices) > 0).sum() + len(matrix.indptr) >= matrix.nnz  # in order within each column


@pytest.mark.parametrize(
    ("name", "is_sparse"),
    [("scaled pool", True), ("pool that leaves a rest and padded convolution", False), ("scale", True)],
)
def test_a_written_out_chain_is_sparse_where_few_pairs_have_a_synapse(name: str, is_sparse: bool) -> None:
    shape, ops, _ = CHAINS[name]
    folded = fold(Projection("in", "out", ops), shape)
    assert folded.is_sparse == is_sparse
    assert (folded.entries.size < 0.25 * prod(shape) * folded.bias.size) == is_sparse


def test_a_matrix_given_as_sparse_stays_so() -> None:
    full = Sparse(sparse.csc_array(weights(4, 6)))
    folded = fold(Projection("in", "out", (full,)), (6,))
    assert folded.is_sparse
    np.testing.assert_array_equal(folded.weight.toarray(), full.weight.toarray())


def test_a_gain_of_its_own_for_each_neuron_scales_the_rows_of_a_sparse_matrix() -> None:
    shape, ops, _ = CHAINS["sparse"]
    gain = np.abs(weights(4))
    folded = fold(Projection("in", "out", ops), shape)
    scaled = folded.scaled(gain, shape, 0.25)
    np.testing.assert_allclose(scaled.weight.toarray(), folded.weight.toarray() * gain[:, np.newaxis] / 4, rtol=1e-6)
    np.testing.assert_allclose(scaled.bias, folded.bias * gain, rtol=1e-6)


def test_row_sums_are_the_same_for_dense_and_sparse_weights() -> None:
    matrix = weights(5, 7)
    dense = fold(Projection("in", "out", (Linear(matrix),)), (7,)).row_sums()
    few = fold(Projection("in", "out", (Sparse(sparse.csr_array(matrix)),)), (7,)).row_sums()
    np.testing.assert_allclose(dense, few, rtol=1e-12)


def test_a_matrix_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, ops, _ = CHAINS["pool that leaves a rest and padded convolution"]
    monkeypatch.setattr(matrices, "MAX_STORED", 4 * prod(shape))
    with pytest.raises(
        DeployError,
        match=r"in -> out is a chain of Pool2d, Conv2d that would become up to 1,152 synapses, more than 648",
    ):
        fold(Projection("in", "out", ops), shape)


def test_the_largest_of_a_window_is_neither_applied_nor_written_out() -> None:
    pool = MaxPool2d((2, 2), (2, 2))
    with pytest.raises(TypeError, match="the largest of a window is not linear"):
        apply(pool, np.zeros((1, 2, 4, 4)))
    with pytest.raises(TypeError, match="the largest of a window is not linear"):
        chain_matrix((pool,), (2, 4, 4), "in -> out")


def test_a_sparse_matrix_with_other_values_keeps_neurons_without_synapses() -> None:
    weight = sparse.csc_array((np.ones(1), ([1], [0])), shape=(5, 3))
    found = fold(Projection("in", "out", (Sparse(weight),)), (3,)).with_stored(np.array([2.0]))
    assert found.weight.shape == (5, 3)
    assert found.weight[1, 0] == 2.0
