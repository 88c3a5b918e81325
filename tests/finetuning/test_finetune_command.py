"""``neurodeploy finetune`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from neurodeploy.cli.main import cli
from neurodeploy.compiler import compile
from neurodeploy.ir.plan import load_plan
from tests.finetuning.test_finetune import N_CLASSES, dense


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    labels = np.arange(40) % N_CLASSES
    rates = rng.uniform(0, 1, (N_CLASSES, 10))
    np.savez(tmp_path / "train.npz", x=rates[labels].astype(np.float32), y=labels)
    return tmp_path / "train.npz"


def arguments(model: Path, data: Path) -> list[str]:
    encoding = ["--encode", "rate,steps=8,scale=1"]
    return ["finetune", str(model), "--data", str(data), *encoding, "--target", "loihi2", "--epochs", "2"]


def test_command_writes_a_model_and_the_plan_that_compiles_it(
    tmp_path: Path, rng: np.random.Generator, data: Path
) -> None:
    tuned, plan = tmp_path / "tuned.nir", tmp_path / "tuned.yaml"
    given = [*arguments(dense(tmp_path / "model.nir", rng), data), "--weight-bits", "ternary"]
    done = CliRunner().invoke(cli, [*given, "-o", str(tuned), "--plan-output", str(plan)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "steps per second" in done.output and "trained: fc1, fc2" in done.output
    program = compile(tuned, "loihi2", plan=load_plan(plan))
    assert {int(code) for p in program.projections for code in np.unique(p.weight)} <= {-128, 0, 128}


def test_command_takes_the_plan_that_it_wrote(tmp_path: Path, rng: np.random.Generator, data: Path) -> None:
    given = arguments(dense(tmp_path / "model.nir", rng), data)
    plan = tmp_path / "first.yaml"
    first = [*given, "--weight-bits", "4", "-o", str(tmp_path / "first.nir"), "--plan-output", str(plan)]
    assert CliRunner().invoke(cli, first, catch_exceptions=False).exit_code == 0
    second = [*given, "--plan", str(plan), "-o", str(tmp_path / "second.nir"), "--json"]
    done = CliRunner().invoke(cli, second, catch_exceptions=False)
    assert json.loads(done.stdout)["trained"] == ["fc1", "fc2"]
