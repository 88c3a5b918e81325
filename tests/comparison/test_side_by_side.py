"""Several chips side by side: each as in a comparison of its own, and a refusal in the place of what refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy
import neurodeploy.coding.data
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import decide
from neurodeploy.comparison.side_by_side import SideBySide
from neurodeploy.compiler import compile_with_plan
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.files import to_json
from neurodeploy.report.json_file import comparison_schema
from neurodeploy.shipped import shipped_folder
from tests.conftest import small_chip, spikes

BOTH = ("reference", "emulator")


def chip_of(folder: Path, name: str, lines: str = "") -> Path:
    """Write a chip after Loihi 1, which differs in some limits."""
    (folder / f"{name}.toml").write_text(f'extends = "loihi1"\ntitle = "Chip {name}"\n[limits]\ncores = 1\n{lines}')
    return folder / f"{name}.toml"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return chip_of(tmp_path, "tiny", "neurons_per_core = 8\n")


@pytest.fixture
def smaller(tmp_path: Path) -> Path:
    return chip_of(tmp_path, "smaller", "neurons_per_core = 4\n")


@pytest.fixture
def data(rng: np.random.Generator, fc_model: Path) -> Data:
    x = spikes(rng, 20, 40, 12)
    return Data({"input": x}, decide(neurodeploy.run(fc_model, {"input": x})), "made")


def side_by_side(model: Path, data: Any, *targets: Any, **options: Any) -> SideBySide:
    return neurodeploy.compare_targets(
        model, targets, data, **{"only": BOTH, "allow_silent": True, "tolerance": 100, **options}
    )


def shipped(name: str, *targets: str | Path) -> SideBySide:
    folder = shipped_folder("models") / name
    return neurodeploy.compare_targets(
        folder / "model.nir", targets, folder / "test.npz", trained=folder / "trained.npz", only=BOTH
    )


def broken(result: dict[str, Any]) -> list[str]:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(comparison_schema())
    return [error.message for error in validator.iter_errors(json.loads(to_json(result)))]


@pytest.mark.parametrize("targets", [("loihi1", "loihi2"), ("loihi2", "loihi1")])
def test_each_chip_is_as_in_a_comparison_of_its_own(targets: tuple[str, ...]) -> None:
    side = shipped("digits-fc", *targets)
    folder = shipped_folder("models") / "digits-fc"
    assert tuple(side.comparisons) == tuple(side.result["targets"]) == tuple(side.result["summary"]) == targets
    for target in targets:
        alone = neurodeploy.compare(
            folder / "model.nir", target, folder / "test.npz", trained=folder / "trained.npz", only=BOTH
        )
        assert side.result["targets"][target] == alone.result
    assert side.passed
    assert side.result["equalities"]["reference_trained"]["status"] == "pass"


def test_the_reference_runs_once_for_all_chips(fc_model: Path, data: Data) -> None:
    told: list[str] = []
    side = side_by_side(fc_model, data, "loihi1", "loihi2", progress=lambda name, done, total: told.append(name))
    one, two = (comparison.recordings for comparison in side.comparisons.values())
    assert one["reference"] is two["reference"]
    assert one["emulator"] is not two["emulator"]
    assert set(told) == {"reference", "loihi1 emulator", "loihi2 emulator"}


def test_blocks_of_samples_give_what_the_whole_gives(
    fc_model: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = side_by_side(fc_model, data, "loihi1", "loihi2", weight_bits=2)
    monkeypatch.setattr(neurodeploy.coding.data, "BLOCK_BYTES", 10_000)
    parts = side_by_side(fc_model, data, "loihi1", "loihi2", weight_bits=2)
    assert len(parts.comparisons["loihi1"].shown) < data.n_samples
    assert parts.result == whole.result


@pytest.mark.parametrize("first", [True, False])
def test_a_chip_that_refuses_is_a_column_with_its_reasons(fc_model: Path, data: Data, tiny: Path, first: bool) -> None:
    side = side_by_side(fc_model, data, *((tiny, "loihi2") if first else ("loihi2", tiny)))
    assert list(side.comparisons) == ["loihi2"]
    what = "the network does not fit one Chip tiny chip (neurons: 13 needed, 8 available)"
    assert [refusal["what"] for refusal in side.result["targets"]["tiny"]["refused"]] == [what]
    assert side.result["summary"]["tiny"]["status"] == "refused"
    assert f"tiny: refused: {what}" in side.result["verdict"]["reasons"]
    assert side.result["verdict"]["status"] == "fail"
    assert not side.passed
    assert side.refusal() is None
    assert broken(side.result) == []


def test_if_every_chip_refuses_all_reasons_are_said(fc_model: Path, data: Data, tiny: Path, smaller: Path) -> None:
    side = side_by_side(fc_model, data, tiny, smaller)
    assert not side.comparisons
    assert list(side.refusals) == ["tiny", "smaller"]
    said = side.refusal()
    assert said is not None
    assert "tiny: the network does not fit one Chip tiny chip (neurons: 13 needed, 8 available)" in said.what
    assert "smaller: the network does not fit one Chip smaller chip (neurons: 13 needed, 4 available)" in said.what
    assert said.fix.count("Use a smaller network") == 1
    assert side.result["equalities"]["reference_trained"]["status"] == "not-run"
    assert broken(side.result) == []


def test_if_every_chip_refuses_an_option_it_is_named(fc_model: Path, data: Data) -> None:
    said = side_by_side(fc_model, data, "loihi1", "loihi2", weight_bits=9).refusal()
    assert said is not None
    assert said.where == "--weight-bits"
    assert "loihi2: --weight-bits is 9; Intel Loihi 2 stores 1 to 8 bits" in said.what


def test_a_plan_for_one_of_the_chips_is_refused_by_the_other(fc_model: Path, data: Data) -> None:
    plan = compile_with_plan(fc_model, "loihi1", allow_silent=True).plan
    side = side_by_side(fc_model, data, "loihi1", "loihi2", plan=plan)
    assert list(side.comparisons) == ["loihi1"]
    assert "the plan is for target 'loihi1', not for 'loihi2'" in side.refusals["loihi2"].what


def test_the_emulator_is_the_vendors_simulator_on_each_chip() -> None:
    if (reason := Lava().missing()) is not None:
        pytest.skip(reason)
    folder = shipped_folder("models") / "digits-fc"
    side = neurodeploy.compare_targets(
        folder / "model.nir",
        ["loihi1", "loihi2"],
        folder / "test.npz",
        only=("emulator", "lava"),
        lava_samples=2,
        tolerance=100,
    )
    found = {name: chip["equalities"]["emulator_lava"] for name, chip in side.result["summary"].items()}
    assert found == {"loihi1": "pass", "loihi2": "pass"}


def test_what_all_refuse_in_the_same_words_is_about_no_chip(fc_model: Path, data: Data) -> None:
    with pytest.raises(DeployError, match="rounding is 'nearly', but there is no such method"):
        side_by_side(fc_model, data, "loihi1", "loihi2", rounding="nearly")


def test_a_chip_that_refuses_the_data_when_it_runs_is_a_column(fc_model: Path, data: Data, tmp_path: Path) -> None:
    narrow = tmp_path / "narrow.toml"
    narrow.write_text('extends = "loihi2"\ntitle = "Narrow"\n[neuron]\nspikes_per_step_max = 1\n')
    far = Data({"input": 100_000 * data.x["input"].astype(np.float32)}, data.labels, "made")
    options: dict[str, Any] = {"message_bits": 8, "input_scale": 1.0, "input_range": {"input": (0.0, 1.0)}}
    side = side_by_side(fc_model, far, narrow, "loihi1", **options)
    assert "message bits at an input scale of 1 hold only -128 to 127" in side.refusals["narrow"].what
    assert side.refusals["loihi1"].what == "--message-bits is 8, but Intel Loihi takes spikes only"


def test_a_backend_that_is_missing_ends_the_run(fc_model: Path, data: Data) -> None:
    with pytest.raises(BackendError, match="backend 'loihi' cannot run here"):
        side_by_side(fc_model, data, "loihi1", "loihi2", only=("loihi",))


@pytest.mark.parametrize("targets", [("loihi2", "loihi2"), ("loihi2", neurodeploy.load_target("loihi2"))])
def test_two_chips_of_one_name_are_refused(fc_model: Path, data: Data, targets: tuple[Any, ...]) -> None:
    with pytest.raises(DeployError, match="several chips are called loihi2"):
        side_by_side(fc_model, data, *targets)


def test_no_chip_is_refused(fc_model: Path, data: Data) -> None:
    with pytest.raises(DeployError, match="no chip is given"):
        side_by_side(fc_model, data)


def test_files_that_cannot_be_read_are_no_chips_refusal(fc_model: Path, data: Data, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("populations: [")
    with pytest.raises(DeployError, match=r"where: .*plan.yaml"):
        side_by_side(fc_model, data, "loihi1", "loihi2", plan=tmp_path / "plan.yaml")


def test_one_chip_may_be_given_alone(fc_model: Path, data: Data) -> None:
    side = neurodeploy.compare_targets(fc_model, "loihi2", data, only=BOTH, allow_silent=True, tolerance=100)
    assert list(side.comparisons) == ["loihi2"]
    assert repr(side) == "<SideBySide: verdict pass on loihi2>"


def test_used_and_available_of_each_limit_are_told(fc_model: Path, data: Data, tmp_path: Path) -> None:
    small = small_chip(tmp_path, neurons_per_core=20, synapse_bytes_per_core=400)
    side = side_by_side(fc_model, data, small, "loihi1")
    fit = side.result["summary"]["small"]["fit"]
    weights = sum(int(np.count_nonzero(p.weight)) for p in side.comparisons["small"].program.projections)
    assert [(use["limit"], use["used"], use["available"]) for use in fit] == [
        ("neurons", 13, 20), ("bytes of synapses", weights, 400), ("cores", 1, 1)
    ]  # fmt: skip
    assert [use["is_least"] for use in fit] == [False, False, True]


def test_what_does_not_fit_and_is_allowed_is_told(fc_model: Path, data: Data, tiny: Path) -> None:
    side = side_by_side(fc_model, data, tiny, "loihi2", allow_oversize=True)
    fit = {use["limit"]: use for use in side.result["summary"]["tiny"]["fit"]}
    assert not fit["neurons"]["fits"]
    assert (fit["cores"]["used"], fit["cores"]["available"], fit["cores"]["fits"]) == (2, 1, False)
    assert fit["bytes of synapses"]["fits"]
    assert broken(side.result) == []


def test_energy_is_the_chips_own_or_the_statement_why_there_is_none() -> None:
    summary = shipped("digits-rows", "loihi2", "loihi1").result["summary"]
    own, none = summary["loihi1"]["energy"], summary["loihi2"]["energy"]
    assert 0 < own["low_j"] < own["high_j"]
    assert own["statement"] is None
    assert none["low_j"] is none["high_j"] is None
    assert "No figure of Loihi 2 is printed" in none["statement"]


def test_the_worst_chip_is_the_verdict(fc_model: Path, data: Data, tmp_path: Path) -> None:
    coarse = tmp_path / "coarse.toml"
    coarse.write_text('extends = "loihi1"\ntitle = "Coarse"\n[number_formats]\nweight_bits_max = 2\n')
    side = side_by_side(fc_model, data, "loihi2", coarse, tolerance=5)
    status = {name: chip["status"] for name, chip in side.result["summary"].items()}
    assert status == {"loihi2": "pass", "coarse": "fail"}
    assert side.result["verdict"]["status"] == "fail"
    assert side.result["summary"]["coarse"]["accuracy_loss_points"]["emulator"] > 5
    assert broken(side.result) == []


@pytest.mark.parametrize(
    "path",
    [
        ("targets",), ("summary",), ("equalities",), ("verdict",), ("provenance", "data_sha256"), ("verdict", "status"),
        ("summary", "loihi2", "fit"), ("summary", "loihi2", "energy", "statement"), ("targets", "loihi2", "verdict"),
        ("targets", "tiny", "refused"), ("nodes",), ("format",),
    ],
    ids=".".join,
)  # fmt: skip
def test_the_schema_catches_a_missing_key(fc_model: Path, data: Data, tiny: Path, path: tuple[str, ...]) -> None:
    result = json.loads(to_json(side_by_side(fc_model, data, "loihi2", tiny).result))
    assert broken(result) == []
    place = result
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    assert broken(result)
