"""A chip of one's own, described in a TOML file, wherever a target is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from neurodeploy.backends.run import run
from neurodeploy.cli.main import cli
from neurodeploy.coding.scoring import decide
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program
from neurodeploy.ir.plan import load_plan
from tests.conftest import spikes

pytest.importorskip("torch", reason="the float reference needs torch")

CHIP = """
extends = "loihi2"
title = "My chip"
[number_formats]
weight_bits_max = { value = 4, kind = "tested", source = "our bench" }
bias_mantissa_max = 100
"""


@pytest.fixture
def chip(tmp_path: Path) -> Path:
    (tmp_path / "mychip.toml").write_text(CHIP)
    return tmp_path / "mychip.toml"


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator, fc_model: Path) -> Path:
    x = spikes(rng, 20, 40, 12)
    np.savez(tmp_path / "data.npz", x=x, y=decide(run(fc_model, {"input": x})))
    return tmp_path / "data.npz"


def neurodeploy(*arguments: str | Path) -> str:
    """Return standard output of a command that has to succeed."""
    done = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def compiled(model: Path, chip: Path, *more: str | Path) -> Any:
    output = chip.parent / "p.npz"
    neurodeploy("compile", model, "--target", chip, "-o", output, *more)
    return load_program(output)


def test_the_chip_of_a_file_is_shown_with_what_it_inherits(chip: Path) -> None:
    shown = neurodeploy("targets", chip)
    assert "mychip: My chip, arithmetic loihi" in shown
    assert "weight_bits_max: 4 bit [tested] our bench" in shown
    assert json.loads(neurodeploy("targets", chip, "--json"))["number_formats"]["bias_mantissa_max"]["value"] == 100


def test_a_program_for_a_chip_of_a_file_is_run_and_compared(fc_model: Path, chip: Path, data: Path) -> None:
    program = compiled(fc_model, chip)
    assert program.target == "mychip"
    assert program.number_formats["bias_mantissa_max"] == 100
    assert json.loads(neurodeploy("run", chip.parent / "p.npz", "--backend", "emulator", "--input", data, "--json"))
    common = ["--target", chip, "--input", data, "--tolerance", "100"]
    common += ["--backend", "emulator", "--backend", "reference"]
    found = [
        json.loads(neurodeploy("compare", fc_model, *common, "--json", *more))
        for more in (("--program", chip.parent / "p.npz"), ("--weight-bits", "4"))
    ]
    for result in found:
        assert result["target"] == "mychip"
        assert result["provenance"]["target"] == "My chip"
        assert result["energy"]["figures_of"] == "loihi1"
    assert found[0]["agreement"] == found[1]["agreement"]


def test_a_program_of_the_chip_as_it_was_before_is_refused(fc_model: Path, chip: Path, data: Path) -> None:
    compiled(fc_model, chip)
    chip.write_text(CHIP.replace("= 100", "= 200"))
    with pytest.raises(DeployError, match=r"with other number formats: bias_mantissa_max 100 \(now 200\)"):
        neurodeploy("compare", fc_model, "--target", chip, "--input", data, "--program", chip.parent / "p.npz")


ENERGY = """
[[energy.profiles]]
name = "bench"
title = "Our bench"
source = "lab book"
kind = "tested"
basis = "measured"
synop = 1e-11
neuron_active = 2e-11
neuron_inactive = 1e-11
"""


def test_a_report_shows_the_chip_with_energies_of_its_own(fc_model: Path, chip: Path, data: Path) -> None:
    chip.write_text(CHIP + ENERGY)
    report, weights = chip.parent / "r.html", ["--weight-bits", "4", "--tolerance", "100"]
    backends = ["--backend", "emulator", "--backend", "reference"]
    given = ["--target", chip, "--input", data, *weights, *backends, "--report", report]
    energy = json.loads(neurodeploy("compare", fc_model, *given, "--json"))["energy"]
    assert energy["figures_of"] == "mychip"
    assert energy["statement"] is None
    assert "Our bench" in report.read_text()


def test_bits_are_searched_within_the_chip(fc_model: Path, chip: Path, data: Path) -> None:
    search = ["--search", "bits", "--budget", "accuracy=100", "--calibrate", data]
    assert max(p.weight_bits for p in compiled(fc_model, chip, *search).projections) <= 4


def test_a_model_is_tuned_within_the_chip(fc_model: Path, chip: Path, data: Path) -> None:
    tuned, plan = chip.parent / "tuned.nir", chip.parent / "tuned.yaml"
    train = ["--data", data, "--target", chip, "--epochs", "1", "--weight-bits", "4"]
    neurodeploy("finetune", fc_model, *train, "-o", tuned, "--plan-output", plan)
    assert load_plan(plan).target == "mychip"
    assert compiled(tuned, chip, "--plan", plan).target == "mychip"


def test_a_fact_that_cannot_be_stops_every_verb_with_its_line(fc_model: Path, chip: Path, data: Path) -> None:
    chip.write_text(CHIP + "decay_bits = 10\n")
    for verb in (
        ("targets", chip),
        ("compile", fc_model, "--target", chip, "-o", chip.parent / "p.npz"),
        ("compare", fc_model, "--target", chip, "--input", data),
        ("finetune", fc_model, "--target", chip, "--data", data, "-o", chip.parent / "t.nir"),
        ("demo", "--target", chip, "--output", chip.parent / "demo"),
    ):
        with pytest.raises(DeployError, match=r"decay_bits is 10, but it has to be 12 bit(?s:.*)mychip.toml, line 7"):
            neurodeploy(*verb)
    assert not (chip.parent / "p.npz").exists()
    assert not (chip.parent / "demo").exists()


def test_a_chip_comes_from_a_stream_as_from_a_file(fc_model: Path, chip: Path) -> None:
    arguments = ["compile", str(fc_model), "--target", "-", "-o", str(chip.parent / "stream.npz")]
    done = CliRunner().invoke(cli, arguments, input=CHIP, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    program, expected = load_program(chip.parent / "stream.npz"), compiled(fc_model, chip)
    assert (program.target, program.number_formats) == ("standard input", expected.number_formats)


@pytest.mark.parametrize(
    ("twice", "said"),
    [
        (["--target", "loihi2", "--target", "loihi1"], "target is given twice"),
        (["--target", "loihi2", "--per-channel", "--per-population"], "per_channel is given twice"),
        (["--target", "loihi2", "--scale", "mse", "--scale", "rate"], "scale is given twice"),
    ],
)
def test_an_option_of_one_value_is_given_once(fc_model: Path, tmp_path: Path, twice: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["compile", str(fc_model), *twice, "-o", str(tmp_path / "p.npz")])
    assert isinstance(done.exception, DeployError)
    assert said in str(done.exception)


def test_what_means_the_same_twice_is_taken(fc_model: Path, tmp_path: Path) -> None:
    flags = ["--target", "loihi2", "--allow-silent", "--allow-silent"]
    done = CliRunner().invoke(cli, ["compile", str(fc_model), *flags, "-o", str(tmp_path / "p.npz")])
    assert done.exit_code == 0, done.output
