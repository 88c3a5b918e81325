"""Sparse synapses: the same codes as the same matrix dense, and a network that is built from them in Python."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.compiler import compile
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LOIHI
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear, Sparse, SynapseOp


def network_of(first: SynapseOp, recurrent: SynapseOp, n_in: int) -> Network:
    n_out = first.output_shape((n_in,))[0]
    population = Population("a", (n_out,), NeuronRule(), np.float32(0.9), np.float32(2.0), bias=np.float32(0.01))
    projections = (Projection("in", "a", (first,)), Projection("a", "a", (recurrent,), 1))
    return Network({"in": (n_in,)}, (population,), projections, ("a",), 1e-3, "python")


def random_matrix(seed: int, n_out: int, n_in: int, share: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 1, (n_out, n_in)) * (rng.random((n_out, n_in)) < share)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.0, 0.2, 0.9]))
def test_sparse_synapses_have_the_codes_of_the_same_dense_matrix(seed: int, n: int, n_in: int, share: float) -> None:
    first, recurrent = random_matrix(seed, n, n_in, share), random_matrix(seed + 1, n, n, share)
    dense = compile(network_of(Linear(first), Linear(recurrent), n_in), "loihi2", allow_silent=True)
    matrices = Sparse(sparse.csr_array(first)), Sparse(sparse.coo_array(recurrent))
    few = compile(network_of(*matrices, n_in), "loihi2", allow_silent=True)
    # Zeros of a dense matrix are among its values; a sparse one does not store them.
    assert tuple(text.replace("binary", "ternary") for text in few.warnings) == tuple(
        text.replace("binary", "ternary") for text in dense.warnings
    )
    for one, other in zip(dense.populations, few.populations, strict=True):
        assert one.unit == other.unit
        for key, codes in one.arrays().items():
            np.testing.assert_array_equal(codes, other.arrays()[key], err_msg=key)
    for one, other in zip(dense.projections, few.projections, strict=True):
        assert (one.exponent, one.sign_mode, one.delay) == (other.exponent, other.sign_mode, other.delay)
        assert other.is_sparse
        shape = (other.n_out, len(other.indptr) - 1)
        full = sparse.csc_array((other.weight, other.indices, other.indptr), shape=shape).toarray()
        np.testing.assert_array_equal(full, one.weight)


def test_sparse_and_dense_programs_run_alike() -> None:
    first, recurrent = random_matrix(1, 30, 20), random_matrix(2, 30, 30)
    x = {"in": (np.random.default_rng(3).random((25, 4, 20)) < 0.3).astype(np.uint8)}
    dense = compile(network_of(Linear(first), Linear(recurrent), 20), "loihi2")
    few = compile(network_of(Sparse(sparse.csc_array(first)), Sparse(sparse.csc_array(recurrent)), 20), "loihi2")
    one, other = (definition.run(program, x, LOIHI) for program in (dense, few))
    assert one.spikes["a"].any()
    np.testing.assert_array_equal(one.v["a"], other.v["a"])


def test_the_reference_runs_sparse_synapses() -> None:
    first, recurrent = random_matrix(1, 30, 20), random_matrix(2, 30, 30)
    bias = np.linspace(-0.1, 0.1, 30, dtype=np.float32)
    x = {"in": (np.random.default_rng(3).random((25, 4, 20)) < 0.3).astype(np.float32)}
    options = RunOptions(record=("spikes", "v"))
    dense = Reference().run(network_of(Linear(first, bias), Linear(recurrent), 20), x, options)
    few = Reference().run(
        network_of(Sparse(sparse.csr_array(first), bias), Sparse(sparse.csr_array(recurrent)), 20), x, options
    )
    assert dense.spikes("a").any()
    np.testing.assert_array_equal(dense.spikes("a"), few.spikes("a"))
    np.testing.assert_allclose(dense.nodes["a"]["v"], few.nodes["a"]["v"], atol=1e-5)


def test_the_matrix_is_canonical_and_cannot_be_written() -> None:
    rows, columns, values = np.array([2, 0, 2]), np.array([1, 1, 1]), np.array([1.0, 2.0, 3.0])
    given = sparse.coo_array((values, (rows, columns)), shape=(3, 2))
    op = Sparse(given, np.zeros(3))
    np.testing.assert_array_equal(op.weight.toarray(), [[0, 2], [0, 0], [0, 4]])
    assert op.weight.dtype == np.float32
    assert list(op.weight.indices) == [0, 2]
    with pytest.raises(ValueError, match="read-only"):
        op.weight.data[0] = 1
    assert Sparse(op.weight).weight is op.weight
    values[:] = 9
    assert op.weight.data.max() == 4


def test_a_matrix_given_is_not_changed_or_shared() -> None:
    given = sparse.csc_array(random_matrix(1, 4, 5, 1.0))
    op = Sparse(given)
    given.data[:] = 0
    assert op.weight.data.all()


@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.eye(3), "must be a scipy.sparse matrix, got ndarray; use Linear")],
)
def test_what_is_no_sparse_matrix_is_refused(weight: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sparse(weight)


def test_inputs_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"takes 5 inputs, got shape \(2, 3\)"):
        Sparse(sparse.csr_array(random_matrix(1, 4, 5))).output_shape((2, 3))
    assert Sparse(sparse.csr_array(random_matrix(1, 4, 6))).output_shape((2, 3)) == (4,)


def test_the_digest_covers_weights_and_places() -> None:
    first, recurrent = random_matrix(1, 6, 5, 0.5), Sparse(sparse.csr_array(random_matrix(2, 6, 6)))

    def digest(matrix: np.ndarray) -> str:
        return network_of(Sparse(sparse.csr_array(matrix)), recurrent, 5).digest()

    moved = np.roll(first, 1, axis=0)
    larger = first * 2
    assert digest(first) == digest(first.copy())
    assert len({digest(matrix) for matrix in (first, moved, larger)}) == 3


def test_importing_the_package_and_its_synapses_does_not_import_scipy() -> None:
    code = "import sys, neurodeploy; neurodeploy.Sparse; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
