"""A repaired file is read without options, to the spikes of the original under the stated dialect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import read_graph
from neurodeploy.inspection import inspect, repair
from neurodeploy.ir.run_options import RunOptions
from tests.conformance.test_corpus import DIALECTS
from tests.conftest import SHARED, ZERO, chain_edges, lif, save_nir, spikes
from tests.importers.test_spyx import spyx_image
from tests.inspection.conftest import NORSE, SINABS, cuba, model, neuron, replace

CORPUS = SHARED / "corpus"


def recorded(path: Path, dialect: str | None, x: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Return a run's recording; ``x`` is put into the shape of the input."""
    network = read_network(path, dialect)[0]
    name, shape = next(iter(network.inputs.items()))
    return (
        Reference().run(network, {name: x.reshape(*x.shape[:2], *shape)}, RunOptions(record=("spikes", "v", "u"))).nodes
    )


def assert_same_run(path: Path, dialect: str | None, fixed: Path, x: np.ndarray) -> None:
    before, after = recorded(path, dialect, x), recorded(fixed, None, x)
    assert before.keys() == after.keys()
    for node, observed in before.items():
        for key, values in observed.items():
            np.testing.assert_array_equal(after[node][key], values.reshape(after[node][key].shape), err_msg=node)


CASES: dict[str, tuple[Any, str]] = {
    "norse-units": (neuron(2, np.array([0.5e-5, 2e-5])), NORSE),
    "norse-current": (cuba(2), NORSE),
    "norse-reset": (neuron(2, 1e-5), "norse,v_reset=-0.3,rest=default"),
    "sinabs": (neuron(2, np.array([3.0, 20.0])), SINABS),
    "sinabs-unit": (neuron(2, np.array([3.0, 20.0])), "sinabs,reset=subtract,norm_input=false,rest=default"),
    "sinabs-clamp": (nir.IF(np.ones(2), np.ones(2), np.zeros(2)), "sinabs,min_v_mem=-0.5,rest=default"),
    "rockpool": (neuron(2, 0.01, r=10 * np.exp(-0.1) * np.ones(2)), "rockpool,bias=0.05,max_spikes=1,rest=default"),
    "snntorch-clamp": (neuron(2, np.array([-0.01, 1e-3]), r=np.array([-100.0, 10.0])), "snntorch,rest=default"),
    "snntorch-late": (neuron(2, 1e-3, r=np.full(2, 10.0)), "snntorch,reset=zero,neuron:reset_delay=false,rest=default"),
    "sinabs-current": (neuron(2, np.array([3.0, 20.0])), "sinabs,tau_syn=4,rest=default"),
    "sinabs-if-current": (nir.IF(np.ones(2), np.ones(2), np.zeros(2)), "sinabs,tau_syn=4,rest=default"),
    "snntorch-graded": (neuron(2, 1e-3, r=np.full(2, 10.0)), "snntorch,graded=2,rest=default"),
    "spyx": (neuron(2, 5.0, r=np.full(2, 0.8)), "spyx,rest=default"),
    "spikingjelly": (neuron(2, 2e-4), "spikingjelly,dt=1e-4"),
    "nir": (neuron(2, 0.02, r=np.full(2, 7.0), v_leak=np.full(2, 0.2)), "nir,dt=1e-3,v_init=0.1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_repaired_file_fires_the_same_spikes_without_options(
    tmp_path: Path, rng: np.random.Generator, case: str
) -> None:
    node, dialect = CASES[case]
    path, fixed = model(tmp_path, node), tmp_path / "fixed.nir"
    repair(path, dialect, fixed)
    x = rng.normal(0.3, 0.6, (60, 4, 3)).astype(np.float32)
    assert recorded(path, dialect, x)["neuron"]["spikes"].any()
    assert_same_run(path, dialect, fixed, x)
    assert inspect(fixed).is_clean


@pytest.mark.parametrize("name", DIALECTS)
def test_repaired_networks_of_all_frameworks_fire_the_same_spikes(tmp_path: Path, name: str) -> None:
    if not CORPUS.is_dir():
        pytest.skip("no networks of other frameworks beside the repository (shared/data/corpus)")
    path, fixed = CORPUS / name / "model.nir", tmp_path / "fixed.nir"
    repair(path, DIALECTS[name], fixed)
    x = np.load(CORPUS / name / "input.npz")["x"][:20, :2]
    assert_same_run(path, DIALECTS[name], fixed, x)
    assert inspect(fixed).is_clean


def broken(path: Path) -> Path:
    """Single values, batch axes, a repeated edge and no v_reset, all in one file."""
    nodes = {
        "input": nir.Input({"input": np.array([1, 3])}),
        "fc": nir.Affine(np.array([[0.9, 0.2, -0.4], [0.3, 0.8, 0.5]]), np.array([0.1, 0.2])),
        "lif": lif((2,)),
        "w_rec": nir.Linear(np.array([[0.1, -0.6], [0.4, 0.2]])),
        "output": nir.Output({"output": np.array([1, 2])}),
    }
    edges = [*chain_edges("input", "fc", "lif", "output"), *chain_edges("lif", "w_rec", "lif")]
    save_nir(path, nodes, edges, ZERO)
    with h5py.File(path, "a") as file:
        stored = file["node/edges"][()]
        replace(file, "node/edges", np.concatenate([stored, stored[:1]]))
        del file["node/nodes/lif/v_reset"]
        for key in ("v_leak", "r"):
            replace(file, f"node/nodes/lif/{key}", float(file[f"node/nodes/lif/{key}"][0]))
    return path


def test_structure_is_repaired_all_at_once(tmp_path: Path, rng: np.random.Generator) -> None:
    path, fixed = broken(tmp_path / "m.nir"), tmp_path / "fixed.nir"
    assert {f.code for f in inspect(path).findings} == {"batch-dimension", "scalar", "duplicate-edge", "no-v-reset"}
    repair(path, None, fixed)
    assert inspect(fixed).findings == ()
    assert_same_run(path, None, fixed, spikes(rng, 40, 3, 3))
    graph = read_graph(fixed)
    assert graph.nodes["input"].params["shape"].tolist() == [3]
    assert graph.nodes["output"].params["shape"].tolist() == [2]
    assert all(np.shape(value) == (2,) for value in graph.nodes["lif"].params.values())


def test_nir_itself_reads_a_repaired_file(tmp_path: Path) -> None:
    path, fixed = broken(tmp_path / "m.nir"), tmp_path / "fixed.nir"
    repair(path, None, fixed)
    assert sorted(nir.read(fixed).nodes) == ["fc", "input", "lif", "output", "w_rec"]


def test_norses_repaired_parameters_are_those_of_nirs_own_equations(tmp_path: Path, rng: np.random.Generator) -> None:
    path, fixed = model(tmp_path, neuron(2, 1e-5)), tmp_path / "fixed.nir"
    repair(path, NORSE, fixed)
    with h5py.File(fixed, "a") as file:
        for place in ("node", "node/nodes/neuron"):
            del file[f"{place}/metadata"]
    x = rng.normal(0.8, 1.0, (60, 4, 3)).astype(np.float32)
    before, after = recorded(path, NORSE, x), recorded(fixed, "nir,dt=1e-3", x)
    np.testing.assert_array_equal(before["neuron"]["spikes"], after["neuron"]["spikes"])


def test_repairing_again_changes_nothing(tmp_path: Path) -> None:
    path, once, twice = model(tmp_path, cuba(2)), tmp_path / "once.nir", tmp_path / "twice.nir"
    repair(path, NORSE, once)
    repair(once, None, twice)
    assert once.read_bytes() == twice.read_bytes()


def test_metadata_of_others_stay(tmp_path: Path) -> None:
    path, fixed = model(tmp_path, neuron(2, 1e-5)), tmp_path / "fixed.nir"
    with h5py.File(path, "a") as file:
        file["node/nodes/neuron/metadata/colour"] = "red"
    repair(path, NORSE, fixed)
    assert read_graph(fixed).nodes["neuron"].foreign == {"colour": "red"}


def test_edges_that_are_said_to_be_delayed_are_written(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "a": lif((2,)),
        "b": lif((2,)),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [("input", "a"), ("input", "b"), ("a", "b"), ("b", "a"), ("b", "output")]
    path, fixed = save_nir(tmp_path / "m.nir", nodes, edges, ZERO), tmp_path / "fixed.nir"
    repair(path, "edge:a->b=delayed", fixed)
    delays = {(p.source, p.target): p.delay for p in read_network(fixed)[0].projections}
    assert (delays["a", "b"], delays["b", "a"]) == (1, 0)


def test_what_spyx_means_is_written(tmp_path: Path, rng: np.random.Generator) -> None:
    path, fixed = tmp_path / "m.nir", tmp_path / "fixed.nir"
    nir.write(path, spyx_image())
    repair(path, "spyx,rest=default", fixed)
    assert_same_run(path, "spyx,rest=default", fixed, rng.normal(0.3, 0.6, (20, 2, 48)).astype(np.float32))


def test_an_open_dialect_is_not_repaired(tmp_path: Path) -> None:
    fixed = tmp_path / "fixed.nir"
    with pytest.raises(DeployError, match="a model is not repaired while its dialect is open"):
        repair(model(tmp_path, lif((2,))), None, fixed)
    assert not fixed.exists()


def test_what_would_still_be_refused_is_not_written(tmp_path: Path) -> None:
    path, fixed = model(tmp_path, lif((5,)), rules=ZERO), tmp_path / "fixed.nir"
    with pytest.raises(DeployError):
        repair(path, None, fixed)
    assert not fixed.exists()


def test_the_model_is_not_replaced(fc_model: Path) -> None:
    with pytest.raises(DeployError, match="would replace the model"):
        repair(fc_model, None, fc_model)
