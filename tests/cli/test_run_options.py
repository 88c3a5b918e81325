"""What ``neurodeploy run`` refuses and says beyond the main job."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from neurodeploy.backends.run import run as run_backend
from neurodeploy.cli.run import run
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.families.program_file import save_program
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(run, [str(argument) for argument in arguments])


@pytest.fixture
def program() -> Program:
    """A counting neuron, an integrator, and biases that take u and v out of their registers."""
    codes: dict[str, Any] = {"du": 0, "dv": 0, "threshold_code": 100, "bias_mantissa": 4095, "bias_exponent": 7}
    rest: dict[str, Any] = {"u_init": 2**23, "v_init": 0, "latency": 0, "unit": 1.0}
    counting = NeuronModel(reset="subtract", max_spikes=2)
    populations = (
        LoihiPopulation("count", (1,), **codes, **rest, model=counting),
        LoihiPopulation("sum", (1,), **codes, **rest, model=NeuronModel(fires=False)),
    )
    joins = tuple(CodedProjection("in", name, [[254]], 7, 8, "mixed", 1) for name in ("count", "sum"))
    return Program("loihi2", "lava", {"in": (1,)}, populations, joins, ("sum",), 1e-3, "nir", {})


@pytest.fixture
def files(program: Program, tmp_path: Path) -> tuple[Path, Path]:
    save_program(program, tmp_path / "p.npz")
    np.savez(tmp_path / "x.npz", x=np.ones((20, 2, 1), np.uint8))
    return tmp_path / "p.npz", tmp_path / "x.npz"


@pytest.mark.parametrize("backend", ["emulator", "reference"])
def test_a_time_limit_is_refused_where_nothing_can_be_ended(program: Program, backend: str) -> None:
    x = {"in": np.ones((20, 2, 1), np.uint8)}
    with pytest.raises(DeployError, match=rf"{backend}.*no time limit\n  where: time_limit\n.*only lava and loihi"):
        run_backend(program, x, backend=backend, options=RunOptions(time_limit=5))


def test_the_time_limit_is_refused_on_the_command_line(files: tuple[Path, Path]) -> None:
    done = invoke(files[0], "--backend", "emulator", "--input", files[1], "--time-limit", "5")
    assert isinstance(done.exception, DeployError)
    assert "takes no time limit" in str(done.exception)


def test_help_names_all_backends_and_what_was_not_run_on_hardware() -> None:
    text = " ".join(invoke("--help").stdout.split())
    for name in ("reference", "emulator", "lava", "loihi"):
        assert name in text
    assert "not run on hardware" in text


def test_custom_neurons_and_full_registers_are_said(files: tuple[Path, Path]) -> None:
    done = invoke(files[0], "--backend", "emulator", "--input", files[1], "--record", "v")
    assert done.exit_code == 0, done.output
    assert "custom neurons (simulator only): count" in done.stderr
    assert re.search(r"  u left its register and wrapped: \d+ times \(u_wraps\)\n", done.stdout)
    assert re.search(r"  v was clipped at the end of its register: \d+ times \(v_clips\)\n", done.stdout)
    assert "sum: values of" in done.stdout


def test_json_holds_custom_neurons_and_what_left_its_register(files: tuple[Path, Path]) -> None:
    done = invoke(files[0], "--backend", "emulator", "--input", files[1], "--json")
    summary = json.loads(done.stdout)
    assert summary["custom_neurons"] == ["count"]
    assert summary["u_wraps"] > 0
    assert summary["v_clips"] > 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--dialect", "norse"), "a dialect says how a NIR file is read"),
        (("--device", "cuda"), "'emulator' cannot be sent to the device 'cuda'"),
    ],
)
def test_what_a_program_would_pass_over_is_refused(
    files: tuple[Path, Path], options: tuple[str, str], told: str
) -> None:
    program, data = files
    done = invoke(program, "--backend", "emulator", "--input", data, *options)
    assert isinstance(done.exception, DeployError)
    assert told in str(done.exception)


def test_the_reference_has_no_integer_arithmetic_to_choose(program: Program) -> None:
    x = {"in": np.ones((20, 2, 1), np.uint8)}
    with pytest.raises(DeployError, match="computes in float"):
        run_backend(program, x, backend="reference", options=RunOptions(arithmetic="lava"))


@pytest.mark.parametrize("size", [0.8, 3.0])
def test_graded_input_that_rounding_changes_is_said(fc_model: Path, tmp_path: Path, size: float) -> None:
    save_program(compile(fc_model, "loihi2", message_bits=8, allow_silent=True), tmp_path / "p.npz")
    np.savez(tmp_path / "x.npz", x=np.full((5, 2, 12), size, np.float32))
    arguments = (tmp_path / "p.npz", "--backend", "emulator", "--input", tmp_path / "x.npz")
    plain, machine = invoke(*arguments), invoke(*arguments, "--json")
    assert plain.exit_code == 0, (plain.output, plain.exception)
    sentence = "rounding input 'input' to whole numbers of 1 changes it by 25 % (root mean square)"
    assert (f"warning: {sentence}" in plain.stderr) == (size < 1)
    warnings = json.loads(machine.stdout).get("warnings", ())
    assert any(sentence in one for one in warnings) == (size < 1)
