"""A difference that float32 rounding explains is a tie; any other is not."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.comparison.equality import reference_equals
from neurodeploy.comparison.ties import is_tie
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import chain_edges, cuba, lif, save_nir


@pytest.mark.parametrize("neuron", [lif, cuba])
@pytest.mark.parametrize(
    "rules",
    [
        {"reset": "zero"},
        {"reset": "subtract"},
        {"reset": "subtract", "reset_delay": False},
        {"reset": "zero", "adapt_decay": 0.9, "adapt_gain": [0.2, 0.3]},
        {"reset": "zero", "adapt_decay": 0.9, "adapt_gain": 0.2, "adapts": "v"},
        {"reset": "zero", "adapt_decay": 0.99, "adapt_rate": 0.01, "adapt_order": "decay-test-add"},
        {"reset": "zero", "order": "use-decay-add", "reset_currents": True, "i_init": 0.1},
        {"reset": "subtract", "signed": True},
    ],
)
@pytest.mark.parametrize(("off", "expected"), [(0.0, True), (1e-6, True), (2e-3, False), (-2e-3, False)])
def test_only_a_potential_within_rounding_of_the_threshold_is_a_tie(
    tmp_path: Path, neuron: object, rules: dict[str, object], off: float, expected: bool
) -> None:
    """Neuron 0's threshold is put beside the highest potential that it reaches; neuron 1's is far off."""
    rng = np.random.default_rng(5)
    weight = rng.normal(0.1, 0.3, (2, 30)).astype(np.float32)
    x = (rng.random((21, 1, 30)) < 0.4).astype(np.uint8)

    def network(threshold: float) -> object:
        node = neuron((2,))  # type: ignore[operator]
        node.v_threshold = np.array([threshold, 1.0])
        nodes = {"input": nir.Input({"input": np.array([30])}), "fc": nir.Linear(weight), "n": node}
        nodes["output"] = nir.Output({"output": np.array([2])})
        return read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "fc", "n", "output"), rules))[0]

    options = RunOptions(record=("spikes", "v"))
    unreached = Reference().run(network(1e9), {"input": x}, options).nodes["n"]["v"][:, 0, 0]  # type: ignore[arg-type]
    t = int(unreached.argmax())
    probed = network(float(unreached[t]) + off)
    recording = Reference().run(probed, {"input": x}, options)  # type: ignore[arg-type]
    assert not recording.spikes("n")[:t, 0, 0].any()
    near = is_tie(probed, {"input": x}, recording, "n", 0, t)  # type: ignore[arg-type]
    assert bool(near[0]) == expected
    assert not near[1]


@pytest.mark.parametrize(("off", "status"), [(0.0, "pass"), (1e-6, "pass"), (1e-2, "fail")])
@pytest.mark.parametrize("threshold", [None, 1.0, 1e9])
def test_values_are_equal_within_what_float32_may_be_off(
    tmp_path: Path, rng: np.random.Generator, off: float, status: str, threshold: float | None
) -> None:
    """Of an integrator, or the potential of neurons that fire, or would if they could."""
    fires = threshold is not None
    ones = np.ones(3)
    li = nir.LI(tau=ones * 1e-3, r=10 * ones, v_leak=0 * ones)
    nodes = {
        "input": nir.Input({"input": np.array([30])}),
        "fc": nir.Linear(rng.normal(0, 0.3, (3, 30)).astype(np.float32)),
        "n": lif((3,), threshold=threshold) if threshold is not None else li,
        "output": nir.Output({"output": np.array([3])}),
    }
    network = read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges(*nodes), {"reset": "subtract"}))[0]
    inputs = {"input": (rng.random((12, 4, 30)) < 0.4).astype(np.uint8)}
    reference = Reference().run(network, inputs, RunOptions(membranes=("n",) if fires else ()))
    key = "v" if fires else "value"
    moved = reference.nodes["n"][key].copy()
    moved[7, 2, 1] += np.float32(off)
    trained = Recording({"n": {**reference.nodes["n"], key: moved}}, {})
    found = reference_equals(network, inputs, reference, trained, read=("n",) if fires else ())
    assert found["status"] == status
    if status == "fail":
        where = found["first_difference"]
        assert (where["what"], where["sample"], where["t"], where["unit"]) == (key, 2, 7, [1])


def test_a_recording_without_the_outputs_does_not_prove_them(fc_model: Path, rng: np.random.Generator) -> None:
    network = read_network(fc_model)[0]
    inputs = {name: (rng.random((8, 3, *shape)) < 0.4).astype(np.uint8) for name, shape in network.inputs.items()}
    reference = Reference().run(network, inputs, RunOptions())
    assert reference_equals(network, inputs, reference, reference)["status"] == "pass"
    hidden = Recording({n: o for n, o in reference.nodes.items() if n not in network.outputs}, {})
    found = reference_equals(network, inputs, reference, hidden)
    assert found["status"] == "not-run"
    assert f"lacks what the model returns ({network.outputs[0]}); equal in spikes of" in found["reason"]
    wrong = Recording({n: {"spikes": 1 - o["spikes"]} for n, o in hidden.nodes.items()}, {})
    broken = reference_equals(network, inputs, reference, wrong)
    assert broken["status"] == "fail"
    assert broken["reason"].startswith("they differ in spikes of 1 of 2 nodes on 3 samples; 1 nodes were not recorded")


@pytest.mark.parametrize(("off", "status"), [(0.0, "pass"), (1e-6, "pass"), (1e-2, "fail")])
def test_a_node_behind_an_integrator_is_replayed_on_its_potential(
    tmp_path: Path, rng: np.random.Generator, off: float, status: str
) -> None:
    ones = np.ones(3)
    li = nir.LI(tau=ones * 1e-3, r=10 * ones, v_leak=0 * ones)
    nodes = {
        "input": nir.Input({"input": np.array([30])}),
        "fc": nir.Linear(rng.normal(0, 0.3, (3, 30)).astype(np.float32)),
        "first": li,
        "fc2": nir.Linear(rng.normal(0, 0.3, (3, 3)).astype(np.float32)),
        "second": li,
        "output": nir.Output({"output": np.array([3])}),
    }
    network = read_network(save_nir(tmp_path / "m.nir", nodes, chain_edges(*nodes), {"reset": "subtract"}))[0]
    inputs = {"input": (rng.random((12, 4, 30)) < 0.4).astype(np.uint8)}
    reference = Reference().run(network, inputs, RunOptions())
    moved = reference.nodes["second"]["value"].copy()
    moved[7, 2, 1] += np.float32(off)
    trained = Recording({"first": reference.nodes["first"], "second": {"value": moved}}, {})
    assert reference_equals(network, inputs, reference, trained)["status"] == status
