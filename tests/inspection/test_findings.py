"""What the linter finds in files with one fault each, and in files without any."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.findings import CODES, SEVERITIES, Finding
from neurodeploy.importers.lower import read_network
from neurodeploy.inspection import inspect
from neurodeploy.shipped import shipped_folder
from tests.conftest import DT, SHARED, ZERO, chain_edges, lif, save_nir, spikes
from tests.inspection.conftest import NORSE, SINABS, SNNTORCH, cuba, model, neuron, replace


def codes(path: Path, dialect: str | None = None, **options: Any) -> dict[str, Finding]:
    return {found.code: found for found in inspect(path, dialect, **options).findings}


def change(path: Path, edit: Callable[[Any], None]) -> Path:
    with h5py.File(path, "a") as file:
        edit(file)
    return path


@pytest.mark.parametrize("name", ["digits-fc", "digits-conv"])
def test_shipped_models_are_clean(name: str) -> None:
    found = inspect(shipped_folder("models") / name / "model.nir")
    assert found.is_clean
    assert found.findings == ()


def test_every_code_has_a_known_severity() -> None:
    assert set(CODES.values()) <= set(SEVERITIES)


@pytest.mark.parametrize(
    ("node", "dialect", "code", "value"),
    [
        (neuron(2, 1e-5), NORSE, "tau-units", "1e-05 s"),
        (neuron(2, np.array([-0.1, 0.2]), r=np.array([-1e3, 2e3])), SNNTORCH, "tau-negative", "-0.1"),
        (neuron(2, np.inf, r=np.full(2, np.inf)), SNNTORCH, "tau-infinite", "inf"),
        (neuron(2, 5e-4), "nir,dt=1e-3", "tau-range", "0.5 steps"),
        (neuron(2, 100.0), "nir,dt=1e-3", "tau-range", "100000 steps"),
        (neuron(2, 0.01, v_threshold=np.zeros(2)), "nir,dt=1e-3", "threshold", "0"),
        (cuba(2), NORSE, "w-in-unscaled", "1"),
        (neuron(2, 10.0), "sinabs,norm_input=false,rest=default", "r-unscaled", "1"),
        (nir.IF(r=np.ones(2), v_threshold=np.ones(2), v_reset=np.zeros(2)), NORSE, "r-unscaled", "1"),
    ],
)  # fmt: skip
def test_a_fault_of_parameters_is_found(tmp_path: Path, node: Any, dialect: str, code: str, value: str) -> None:
    found = codes(model(tmp_path, node), dialect)[code]
    assert (found.node, found.value) == ("neuron", value)
    assert found.fix
    assert found.severity == "warning"


@pytest.mark.parametrize(
    ("node", "dialect"),
    [
        (neuron(2, 0.01), NORSE),
        (cuba(2, w_in=10.0), NORSE),
        (neuron(2, 10.0), SINABS),
        (nir.IF(r=np.ones(2), v_threshold=np.ones(2), v_reset=np.zeros(2)), SINABS),
        (lif((2,)), SNNTORCH),
        (neuron(2, 2 * DT), "spikingjelly,dt=1e-4"),
    ],
)
def test_sound_parameters_have_no_findings(tmp_path: Path, node: Any, dialect: str) -> None:
    assert codes(model(tmp_path, node), dialect) == {}


def test_single_values_are_found(tmp_path: Path) -> None:
    path = change(model(tmp_path, lif((2,)), rules=ZERO), lambda f: replace(f, "node/nodes/neuron/tau", 1e-3))
    found = codes(path)["scalar"]
    assert (found.node, found.value) == ("neuron", "tau []")


@pytest.mark.parametrize("shape", [[1, 3], [5, 3], [1, 1, 3]])
def test_a_batch_axis_of_the_input_is_found(tmp_path: Path, shape: list[int]) -> None:
    found = codes(model(tmp_path, lif((2,)), shape, rules=ZERO))["batch-dimension"]
    assert (found.node, found.value) == ("input", str(shape))


@pytest.mark.parametrize("out", [[1, 2], [16, 1, 2]])
def test_a_batch_axis_of_the_output_is_found(tmp_path: Path, out: list[int]) -> None:
    found = codes(model(tmp_path, lif((2,)), out=out, rules=ZERO))["batch-dimension"]
    assert (found.node, found.value) == ("output", str(out))


def test_a_batch_axis_before_a_convolution_is_found(conv_model: Path) -> None:
    path = change(conv_model, lambda f: replace(f, "node/nodes/input/shape", np.array([1, 2, 7, 6])))
    assert codes(path)["batch-dimension"].node == "input"


def test_a_channel_of_one_is_no_batch_axis(tmp_path: Path, rng: np.random.Generator) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([1, 9])}),
        "conv": nir.Conv1d(9, rng.normal(0, 1, (4, 1, 3)), 1, 0, 1, 1, np.zeros(4)),
        "lif": lif((4, 7)),
        "output": nir.Output({"output": np.array([4, 7])}),
    }
    assert codes(save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "conv", "lif", "output"), ZERO)) == {}


def test_all_faults_of_a_structure_are_found_at_once(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "fc": nir.Linear(np.ones((2, 4))),
        "lif": lif((2,)),
        "aside": lif((2,)),
        "lost": lif((2,)),
        "output": nir.Output({"output": np.array([7])}),
    }
    edges = [*chain_edges("input", "fc", "lif", "output"), ("lif", "aside"), ("lif", "aside")]
    path = save_nir(tmp_path / "m.nir", nodes, edges[:-1], ZERO)
    with h5py.File(path, "a") as file:
        twice = np.concatenate([file["node/edges"][()], [[b"lif", b"aside"]]])
        replace(file, "node/edges", twice)
    found = inspect(path)
    assert not found.is_clean
    assert {(f.code, f.node) for f in found.findings} >= {
        ("shape", "fc"), ("shape", "output"), ("unreachable", "lost"), ("unread", "aside"), ("duplicate-edge", "lif"),
    }  # fmt: skip
    assert found.findings[0].severity == "error"


def test_what_only_the_reading_refuses_is_found(tmp_path: Path) -> None:
    nodes = {"input": nir.Input({"input": np.array([2])}), "lif": lif((2,))}
    found = codes(save_nir(tmp_path / "m.nir", nodes, [("input", "lif")], ZERO))
    assert "no edge leads to an Output node" in found["refused"].what


def test_an_old_version_and_a_missing_reset_are_notes(fc_model: Path) -> None:
    def age(file: Any) -> None:
        replace(file, "version", "0.2.0")
        del file["node/nodes/lif1/v_reset"]

    found = inspect(change(fc_model, age))
    assert {(f.code, f.severity) for f in found.findings} == {("old-version", "note"), ("no-v-reset", "note")}
    assert found.is_clean


def test_populations_that_never_or_always_fire_are_found(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "busy": lif((2,), threshold=0.1),
        "silent": lif((2,), threshold=1e6),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "busy", "silent", "output"), {"reset": "none"})
    x = np.zeros((50, 3, 2), np.float32)
    x[:, :, 0] = 1
    found = inspect(path, inputs={"input": x})
    by_code = {f.code: f for f in found.findings}
    assert (by_code["dead"].node, by_code["dead"].value) == ("silent", "0 spikes of 2 neurons")
    assert (by_code["saturated"].node, by_code["saturated"].value) == ("busy", "1 of 2 neurons")
    busy = next(node["activity"] for node in found.nodes if node["name"] == "busy")
    assert busy == {"neurons": 2, "spikes": 150, "rate": 0.5, "silent": 1, "saturated": 1}


def test_a_silent_input_is_found(fc_model: Path, rng: np.random.Generator) -> None:
    found = {f.code: f for f in inspect(fc_model, inputs={"input": np.zeros((5, 2, 12), np.uint8)}).findings}
    assert (found["silent-input"].node, found["silent-input"].value) == ("input", "120 values of 0")
    fires = inspect(fc_model, inputs={"input": spikes(rng, 5, 2, 12)}).findings
    assert "silent-input" not in {f.code for f in fires}


def test_data_are_not_run_while_the_dialect_is_open(tmp_path: Path, rng: np.random.Generator) -> None:
    path = model(tmp_path, lif((2,)))
    found = inspect(path, inputs={"input": spikes(rng, 5, 2, 3)})
    assert {f.code for f in found.findings} == {"not-run"}
    assert found.question


def test_data_run_on_a_model_with_a_batch_axis(tmp_path: Path, rng: np.random.Generator) -> None:
    path = model(tmp_path, lif((2,)), [1, 3], rules=ZERO)
    found = inspect(path, inputs=lambda shapes: {name: spikes(rng, 5, 2, *shape) for name, shape in shapes.items()})
    assert next(node["activity"] for node in found.nodes if node["name"] == "neuron") is not None


SINABS_DROPS = ["reset", "subtract_value", "v_reset", "max_spikes", "min_v_mem", "tau_syn", "norm_input"]


def test_the_exporter_is_named_with_what_it_drops(tmp_path: Path) -> None:
    found = inspect(model(tmp_path, neuron(2, np.array([10.0, 20.0]))))
    assert [(e["name"], e["drops"]) for e in found.exporters] == [("sinabs", SINABS_DROPS)]
    assert {entry["key"]: entry["state"] for entry in found.lost} == dict.fromkeys(SINABS_DROPS, "asked")
    assert found.dialect is None


def test_what_is_said_and_what_is_assumed_are_told_apart(tmp_path: Path) -> None:
    found = inspect(model(tmp_path, neuron(2, np.array([10.0, 20.0]))), "sinabs,reset=zero,rest=default")
    states = {entry["key"]: entry["state"] for entry in found.lost}
    assert states == {**dict.fromkeys(SINABS_DROPS, "assumed"), "reset": "said"}


def test_time_step_and_decays_are_listed(tmp_path: Path) -> None:
    found = inspect(model(tmp_path, neuron(2, np.array([0.01, 0.02]))), "nir,dt=1e-3")
    dynamics = next(node["dynamics"] for node in found.nodes if node["name"] == "neuron")
    assert dynamics["dt"] == pytest.approx(1e-3)
    assert dynamics["decay_mem"] == {"low": pytest.approx(0.9), "high": pytest.approx(0.95)}


def test_an_option_that_means_nothing_is_refused(fc_model: Path) -> None:
    for option in ("brian", "snntorch,colour=red", "snntorch,reset=soft"):
        with pytest.raises(DeployError):
            inspect(fc_model, option)


def test_the_result_is_json(tmp_path: Path) -> None:
    found = inspect(model(tmp_path, neuron(2, np.inf, r=np.full(2, np.inf))), SNNTORCH)
    decoded = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert decoded["findings"][0] == {
        "code": "tau-infinite", "severity": "warning", "node": "neuron", "value": "inf",
        "what": "2 of 2 values of tau are infinite: these neurons integrate and never forget",
        "fix": "Nothing is to be done if that is meant.",
    }  # fmt: skip


def test_networks_of_all_frameworks_have_their_exporter_recognised() -> None:
    corpus = SHARED / "corpus"
    if not corpus.is_dir():
        pytest.skip("no networks of other frameworks beside the repository (shared/data/corpus)")
    for folder in sorted(corpus.iterdir()):
        framework = folder.name.replace("paper-braille", "snntorch").split("-")[0]
        assert framework in [e["name"] for e in inspect(folder / "model.nir").exporters], folder.name


def test_what_inspect_calls_an_error_stops_reading(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "lif": lif((2,)),
        "beside": nir.Linear(np.eye(2)),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "lif", "output"), ZERO)
    assert codes(path)["unreachable"].severity == "error"
    with pytest.raises(DeployError, match="no Input leads to this Linear"):
        read_network(path)


def test_warnings_are_said_by_whoever_reads(tmp_path: Path) -> None:
    evidence = read_network(model(tmp_path, neuron(2, 20.0)), "nir,dt=1e-3")[0].evidence
    (warning,) = [line for line in evidence if line.startswith("warning")]
    assert warning.startswith("warning tau-range: neuron: 2 of 2 values of tau last less than 1")
