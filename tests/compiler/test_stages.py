"""The stages of compiling: their order, what they are checked for, how they are named and dumped."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.compiler import compile_with_plan
from neurodeploy.compiler.stages import STAGES, Stage, all_stages, run_stage
from neurodeploy.errors import DeployError
from neurodeploy.families import family_names, find_family
from neurodeploy.families.base import Draft
from neurodeploy.families.program_file import load_program, program_sha256
from tests.command import neurodeploy

NAMES = ["read", "fold", "approximate", "schedule", "scale", "code", "map", "check"]


def test_the_order_is_one_tuple_and_each_stage_says_what_it_leaves() -> None:
    assert [stage.name for stage in all_stages()] == NAMES
    assert all(stage.leaves.endswith(".") for stage in STAGES)


@pytest.mark.parametrize("family", family_names())
def test_every_family_has_all_stages_but_the_first(family: str) -> None:
    assert list(find_family(family).stages()) == NAMES[1:]


def test_each_stage_is_logged_with_its_time(fc_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "neurodeploy.compiler"):
        compile_with_plan(fc_model, "loihi2", allow_silent=True)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == NAMES


def test_a_dump_holds_what_each_stage_left(fc_model: Path, tmp_path: Path) -> None:
    compiled = compile_with_plan(fc_model, "loihi2", allow_silent=True, dump=tmp_path / "made")
    found = {path.name for path in (tmp_path / "made").glob("*.json")}
    assert found == {f"{number}-{name}.json" for number, name in enumerate(NAMES, start=1)}
    scaled, coded = (json.loads((tmp_path / "made" / name).read_text()) for name in ("5-scale.json", "6-code.json"))
    for population in compiled.program.populations:
        per_volt = compiled.plan.populations[population.name].codes_per_volt
        assert scaled["scale"][population.name]["codes_per_volt"] == [per_volt]
        assert coded["code"][population.name]["codes_per_volt"] == per_volt
    mapped = load_program(tmp_path / "made" / "7-map.npz")
    assert program_sha256(mapped) == program_sha256(compiled.program)
    with np.load(tmp_path / "made" / "1-read.npz") as network:
        assert any(name.endswith("weight") for name in network.files)


def test_the_command_dumps_too_and_a_search_refuses_it(fc_model: Path, tmp_path: Path) -> None:
    words = ["compile", fc_model, "--target", "loihi2", "--allow-silent", "-o", tmp_path / "p.npz"]
    done = neurodeploy(*words, "--dump", tmp_path / "made")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made" / "8-check.json").is_file()
    (tmp_path / "file").write_text("")
    assert neurodeploy(*words, "--dump", tmp_path / "file").returncode == 2
    done = neurodeploy(*words, "--search", "bits", "--dump", tmp_path / "made")
    assert done.returncode == 2
    assert "a search of bits compiles many times" in done.stderr


def test_a_refusal_names_its_stage(fc_model: Path) -> None:
    with pytest.raises(DeployError) as refused:
        compile_with_plan(fc_model, "loihi2", plan=_other_plan())
    assert refused.value.stage == "fold"
    assert "\n  stage: fold\n" in refused.value.on_command_line()


def _other_plan() -> Any:
    from neurodeploy.ir.plan import Plan

    return Plan(target="loihi1")


def draft_of(model: Path) -> Draft:
    """Return what the stage ``read`` leaves of a model."""
    from neurodeploy.compiler.pipeline import Request, read
    from neurodeploy.families.options import CompileOptions
    from neurodeploy.families.target_file import load_target

    return read(Request(model, load_target("loihi2"), None, None, None, None, CompileOptions()))


def test_a_stage_that_dies_is_named_beside_its_error(fc_model: Path) -> None:
    def dies() -> Draft:
        raise ZeroDivisionError("by chance")

    with pytest.raises(ZeroDivisionError) as died:
        run_stage(Stage("prune", "Small weights are 0."), dies, draft_of(fc_model))
    assert any("'prune'" in note for note in died.value.__notes__)


def test_an_analysis_that_changes_the_network_is_refused(fc_model: Path) -> None:
    draft = draft_of(fc_model)
    changed = replace(draft, network=replace(draft.network))
    with pytest.raises(AssertionError, match="it is an analysis, and changed the network"):
        run_stage(Stage("look", "Nothing is changed.", is_analysis=True), lambda: changed, draft)


def test_a_stage_that_drops_an_output_is_refused(fc_model: Path) -> None:
    draft = draft_of(fc_model)
    changed = replace(draft, network=replace(draft.network, outputs=()))
    with pytest.raises(AssertionError, match="it left other inputs or outputs"):
        run_stage(Stage("prune", "Small weights are 0."), lambda: changed, draft)


def test_a_stage_that_changes_latencies_is_refused(fc_model: Path) -> None:
    draft = draft_of(fc_model)
    family = find_family("loihi")
    for name in NAMES[1:-1]:
        draft = family.stages()[name](draft)
    changed = replace(draft, latency={name: step + 1 for name, step in draft.latency.items()})
    with pytest.raises(AssertionError, match="other latencies than were scheduled"):
        run_stage(Stage("late", "Rows come later."), lambda: changed, draft)
