"""``neurodeploy inspect``: what it prints, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from neurodeploy.cli.inspect import inspect
from neurodeploy.errors import DeployError
from tests.conftest import spikes
from tests.inspection.conftest import NORSE, model, neuron


def said(*arguments: object) -> Result:
    return CliRunner().invoke(inspect, [str(argument) for argument in arguments])


def test_a_sound_model_exits_with_0(fc_model: Path) -> None:
    done = said(fc_model)
    assert done.exit_code == 0
    assert "findings: none" in done.stdout
    assert "in a step of 0.0001 s: decay_mem 0.9" in done.stdout


def test_findings_exit_with_1_and_are_printed_with_value_and_fix(tmp_path: Path) -> None:
    done = said(model(tmp_path, neuron(2, 1e-5)), "--dialect", NORSE)
    assert done.exit_code == 1
    assert "warning tau-units neuron: tau is 1000 times too small" in done.stdout
    assert "value: 1e-05 s" in done.stdout
    assert "fix:   --fix multiplies it by 1000" in done.stdout


def test_an_open_question_exits_with_1(tmp_path: Path) -> None:
    done = said(model(tmp_path, neuron(2, 1e-5)), "--json")
    assert done.exit_code == 1
    assert "It can be norse" in json.loads(done.stdout)["question"]
    done = said(model(tmp_path, neuron(2, 1e-5)), "--dialect", "norse", "--json")
    assert done.exit_code == 1
    assert "v_reset" in json.loads(done.stdout)["question"]


def test_a_fix_leaves_no_findings_and_exits_with_0(tmp_path: Path) -> None:
    fixed = tmp_path / "fixed.nir"
    done = said(model(tmp_path, neuron(2, 1e-5)), "--dialect", NORSE, "--fix", "-o", fixed, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["findings"] == []
    assert said(fixed).exit_code == 0


def test_data_show_activity(fc_model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    data = tmp_path / "x.npz"
    np.savez(data, x=spikes(rng, 30, 4, 12))
    done = said(fc_model, "--input", data)
    assert "per neuron and step; of 9 neurons" in done.stdout


@pytest.mark.parametrize("arguments", [["--fix"], ["-o", "fixed.nir"]])
def test_fix_and_its_file_go_together(fc_model: Path, arguments: list[str]) -> None:
    with pytest.raises(DeployError, match="fix and -o go together"):
        CliRunner().invoke(inspect, [str(fc_model), *arguments], catch_exceptions=False)
