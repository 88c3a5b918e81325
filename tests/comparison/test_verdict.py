"""The verdict: what it judges, what it refuses to judge, and what a CI can require of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from click.testing import CliRunner

import neurodeploy
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.backends.run import run
from neurodeploy.cli.compare import compare as compare_command
from neurodeploy.cli.demo import demo as demo_command
from neurodeploy.cli.run import run as run_command
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import decide
from neurodeploy.comparison.compare import Comparison, compare
from neurodeploy.comparison.verdict import Demands
from neurodeploy.compiler import compile as compile_model
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import program_sha256
from tests.conftest import SHARED, ZERO, chain_edges, lif, save_nir, spikes
from tests.ir.test_decision import small_model

BOTH = ("reference", "emulator")
STEPS, SAMPLES = 20, 40
CASES = SHARED / "cases" / "chip"


def in_turn(n: int = SAMPLES, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes in which input k of 4 fires in samples of class k, and the classes."""
    labels = np.arange(n) % classes
    x = np.zeros((STEPS, n, 4), np.uint8)
    x[:, np.arange(n), labels] = 1
    return x, labels


def model(path: Path, weight: Any, threshold: float = 1.0) -> Path:
    """Write inputs joined to spiking outputs by ``weight``."""
    weight = np.asarray(weight, np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([weight.shape[1]])}),
        "fc": nir.Linear(weight),
        "lif": lif((weight.shape[0],), 0.8, threshold),
        "output": nir.Output({"output": np.array([weight.shape[0]])}),
    }
    return save_nir(path, nodes, chain_edges(*nodes), ZERO)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A model whose output k fires where input k does."""
    return model(tmp_path / "plain.nir", np.eye(4) * 1.5)


def integrator(path: Path, rng: np.random.Generator) -> Path:
    """Write a model that is read as one value."""
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "fc": nir.Linear(rng.normal(0, 0.3, (1, 6)).astype(np.float32)),
        "li": nir.LI(tau=np.full(1, 1e-3), r=np.full(1, 10.0), v_leak=np.zeros(1)),
        "output": nir.Output({"output": np.array([1])}),
    }
    return save_nir(path, nodes, chain_edges(*nodes), {})


def verdict(path: Path, x: np.ndarray, y: np.ndarray | None = None, **options: Any) -> dict[str, Any]:
    return compared(path, x, y, **options).result["verdict"]


def compared(path: Path, x: np.ndarray, y: np.ndarray | None = None, **options: Any) -> Comparison:
    options = {"only": BOTH, "allow_silent": True, **options}
    return compare(path, "loihi2", Data({"input": x}, y, "made"), **options)


def test_accuracy_within_the_tolerance_passes(plain: Path) -> None:
    said = verdict(plain, *in_turn())
    assert said["status"] == "pass"
    assert said["reasons"] == ["accuracy loss: emulator loses 0.00 points of accuracy, 1 are tolerated"]
    assert said["gates"]["accuracy"] == {
        "judged": True, "passed": True, "required": False, "reason": said["reasons"][0].removeprefix("accuracy loss: ")
    }  # fmt: skip
    assert {name for name, gate in said["gates"].items() if not gate["judged"]} == {
        "trained", "lava", "decisions", "values"
    }  # fmt: skip


def test_without_labels_the_decisions_judge(plain: Path) -> None:
    said = verdict(plain, in_turn()[0])
    assert said["status"] == "pass"
    assert said["gates"]["decisions"]["passed"]
    assert said["decisions_changed_percent"] == {"emulator": 0.0}


def lossy(rng: np.random.Generator, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """Return a model that 2-bit weights change, and spikes."""
    return model(tmp_path / "lossy.nir", rng.normal(0, 0.4, (8, 24))), spikes(rng, STEPS, SAMPLES, 24)


def test_decisions_that_change_beyond_the_tolerance_fail(rng: np.random.Generator, tmp_path: Path) -> None:
    path, x = lossy(rng, tmp_path)
    said = verdict(path, x, weight_bits=2)
    share = said["decisions_changed_percent"]["emulator"]
    assert share > 1
    assert said["status"] == "fail"
    assert said["reasons"][0] == (
        f"changed decisions: emulator decides {share:.2f} % of the samples differently, 1 % are tolerated"
    )
    assert verdict(path, x, weight_bits=2, tolerance=share)["status"] == "pass"


def test_several_outputs_are_judged_by_each_rule_that_could_be_meant(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "fa": nir.Linear(np.eye(4, dtype=np.float32) * 1.5),
        "a": lif((4,), 0.5),
        "fb": nir.Linear(np.eye(4, dtype=np.float32)[::-1] * 1.5),
        "b": lif((4,), 0.5),
        "out_a": nir.Output({"output": np.array([4])}),
        "out_b": nir.Output({"output": np.array([4])}),
    }
    edges = [*chain_edges("input", "fa", "a", "out_a"), *chain_edges("input", "fb", "b", "out_b")]
    path = save_nir(tmp_path / "two.nir", nodes, edges, ZERO)
    assert verdict(path, in_turn()[0])["gates"]["decisions"]["passed"]
    said = verdict(path, *in_turn())
    assert said["status"] == "not-judged"
    assert "nothing says how a sample is decided" in said["reasons"][0]
    # Where each rule gives the same verdict, it does not matter which is meant.
    nodes["fb"] = nir.Linear(np.eye(4, dtype=np.float32) * 1.5)
    alike = save_nir(tmp_path / "alike.nir", nodes, edges, ZERO)
    said = verdict(alike, *in_turn())
    assert said["status"] == "pass"
    assert said["gates"]["accuracy"]["reason"].startswith("whichever of count,output=a, count,output=b decides, ")
    silent = verdict(path, 0 * in_turn()[0])
    assert [reason.split(",")[0] for reason in silent["reasons"]] == [
        f"vacuous: output {output} never fires on {name}" for output in "ab" for name in BOTH
    ]


def test_values_that_are_read_are_judged_against_the_reference(rng: np.random.Generator, tmp_path: Path) -> None:
    path, x = integrator(tmp_path / "li.nir", rng), spikes(rng, STEPS, SAMPLES, 6)
    said = verdict(path, x)
    assert said["status"] == "pass"
    error = said["value_error_percent"]["emulator, li"]
    assert 0 < error < 10
    assert said["value_tolerance_percent"] == 10
    tight = verdict(path, x, value_tolerance=error / 2)
    assert tight["status"] == "fail"
    assert f"emulator, li is off by {error:.2f} % of the reference's standard deviation" in tight["reasons"][0]


def test_numbers_made_of_spikes_are_judged_by_their_distance_from_y(rng: np.random.Generator, tmp_path: Path) -> None:
    path, x = lossy(rng, tmp_path)
    rates = run(path, {"input": x}).spikes("lif").mean(axis=0, dtype=float)
    data = Data({"input": x}, None, "made", rates)
    said = compare(path, "loihi2", data, only=BOTH, decide="mean", weight_bits=2).result["verdict"]
    assert said["value_error_percent"]["emulator"] > 10
    assert said["status"] == "fail"
    assert "emulator is further from y than the reference by" in said["reasons"][0]
    assert not said["gates"]["decisions"]["judged"]
    loose = compare(path, "loihi2", data, only=BOTH, decide="mean", weight_bits=2, value_tolerance=100)
    assert loose.passed


@pytest.mark.parametrize(("outputs", "judge"), [(["out", "out.v"], "decisions"), (["out.v"], "values")])
def test_a_membrane_is_judged_where_no_spikes_are_returned(tmp_path: Path, outputs: list[str], judge: str) -> None:
    path = small_model(tmp_path / "m.nir", outputs=outputs)
    gates = verdict(path, in_turn()[0])["gates"]
    assert [name for name, gate in gates.items() if gate["judged"]] == [judge]


def test_a_value_that_never_changes_is_no_pass(rng: np.random.Generator, tmp_path: Path) -> None:
    said = verdict(integrator(tmp_path / "li.nir", rng), np.zeros((STEPS, 3, 6), np.uint8))
    assert said["status"] == "not-judged"
    assert "li has the same value throughout" in said["reasons"][0]


def test_the_reference_alone_judges_nothing(plain: Path) -> None:
    said = verdict(plain, *in_turn(), only=("reference",))
    assert said["status"] == "not-judged"
    assert "no backend that stands for the chip ran" in said["reasons"][0]


@pytest.mark.parametrize("labelled", [True, False])
def test_a_silent_output_is_no_pass(tmp_path: Path, labelled: bool) -> None:
    path = model(tmp_path / "silent.nir", np.eye(4), threshold=1e6)
    x, labels = in_turn()
    result = compared(path, x, 0 * labels if labelled else None).result
    assert result["verdict"]["status"] == "not-judged"
    assert result["verdict"]["reasons"][0].startswith("vacuous: output lif never fires on reference")
    assert result["accuracy"] == {}


def test_a_chip_that_falls_silent_fails(plain: Path) -> None:
    program = compile_model(plain, "loihi2")
    high = replace(program.populations[0], threshold_code=np.full(4, 2**17 - 1))
    said = verdict(plain, *in_turn(), program=replace(program, populations=(high,)))
    assert said["status"] == "fail"
    assert said["accuracy_loss_points"] == {"emulator": 75.0}


def test_a_reference_that_only_guesses_is_no_pass(plain: Path) -> None:
    x, labels = in_turn()
    said = verdict(plain, x, (labels + 1) % 4)
    assert said["status"] == "not-judged"
    assert said["reasons"][0].startswith("vacuous: 0 of 40 samples are decided rightly on reference")


def test_ties_throughout_are_no_pass(tmp_path: Path) -> None:
    path = model(tmp_path / "ties.nir", np.full((4, 4), 1.5))
    said = verdict(path, in_turn()[0])
    assert said["status"] == "not-judged"
    assert "all are decided by a tie" in said["reasons"][0]


def test_unchanged_decisions_of_one_class_are_no_pass(rng: np.random.Generator, tmp_path: Path) -> None:
    weight = rng.normal(0.1, 0.5, (4, 12))
    weight[2] += 1
    path = model(tmp_path / "one.nir", weight)
    said = verdict(path, spikes(rng, STEPS, SAMPLES, 12), weight_bits=2)
    assert said["status"] == "not-judged"
    assert "every sample is decided as class 2 on reference" in said["reasons"][0]


def test_one_class_with_equal_spikes_passes(tmp_path: Path) -> None:
    x = np.ones((STEPS, 3, 1), np.uint8)
    assert verdict(model(tmp_path / "one.nir", [[1.5]]), x)["status"] == "pass"


@pytest.mark.parametrize(
    ("weight", "factor", "said"),
    [
        (0.19, 0.5, r"fires on emulator and never in the reference: hidden [\d,]+ spikes in 40 samples"),
        (0.3, 4, r"fires in the reference and never on emulator: hidden [\d,]+ spikes in 40 samples"),
    ],
)
def test_a_population_that_wakes_or_falls_silent_is_said(
    tmp_path: Path, weight: float, factor: float, said: str
) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "fc": nir.Linear(np.eye(4, dtype=np.float32) * weight),
        "hidden": lif((4,), 0.8),
        "to_lif": nir.Linear(np.full((4, 4), 0.1, np.float32)),
        "lif": lif((4,), 0.8),
        "direct": nir.Linear(np.eye(4, dtype=np.float32) * 1.5),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = [*chain_edges("input", "fc", "hidden", "to_lif", "lif", "output"), *chain_edges("input", "direct", "lif")]
    path = save_nir(tmp_path / "m.nir", nodes, edges, ZERO)
    program = compile_model(path, "loihi2", allow_silent=True)
    codes = {p.name: p.threshold_code for p in program.populations}
    changed = tuple(
        replace(p, threshold_code=(codes["hidden"] * factor).astype(np.int64)) if p.name == "hidden" else p
        for p in program.populations
    )
    data = Data({"input": in_turn()[0]}, in_turn()[1], "made")
    alike, other = (
        compare(path, "loihi2", data, only=BOTH, program=one).result
        for one in (program, replace(program, populations=changed))
    )
    assert not [line for line in alike["warnings"] if "never" in line]
    (line,) = [line for line in other["warnings"] if re.fullmatch(said, line)]
    assert line in other["verdict"]["reasons"]


def test_labels_from_1_are_said(plain: Path) -> None:
    x, labels = in_turn(classes=3)
    result = compared(plain, x, labels + 1).result
    assert "none is 0" in result["warnings"][0]
    assert "subtract 1" in result["verdict"]["reasons"][0]
    with pytest.raises(DeployError, match=r"labels run from 1 to 4.*\n.*\n.*seem to count from 1: subtract 1"):
        compared(plain, x, np.arange(SAMPLES) % 4 + 1)


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        ("trained", "reference == trained is required and could not be judged: no trained recording is given"),
        ("lava", "emulator == lava is required and could not be judged: lava did not run: not asked for"),
        ("values", "value error is required and could not be judged: no output is read as a value"),
    ],
)
def test_a_required_gate_that_cannot_be_judged_fails(plain: Path, gate: str, reason: str) -> None:
    said = verdict(plain, *in_turn(), require=(gate,))
    assert said["status"] == "fail"
    assert reason in said["reasons"]
    assert said["gates"][gate]["required"]


def test_gates_are_required_as_a_text_too(plain: Path) -> None:
    said = verdict(plain, *in_turn(), require="accuracy, trained")
    assert [name for name, gate in said["gates"].items() if gate["required"]] == ["trained", "accuracy"]


def test_required_decisions_are_judged_beside_labels(plain: Path) -> None:
    said = verdict(plain, *in_turn(), require=("accuracy", "decisions"))
    assert said["status"] == "pass"
    assert said["gates"]["decisions"]["passed"]


def test_an_unknown_gate_is_refused_before_anything_runs() -> None:
    with pytest.raises(DeployError, match=r"no gate is called 'foo'\n  where: require\n.*accuracy, decisions, lava"):
        compare("no-such-file.nir", "loihi2", Data({}, None, ""), require=("foo",))


def test_what_left_its_register_stands_in_the_reasons(tmp_path: Path) -> None:
    path = model(tmp_path / "wraps.nir", np.full((4, 8192), 1.0), threshold=100.0)
    x = (np.random.default_rng(7).random((10, 1, 8192)) < 0.9).astype(np.uint8)
    assert "u left its register and wrapped on emulator: lif 40 times in 1 sample" in verdict(path, x)["reasons"]


def command(*arguments: Any) -> tuple[int, str]:
    done = CliRunner().invoke(compare_command, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie outside the repository")
@pytest.mark.parametrize(
    ("case", "name", "options", "said"),
    [
        ("verdict-without-judge", "data", ("--weight-bits", "2"), "verdict: not-judged: vacuous"),
        ("wraps-unsaid", "wraps", (), "u left its register and wrapped on emulator: lif 40 times"),
        ("regression", "data", (), "value error: emulator, li is off by"),
        ("regression", "labelled", (), "value error: emulator, li is off by"),
        ("decision-rule", "first-spike", (), "vacuous: 5 of 10 samples are decided rightly on reference"),
        (
            "decision-rule",
            "membrane-max",
            (),
            "verdict: not-judged: accuracy loss: nothing says how a sample is decided",
        ),
    ],
)
def test_cases_in_which_nothing_was_judged(case: str, name: str, options: tuple[str, ...], said: str) -> None:
    folder = CASES / case
    found = folder / f"{name}.nir"
    path = found if found.exists() else folder / "model.nir"
    code, text = command(
        path, "--dialect", "nir,dt=1,gain=unit", "--target", "loihi2", "--input", folder / f"{name}.npz",
        "--backend", "reference", "--backend", "emulator", *options,
    )  # fmt: skip
    assert said in text
    assert code == 1


def test_a_silent_run_says_so_in_place_of_an_accuracy(tmp_path: Path) -> None:
    path = model(tmp_path / "silent.nir", np.eye(4), threshold=1e6)
    x, labels = in_turn()
    np.savez(tmp_path / "d.npz", x=x, y=0 * labels)
    arguments = [str(path), "--backend", "reference", "--input", str(tmp_path / "d.npz")]
    text = CliRunner().invoke(run_command, arguments).stdout
    assert "not judged: vacuous: output lif never fires" in text
    assert "100" not in text
    found = json.loads(CliRunner().invoke(run_command, [*arguments, "--json"]).stdout)
    assert "accuracy" not in found
    assert "never fires" in found["vacuous"]


def test_a_run_no_better_than_a_guess_says_so(plain: Path, tmp_path: Path) -> None:
    x, labels = in_turn()
    assert (decide(run(plain, {"input": x})) == labels).all()
    np.savez(tmp_path / "d.npz", x=x, y=(labels + 1) % 4)
    done = CliRunner().invoke(run_command, [str(plain), "--backend", "reference", "--input", str(tmp_path / "d.npz")])
    assert "accuracy 0.00 %" in done.stdout
    assert "always answering class 0 would decide 10" in done.stdout


def test_spikes_of_silent_nodes_are_not_said_to_be_shared(tmp_path: Path) -> None:
    path = model(tmp_path / "silent.nir", np.eye(4), threshold=1e6)
    np.savez(tmp_path / "d.npz", x=in_turn()[0])
    code, text = command(
        path, "--target", "loihi2", "--input", tmp_path / "d.npz", "--backend", "reference", "--backend", "emulator"
    )
    assert code == 1
    assert "spikes that emulator shares with reference: lif none" in text
    assert "100.00 %" not in text


class StoppedError(Exception):
    """Ends the demo where it compares."""


@pytest.mark.parametrize("has_lava", [True, False])
def test_the_demo_requires_what_its_machine_can_judge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_lava: bool
) -> None:
    asked: dict[str, Any] = {}

    def stop(*_: Any, **options: Any) -> None:
        asked.update(options)
        raise StoppedError

    monkeypatch.setattr("neurodeploy.comparison.compare.compare", stop)
    monkeypatch.setattr(Lava, "missing", lambda _: None if has_lava else "Lava is not here.")
    done = CliRunner().invoke(demo_command, ["--output", str(tmp_path)])
    assert isinstance(done.exception, StoppedError)
    assert asked["require"] == (("trained", "lava", "accuracy") if has_lava else ("trained", "accuracy"))
    assert ("not required, because it cannot run here: lava (Lava is not here.)" in done.stdout) is not has_lava


@pytest.mark.parametrize("tolerance", ["5", None, float("nan")])
def test_a_tolerance_that_is_no_number_is_refused(tolerance: Any) -> None:
    with pytest.raises(DeployError, match="must be from 0 to 100"):
        Demands(tolerance)


def test_one_backend_and_a_recordings_path_are_taken_as_they_are(plain: Path, tmp_path: Path) -> None:
    x, y = in_turn()
    assert verdict(plain, x, y, only="emulator")["status"] == "not-judged"
    with pytest.raises(DeployError, match="recording"):
        verdict(plain, x, y, trained=tmp_path / "none.npz")


@pytest.mark.parametrize("model", [None, b"m.nir", 5])
def test_what_is_no_model_is_refused(model: Any) -> None:
    for verb in (neurodeploy.inspect, lambda given: neurodeploy.compile(given, "loihi2")):
        with pytest.raises(DeployError, match="a model is needed, but this is a"):
            verb(model)


def test_why_a_verdict_is_vacuous_is_said_once_for_each_backend(plain: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "silent.npz", x=np.zeros((STEPS, 8, 4), np.uint8), y=np.arange(8) % 4)
    backends = [part for name in BOTH for part in ("--backend", name)]
    _, said = command(plain, "--target", "loihi2", "--input", tmp_path / "silent.npz", *backends)
    for name in BOTH:
        assert said.count(f"never fires on {name}") == 1


def test_calibration_data_reach_the_compiler(rng: np.random.Generator, tmp_path: Path) -> None:
    weight = rng.normal(0, 0.6, (4, 4))
    path, others = model(tmp_path / "m.nir", weight), (rng.random((STEPS, 30, 4)) < 0.4).astype(np.uint8)
    x, labels = in_turn()
    calibrated = compared(path, x, labels, calibrate=Data({"input": others}, None, "others"), weight_bits=3)
    expected = compile_model(path, "loihi2", calibrate=Data({"input": others}, None, "others"), weight_bits=3)
    assert program_sha256(calibrated.program) == program_sha256(expected)
    assert program_sha256(expected) != program_sha256(compile_model(path, "loihi2", weight_bits=3))
