"""Folding a chain gives synapses that compute what the chain computes."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch

from neurodeploy.backends.reference.operations import chain
from neurodeploy.errors import DeployError
from neurodeploy.network import Projection
from neurodeploy.passes import fold as fold_module
from neurodeploy.passes.fold import apply, fold
from neurodeploy.synapses import Conv2d, Flatten, Linear, Pool2d, Scale, SynapseOp, chain_shape

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
    "scale": ((2, 3, 3), (Scale(weights(2, 3, 3)),), False),
    "convolution": ((4, 7, 6), (Conv2d(weights(6, 2, 3, 2), weights(6), (2, 1), (1, 0), (1, 2), 2),), True),
    "convolution and pool": ((2, 8, 8), (PADDED, Pool2d((2, 2), (2, 2), mean=True)), True),
    "pool and convolution": ((2, 8, 8), (POOL, Conv2d(weights(4, 1, 3, 3), weights(4), groups=2)), True),
    "pool and padded convolution": ((2, 8, 8), (POOL, PADDED), False),
    "uneven pool and convolution": ((1, 9, 7), (Pool2d((2, 2), (2, 2), mean=True), Conv2d(weights(2, 1, 2, 2)),), True),
    "overlapping padded pool": ((2, 6, 6), (OVERLAPPING, Flatten(), Linear(weights(3, 18))), False),
    "dilated convolution and pool": ((1, 9, 9), (DILATED, POOL), False),
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
        assert folded.conv.output_shape(shape) == chain_shape(ops, shape)
        got = apply(folded.conv, x) + folded.bias
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


def test_a_matrix_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, ops, _ = CHAINS["pool and padded convolution"]
    monkeypatch.setattr(fold_module, "MAX_DENSE", prod(shape))
    with pytest.raises(
        DeployError, match=r"in -> out is a chain of Pool2d, Conv2d that would become a matrix of 64 x 128"
    ):
        fold(Projection("in", "out", ops), shape)
