"""What backends decide over blocks of samples, and how far their numbers are from the targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.coding.data import Data
from neurodeploy.comparison.answers import Answers, make_answers
from neurodeploy.comparison.vacuous import constant, guessed, silent_or_tied, undecided, unusual_labels
from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.decision import Decision, Settled
from neurodeploy.ir.recording import Recording

COUNT = Decision("count", "out")


def classes(*decided: int, ties: int = 0) -> Recording:
    """Return 3 steps of 4 units whose counts decide so; the first samples have a tie with the last unit."""
    raster = np.zeros((3, len(decided), 4), np.uint8)
    for sample, unit in enumerate(decided):
        raster[0, sample, unit] = 1
        raster[0, sample, 3] = sample < ties or unit == 3
    return Recording({"out": {"spikes": raster}}, {})


def data(n_samples: int, targets: np.ndarray | None = None) -> Data:
    return Data({"in": np.zeros((3, n_samples, 1))}, None, "here", targets)


def test_decisions_are_counted_over_blocks_and_a_backend_may_run_fewer_samples() -> None:
    labels = np.array([0, 1, 2, 2, 0])
    answers = Answers(Settled(COUNT, "--decide"), labels)
    answers.add({"reference": classes(0, 1, 2), "emulator": classes(0, 1, 1, ties=2)}, data(3))
    answers.add({"reference": classes(2, 1), "emulator": classes(2, 0), "lava": classes()}, data(2))
    assert answers.backends == ("reference", "emulator")
    result = answers.result()
    assert result["accuracy"] == {"reference": 4 / 5, "emulator": 4 / 5}
    assert result["accuracy_output"] == "out"
    assert result["accuracy_candidates"] == {}
    assert result["decision"] == {
        "rule": str(COUNT), "because": "--decide", "question": None, "ties": {"reference": 0.0, "emulator": 2 / 5},
    }  # fmt: skip
    detail = result["accuracy_detail"]
    assert (detail["emulator"]["correct"], detail["emulator"]["samples"]) == (4, 5)
    assert detail["emulator"]["mcnemar"] == {"lost": 1, "gained": 1, "p": 1.0}
    assert "mcnemar" not in detail["reference"]
    low, high = detail["reference"]["interval_95"]
    assert low < 0.8 < high
    assert set(answers.result(without=["emulator"])["accuracy"]) == {"reference"}


def test_without_a_rule_each_that_could_be_meant_is_counted() -> None:
    other = Decision("first", "out")
    answers = Answers(Settled(None, "nobody said", (COUNT, other)), np.array([0, 1]))
    answers.add({"reference": classes(0, 2)}, data(2))
    result = answers.result()
    assert answers.of("reference") is None
    assert result["accuracy"] == {}
    assert result["accuracy_candidates"] == {str(rule): {"reference": 0.5} for rule in (COUNT, other)}
    assert result["decision"]["rule"] is None
    assert result["decision"]["question"] == answers.settled.sentence
    unlabelled = Answers(Settled(None, "nobody said", (COUNT,)), None).result()["decision"]
    assert unlabelled["because"] == "nothing is scored: the data has no y"
    assert unlabelled["question"] is None


def test_numbers_are_held_against_targets_of_samples_or_of_rows() -> None:
    values = np.arange(12.0).reshape(3, 2, 2)
    recording = {
        "reference": Recording({"li": {"value": values}}, {}),
        "other": Recording({"n": {"v": values}}, {}),
    }
    by_sample = Answers(Settled(Decision("last", "li"), "--decide"), None, has_targets=True)
    by_sample.add(recording, data(2, values[-1] + 0.5))
    by_row = Answers(Settled(None, "nobody said"), None, row_output="li", has_targets=True)
    by_row.add(recording, data(2, values - 0.25))
    neither = Answers(Settled(None, "nobody said"), None, has_targets=True)
    neither.add(recording, data(2, values[-1]))
    assert neither.result()["regression"] == {}
    for answers, n, error in ((by_sample, 4, 0.5), (by_row, 12, 0.25)):
        assert set(answers.errors) == {"reference"}
        found = answers.result()["regression"]["reference"]
        assert (found["numbers"], found["mean_absolute_error"]) == (n, pytest.approx(error))


def test_a_result_that_means_nothing_is_told_by_its_cause() -> None:
    answers = Answers(Settled(COUNT, "--decide"), np.array([1, 1, 2]))
    answers.add({"reference": classes(1, 1, 0), "emulator": classes(1, 1, 1, ties=3)}, data(3))
    tied = "several classes score highest in every sample on emulator, so all are decided by a tie"
    assert silent_or_tied(answers, {"out": 3}, "emulator", COUNT) == tied
    assert silent_or_tied(answers, {"out": 3}, "reference", COUNT) is None
    assert silent_or_tied(answers, {}, "lava", COUNT) is None
    silent = silent_or_tied(answers, {"out": 0}, "run", COUNT)
    assert silent is None  # it decided nothing at all
    assert undecided(answers, {"emulator": {"out": 3}, "reference": {"out": 3}}) == {"emulator": tied}
    never = undecided(answers, {"emulator": {"out": 3}, "reference": {"out": 0}})["reference"]
    assert never.startswith("output out never fires on reference, so every sample is decided as class 0")
    assert "say --decide max,output=out.v" in never


def test_a_guess_is_no_better_than_the_most_common_label() -> None:
    answers = Answers(Settled(COUNT, "--decide"), np.array([1, 1, 2]))
    answers.add({"reference": classes(1, 1, 0), "emulator": classes(1, 1, 2), "run": classes(0, 0, 2)}, data(3))
    said = guessed(answers, "reference")
    assert said is not None
    assert said.startswith(
        "2 of 3 samples are decided rightly on reference, and always answering class 1 would decide 2"
    )
    assert "labels run from 1 to 2 and none is 0" in said
    assert guessed(answers, "emulator") is None
    assert guessed(answers, "lava") is None
    worse = guessed(answers, "run")
    assert worse is not None
    assert worse.startswith("1 of 3 samples are decided rightly, and")
    assert unusual_labels(Answers(answers.settled, np.array([0, 2]))) is None
    assert unusual_labels(Answers(answers.settled, np.array([], np.int64))) is None


def test_decisions_of_one_class_are_constant() -> None:
    answers = Answers(Settled(COUNT, "--decide"), None)
    answers.add({"reference": classes(1, 1), "emulator": classes(1, 2)}, data(2))
    said = constant(answers, "reference", COUNT)
    assert said == "every sample is decided as class 1 on reference, so decisions that do not change prove nothing"
    assert constant(answers, "emulator", COUNT) is None
    assert constant(answers, "lava", COUNT) is None


@pytest.mark.parametrize(("highest", "is_settled"), [(3, True), (1, False), (2, True)])
def test_an_output_that_can_be_of_groups_is_asked_about(fc_model: Path, highest: int, is_settled: bool) -> None:
    network = read_network(fc_model)[0]  # four units
    x = {"input": np.zeros((3, 2, 12), np.uint8)}
    answers = make_answers(network, Data(x, np.array([0, highest]), "here"), None)
    assert (answers.settled.decision is not None) == is_settled


def test_targets_of_rows_are_held_against_the_only_output_or_the_one_that_decides(fc_model: Path) -> None:
    network = read_network(fc_model)[0]
    x = {"input": np.zeros((3, 2, 12), np.uint8)}
    by_row = Data(x, None, "here", np.zeros((3, 2, 4)))
    assert make_answers(network, by_row, None).row_output == network.outputs[0]
    assert make_answers(network, by_row, "mean").row_output == network.outputs[0]
    assert make_answers(network, Data(x, None, "here", np.zeros((2, 4))), "mean").row_output is None
    with pytest.raises(DeployError, match="y has 5 real numbers per sample or row, but lif2 gives 4"):
        make_answers(network, Data(x, None, "here", np.zeros((3, 2, 5))), None)
