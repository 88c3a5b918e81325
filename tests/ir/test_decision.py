"""What decides a sample: said, written in the file, plain, or asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

import neurodeploy
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import Pairs, decide, scores, winners
from neurodeploy.comparison.compare import compare
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.decision import Decision, parse_decision, settle_decision
from neurodeploy.ir.recording import Recording
from tests.conftest import DT, chain_edges, lif, spikes


def small_model(path: Path, *, spiking: bool = True, units: int = 4, **metadata: Any) -> Path:
    """4 inputs, each to ``units / 4`` outputs of its own."""
    tau = np.full(units, DT / 0.2)
    node = lif((units,), 0.8) if spiking else nir.LI(tau=tau, r=np.full(units, 1 / 0.2), v_leak=np.zeros(units))
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "fc": nir.Linear(np.repeat(np.eye(4), units // 4, axis=0).astype(np.float32) * 1.5),
        "out": node,
        "output": nir.Output({"output": np.array([units])}),
    }
    ours = {"dialect": "snntorch", "dt": DT, "rules": {"reset": "zero"}, **metadata}
    graph = nir.NIRGraph(nodes, chain_edges(*nodes), metadata={"neurodeploy": json.dumps(ours)}, type_check=False)
    nir.write(path, graph)
    return path


def in_turn(samples: int = 8) -> Data:
    """Spikes of input k for class k."""
    labels = np.arange(samples) % 4
    x = np.zeros((10, samples, 4), np.uint8)
    x[:, np.arange(samples), labels] = 1
    return Data({"input": x}, labels, "made")


@pytest.mark.parametrize("text", ["count", "max,output=lif2.v", "sum,groups=10", "last,groups=2,output=a.b"])
def test_a_decisions_text_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_decision(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [("most", "no rule decides by 'most'"), ("max,group=2", "no option 'group=2'"), ("max,groups=0", "groups=0"),
     ("max,output=", "no option 'output='"), ("max,groups=2,groups=4", "no option 'groups=4'")],
)  # fmt: skip
def test_a_decision_that_says_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        parse_decision(text)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("count", [1, 0]), ("first", [0, 0]), ("sum", [1, 0]), ("max", [0, 0]), ("last", [1, 0]),
     ("count,groups=2", [0, 0]), ("first,groups=2", [0, 0])],
)  # fmt: skip
def test_each_rule_decides_as_it_says(said: str, expected: list[int]) -> None:
    raster = np.zeros((5, 2, 4), np.uint8)
    raster[0, 0, 0] = raster[1:, 0, 1] = raster[3, 0, 2] = 1
    found, tied = winners(scores(Recording({"out": {"spikes": raster}}, {}), parse_decision(f"{said},output=out")))
    assert found.tolist() == expected
    assert tied[1]


def test_groups_are_neighbouring_units_whose_values_are_added() -> None:
    values = np.array([[[5.0, 0.0, 3.0, 3.0]], [[0.0, 0.0, 0.0, 1.0]]])
    recording = Recording({"li": {"value": values}}, {"outputs": ["li"]})
    assert scores(recording, Decision("max", "li", 2)).tolist() == [[5.0, 6.0]]
    assert decide(recording, Decision("mean", "li")).tolist() == [0]


def test_register_units_are_read_in_volts() -> None:
    recording = Recording(
        {"li": {"value": np.full((1, 1, 2), 640, np.int32)}}, {"units": {"li": {"unit": "V", "scale": 64.0}}}
    )
    assert recording.values("li").tolist() == [[[10.0, 10.0]]]
    assert scores(recording, Decision("last", "li")).tolist() == [[10.0, 10.0]]


def test_values_are_not_scored_by_a_rule_that_nobody_chose() -> None:
    recording = Recording({"li": {"value": np.ones((1, 1, 2))}}, {"outputs": ["li"]})
    with pytest.raises(DeployError, match="nothing says which of the outputs li decides"):
        decide(recording)


def test_spikes_of_one_output_are_counted_where_nothing_is_said(tmp_path: Path) -> None:
    settled = settle_decision(read_network(small_model(tmp_path / "m.nir"))[0], None, 4)
    assert str(settled.decision) == "count,output=out"
    assert settled.because == "no rule in the file: spike counts"


def test_what_is_said_comes_before_the_file_and_the_file_before_the_plain_case(tmp_path: Path) -> None:
    network = read_network(small_model(tmp_path / "m.nir", decision="first,output=out"))[0]
    assert str(settle_decision(network).decision) == "first,output=out"
    assert str(settle_decision(network, "max,output=out.v").decision) == "max,output=out.v"


@pytest.mark.parametrize(
    ("options", "candidates"),
    [
        ({"outputs": ["out", "out.v"]}, ["count,output=out", "sum,output=out.v"]),
        ({"spiking": False}, ["sum,output=out", "max,output=out", "last,output=out"]),
        ({"units": 12}, ["count,output=out", "count,groups=4,output=out"]),
    ],
)
def test_it_asks_where_several_rules_are_plausible(
    tmp_path: Path, options: dict[str, Any], candidates: list[str]
) -> None:
    settled = settle_decision(read_network(small_model(tmp_path / "m.nir", **options))[0], None, 4)
    assert settled.decision is None
    assert set(candidates) <= {str(candidate) for candidate in settled.candidates}
    assert all(f"--decide {candidate}" in settled.sentence for candidate in candidates)
    with pytest.raises(DeployError, match="nothing says how a sample is decided"):
        settled.chosen()


@pytest.mark.parametrize(
    ("said", "message"),
    [("count,output=lif9", "no node 'lif9'"), ("first,output=out.v", "'first' needs spikes"),
     ("count,groups=3,output=out", "4 units of out cannot be divided into 3 equal groups")],
)  # fmt: skip
def test_a_decision_that_the_model_does_not_allow_is_refused(tmp_path: Path, said: str, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        settle_decision(read_network(small_model(tmp_path / "m.nir"))[0], said)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [({"decision": "best"}, "no rule decides by 'best'"), ({"outputs": ["x.v"]}, "no node 'x.v'"),
     ({"outputs": "out"}, "outputs are 'out'")],
)  # fmt: skip
def test_metadata_that_name_no_decision_are_refused(tmp_path: Path, metadata: Any, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        read_network(small_model(tmp_path / "m.nir", **metadata))


def test_a_program_keeps_the_decision_and_what_the_model_returns(tmp_path: Path) -> None:
    model = small_model(tmp_path / "m.nir", decision="max,output=out.v", outputs=["out", "out.v"])
    save_program(neurodeploy.compile(model, "loihi2"), tmp_path / "p.npz")
    program = load_program(tmp_path / "p.npz")
    assert (program.decision, program.readouts) == (Decision("max", "out.v"), ("out", "out.v"))


def test_the_membrane_that_decides_is_recorded_unasked(tmp_path: Path) -> None:
    model = small_model(tmp_path / "m.nir", decision="max,output=out.v")
    for subject, backend in ((model, "reference"), (neurodeploy.compile(model, "loihi2"), "emulator")):
        recording = neurodeploy.run(subject, in_turn().x, backend=backend)
        assert "v" in recording.nodes["out"]
        assert recording.meta["decision"] == "max,output=out.v"
        assert recording.values("out", "v").max() == pytest.approx(1.5, rel=0.01) or backend == "emulator"


def test_compare_asks_and_leaves_accuracy_empty(tmp_path: Path) -> None:
    model = small_model(tmp_path / "m.nir", units=12)
    result = compare(model, "loihi2", in_turn(), only=("reference", "emulator")).result
    assert result["accuracy"] == {}
    assert "--decide count,groups=4,output=out" in result["decision"]["question"]
    assert result["accuracy_candidates"]["count,groups=4,output=out"] == {"reference": 1.0, "emulator": 1.0}
    chosen = compare(model, "loihi2", in_turn(), only=("reference", "emulator"), decide="count,groups=4").result
    assert chosen["accuracy"] == {"reference": 1.0, "emulator": 1.0}
    assert chosen["decision"]["rule"] == "count,groups=4,output=out"
    assert chosen["decision"]["ties"] == {"reference": 0.0, "emulator": 0.0}


def test_numbers_are_held_against_their_targets(tmp_path: Path) -> None:
    model = small_model(tmp_path / "m.nir", spiking=False)
    data = in_turn()
    exact = neurodeploy.run(model, data.x).nodes["out"]["value"].astype(np.float64)
    by_row = compare(model, "loihi2", Data(data.x, None, "made", exact), only=("reference", "emulator")).result
    assert by_row["regression"]["reference"]["mean_squared_error"] == 0
    assert by_row["regression"]["emulator"]["correlation"] > 0.999
    assert by_row["values"]["emulator"]["out"]["mean_absolute_error"] < 0.01
    last = Data(data.x, None, "made", exact[-1])
    result = compare(model, "loihi2", last, only=("reference",), decide="last").result
    assert result["regression"]["reference"]["correlation"] == 1.0
    asked = compare(model, "loihi2", last, only=("reference",)).result
    assert asked["regression"] == {}
    assert "--decide last,output=out" in asked["decision"]["question"]
    with pytest.raises(DeployError, match="y has 1 real number per sample or row, but out gives 4"):
        compare(model, "loihi2", Data(data.x, None, "made", np.zeros(8)), only=("reference",), decide="last")


def test_errors_of_blocks_add_up(rng: np.random.Generator) -> None:
    wanted, found = rng.normal(3, 1, 50), rng.normal(3, 1, 50)
    pairs = Pairs()
    for part in (slice(0, 20), slice(20, 50)):
        pairs.add(wanted[part], found[part])
    result = pairs.result()
    assert result["mean_squared_error"] == pytest.approx(np.mean((wanted - found) ** 2))
    assert result["mean_absolute_error"] == pytest.approx(np.abs(wanted - found).mean())
    assert result["correlation"] == pytest.approx(np.corrcoef(wanted, found)[0, 1])
    assert Pairs().result()["correlation"] is None


def test_potentials_of_a_scale_by_channel_do_not_decide(fc_model: Path, rng: np.random.Generator) -> None:
    said, data = "max,output=lif2.v", Data({"input": spikes(rng, 8, 5, 12)}, np.arange(5) % 4, "made")
    program = neurodeploy.compile(fc_model, "loihi2", per_channel=True, allow_silent=True)
    with pytest.raises(DeployError, match="each channel of lif2 has a scale of its own"):
        compare(fc_model, "loihi2", data, program=program, only=("emulator",), decide=said)
    with pytest.raises(DeployError, match="each channel of lif2 has a scale of its own"):
        neurodeploy.run(program, data.x, backend="emulator", decide=said)
    shared = neurodeploy.compile(fc_model, "loihi2", per_channel=True, allow_silent=True, decide=said)
    assert "v" in neurodeploy.run(shared, data.x, backend="emulator").nodes["lif2"]
