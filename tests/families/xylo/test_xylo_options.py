"""Options and plans that would change nothing on a Xylo are refused, and what program files cannot mean."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.compiler import compile, compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.families import find_family
from neurodeploy.families.options import CompileOptions
from neurodeploy.ir.plan import InputPlan, Plan, PopulationPlan, ProjectionPlan
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.search.bits import run_search
from tests.families.xylo.networks import chain, data, integrating

CHIP = "xylo-audio2"

WITHOUT_MEANING: dict[str, tuple[Any, str]] = {
    "weight_bits": (4, "--weight-bits"),
    "scale": ("mse", "--scale"),
    "rounding": ("learned", "--rounding"),
    "correct": ((), "--correct"),
    "per_channel": (True, "--per-channel"),
    "message_bits": (4, "--message-bits"),
    "input_scale": (2.0, "--input-scale"),
    "allow_oversize": (True, "--allow-oversize"),
}
WITH_MEANING = {"allow_silent", "approximate", "host"}
IN_VAIN = {"input_range"}
"""Which ``compare`` gives whatever the chip; options.py says that some have no use for it."""


def small() -> Any:
    return chain((6, 8, 3), keep_syn=0.9, keep_mem=0.95)


def test_each_option_is_refused_or_has_a_meaning() -> None:
    assert {field.name for field in fields(CompileOptions)} == {*WITHOUT_MEANING, *WITH_MEANING, *IN_VAIN}


@pytest.mark.parametrize("option", WITHOUT_MEANING)
def test_option_without_a_meaning_is_refused(option: str) -> None:
    network, (value, flag) = small(), WITHOUT_MEANING[option]
    with pytest.raises(DeployError, match="has no meaning for Xylo Audio 2") as caught:
        compile(network, CHIP, calibrate=data(network), **{option: value})
    assert caught.value.where == flag
    assert caught.value.fix == f"Leave {flag} out."


def test_what_it_does_anyway_may_be_said() -> None:
    network = small()
    said = compile(network, CHIP, weight_bits=8, rounding="nearest", input_scale=1)
    plain = compile(network, CHIP)
    for a, b in zip(said.projections, plain.projections, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)


def test_search_of_bits_is_refused() -> None:
    network = small()
    with pytest.raises(DeployError, match="no bits to search for: all weights of Xylo Audio 2"):
        run_search(network, CHIP, data(network), budget="agreement=0.9")


FAULTS: dict[str, tuple[Plan, str]] = {
    "bits": (Plan(projections={"input -> layer0": ProjectionPlan(bits=4)}), "bits is 4, but all weights have 8"),
    "ternary": (Plan(projections={"input -> layer0": ProjectionPlan(bits="ternary")}), "bits is ternary"),
    "rounding": (Plan(projections={"input -> layer0": ProjectionPlan(rounding="learned")}), "rounding is learned"),
    "steps": (Plan(projections={"input -> layer0": ProjectionPlan(learned="8:AA==")}), "rounding is learned"),
    "scale": (Plan(populations={"layer0": PopulationPlan(scale="mse")}), "scale is mse, but"),
    "gain alone": (Plan(populations={"layer0": PopulationPlan(channel_gain=[2.0])}), "which is not given"),
    "threshold": (Plan(populations={"layer0": PopulationPlan(threshold=0)}), "threshold is 0, but"),
    "a threshold": (Plan(populations={"layer0": PopulationPlan(threshold=[9] * 7 + [0])}), "threshold is 0, but"),
    "no current": (Plan(populations={"layer0": PopulationPlan(leak_u=0)}), "keeps nothing never reaches v"),
    "inputs": (Plan(inputs={"input": InputPlan(scale=2.0)}), "inputs count spikes, so that nothing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_plan_that_says_what_xylo_cannot_do_is_refused(fault: str) -> None:
    plan, said = FAULTS[fault]
    with pytest.raises(DeployError, match=f"the plan does not fit: .*{said}") as caught:
        compile(small(), CHIP, plan=plan)
    assert caught.value.where == "--plan"


def test_all_faults_of_a_plan_are_named_at_once() -> None:
    plan = Plan(
        populations={"layer0": PopulationPlan(scale="mse", threshold=0)},
        projections={"input -> layer0": ProjectionPlan(bits=2)},
    )
    with pytest.raises(DeployError, match=r"scale is mse.*threshold is 0.*bits is 2"):
        compile(small(), CHIP, plan=plan)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("latency", -1, "latency is -1"),
        ("latency", 10**9, "latency is 1000000000"),
        ("unit", 0.0, "have to be finite and above 0"),
        ("unit", -1.0, "have to be finite and above 0"),
        ("units", [0.0] * 8, "have to be finite and above 0"),
        ("units", [float("nan")] * 8, "have to be finite and above 0"),
    ],
)
def test_population_that_means_nothing_is_a_fault(key: str, value: Any, said: str) -> None:
    program = compile_with_plan(small(), CHIP).program
    population = replace(program.populations[0], **{key: value})
    changed = replace(program, populations=(population, *program.populations[1:]))
    assert any(said in fault for fault in find_family("xylo").program_faults(changed))


@pytest.mark.parametrize(("key", "value"), [("fires", 3), ("fires", "no"), ("helps", 3)])
def test_population_with_a_field_of_another_kind_is_refused(key: str, value: Any) -> None:
    population = compile(small(), CHIP).populations[0]
    with pytest.raises(ValueError, match=r"has fires .* and helps"):
        replace(population, **{key: value})


@pytest.mark.parametrize(("k", "delay"), [(0, 1), (1, 0), (1, 2)])
def test_synapses_that_take_other_steps_than_the_chips_are_a_fault(k: int, delay: int) -> None:
    program = compile(small(), CHIP)
    projections = list(program.projections)
    projections[k] = replace(projections[k], delay=delay)
    faults = find_family("xylo").program_faults(replace(program, projections=tuple(projections)))
    assert any(f"delay is {delay}" in fault for fault in faults)


def test_program_whose_inputs_are_scaled_is_a_fault() -> None:
    program = replace(compile(small(), CHIP), input_scale={"input": 7.0})
    assert any("inputs input are scaled" in fault for fault in find_family("xylo").program_faults(program))


def test_integrator_that_reaches_its_end_and_starts_again_is_counted_as_saturated() -> None:
    network = integrating()
    program = compile(network, CHIP, calibrate=data(network, rate=0.05), allow_silent=True)
    hot = {"input": np.full((100, 2, 6), 15, np.int32)}
    counted = find_family("xylo").emulate(program, hot, RunOptions()).counters["v_saturated"].sum(axis=(0, 1))
    assert counted[program.populations.index(program.population("layer1"))] > 0
