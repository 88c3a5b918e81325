"""A network of rockpool on a Xylo and a Loihi side by side, with both makers' simulators where they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import neurodeploy
from neurodeploy.comparison.side_by_side import SideBySide
from neurodeploy.errors import DeployError
from neurodeploy.files import to_json
from neurodeploy.report.json_file import comparison_schema

MODEL = Path(__file__).parents[1] / "golden" / "frameworks" / "rockpool-lif-bias.nir"


@pytest.fixture(scope="module")
def side(xylosim: None) -> SideBySide:
    rng = np.random.default_rng(1)
    x, seen = ((rng.random((40, 12, 5)) < 0.3).astype(np.uint8) for _ in range(2))
    only = ("reference", "emulator", "xylosim")
    chips = ("loihi2", "xylo-audio2", "xylo-imu")
    return neurodeploy.compare_targets(MODEL, chips, x, calibrate=seen, only=only, decide="count", allow_silent=True)


def test_the_third_equality_holds_and_is_the_familys_own(side: SideBySide) -> None:
    for chip in ("xylo-audio2", "xylo-imu"):
        equalities = side.result["targets"][chip]["equalities"]
        assert equalities["emulator_xylosim"]["status"] == "pass"
        assert "emulator_lava" not in equalities
    equalities = side.result["targets"]["loihi2"]["equalities"]
    assert set(equalities) == {"reference_trained", "emulator_lava"}


def test_a_backend_that_was_asked_for_is_said_where_it_has_nothing_to_run(side: SideBySide) -> None:
    said = side.result["targets"]["loihi2"]["not_run"]["xylosim"]
    assert said == "it runs no programs for the family 'loihi'"


def test_each_chip_has_its_own_limits_and_no_energy_that_nobody_published(side: SideBySide) -> None:
    fit = {one["limit"]: one for one in side.result["targets"]["xylo-imu"]["fit"]}
    assert (fit["input channels"]["used"], fit["input channels"]["available"]) == (5, 16)
    energy = side.result["targets"]["xylo-imu"]["energy"]
    assert energy["profiles"] == []
    assert [one["unit"] for one in energy["measured"]] == ["W", "W"]


def test_the_file_keeps_the_schema(side: SideBySide) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(comparison_schema())
    found = json.loads(to_json(side.result))
    assert not [error.message for error in validator.iter_errors(found)]


@pytest.mark.parametrize("asked", [{"require": ("lava",)}])
def test_what_runs_no_program_of_the_chip_is_refused_where_it_is_asked_for(asked: dict[str, tuple[str, ...]]) -> None:
    x = np.ones((10, 2, 5), np.uint8)
    with pytest.raises(DeployError, match="names lava, which runs no programs for xylo-audio2"):
        neurodeploy.compare(MODEL, "xylo-audio2", x, **asked)  # type: ignore[arg-type]
