"""Reading NIR files: what is wrong with a bad one is named, with its place."""

from __future__ import annotations

from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.nir_graph import graph_from_nir, read_graph
from tests.conftest import ZERO, chain_edges, lif, save_nir


def edit(path: Path, key: str, value: object) -> None:
    """Replace or, with None, delete an entry of an HDF5 file."""
    with h5py.File(path, "a") as file:
        del file[key]
        if value is not None:
            file[key] = value


def test_a_file_that_is_no_nir_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.nir"
    path.write_text("hello")
    with pytest.raises(DeployError, match="this is not a NIR model"):
        read_graph(path)


def test_a_truncated_file_is_refused(fc_model: Path) -> None:
    fc_model.write_bytes(fc_model.read_bytes()[:3000])
    with pytest.raises(DeployError, match="this is not a NIR model"):
        read_graph(fc_model)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="a NIR model is needed, and this does not exist"):
        read_graph(tmp_path / "none.nir")


def test_a_node_type_that_is_not_supported_is_named_with_its_path(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/type", b"Threshold")
    with pytest.raises(DeployError, match="node 'lif1' is a Threshold, which is not supported") as caught:
        read_graph(fc_model)
    assert caught.value.where.endswith("fc.nir, node 'lif1'")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(fc_model: Path, value: float) -> None:
    weight = np.zeros((9, 12))
    weight[1, 2] = value
    edit(fc_model, "node/nodes/fc1/weight", weight)
    with pytest.raises(DeployError, match="Affine 'fc1' has 1 of 108 values of weight that are NaN or infinite"):
        read_graph(fc_model)


def test_an_infinite_time_constant_is_read(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/tau", np.full(9, np.inf))
    assert np.isinf(read_graph(fc_model).nodes["lif1"].params["tau"]).all()


def test_an_edge_to_a_missing_node_is_refused(fc_model: Path) -> None:
    edit(fc_model, "node/edges", np.array([[b"input", b"ghost"]]))
    with pytest.raises(DeployError, match="edge input -> ghost names node 'ghost', which is not there"):
        read_graph(fc_model)


def test_a_missing_parameter_is_named(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/tau", None)
    with pytest.raises(DeployError, match="LIF 'lif1' has no tau"):
        read_graph(fc_model)


def test_a_parameter_of_a_wrong_type_is_named(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/tau", np.ones(9, complex))
    with pytest.raises(DeployError, match="LIF 'lif1' has tau of type complex128"):
        read_graph(fc_model)


def test_a_file_without_v_reset_is_read(fc_model: Path) -> None:
    edit(fc_model, "node/nodes/lif1/v_reset", None)
    assert "v_reset" not in read_graph(fc_model).nodes["lif1"].params


@pytest.mark.parametrize("name", ["counters", "meta"])
def test_reserved_node_names_are_refused(tmp_path: Path, name: str) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        name: lif((2,)),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", name, "output"), ZERO)
    with pytest.raises(DeployError, match=f"a node cannot be called '{name}'"):
        read_graph(path)


def test_a_graph_in_memory_reads_as_its_file(fc_model: Path) -> None:
    from_file, in_memory = read_graph(fc_model), graph_from_nir(nir.read(fc_model, type_check=False))
    assert from_file.edges == in_memory.edges
    assert from_file.metadata == in_memory.metadata
    assert {n: node.kind for n, node in from_file.nodes.items()} == {
        n: node.kind for n, node in in_memory.nodes.items()
    }
    np.testing.assert_array_equal(from_file.nodes["fc1"].params["weight"], in_memory.nodes["fc1"].params["weight"])
