"""Plans: files that come back as they were, programs that come back byte for byte, faults named with their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.coding.data import Data
from neurodeploy.compiler import compile_with_plan
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.program import program_faults
from neurodeploy.families.program_file import save_program
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.plan import (
    BiasPlan,
    Plan,
    PopulationPlan,
    ProjectionPlan,
    load_plan,
    pack_steps,
    save_plan,
    to_yaml,
    unpack_steps,
)
from tests.conftest import spikes

CODE = st.one_of(st.integers(0, 4095), st.lists(st.integers(0, 4095), min_size=2, max_size=5))
NAMES = st.text(min_size=1, max_size=8)
POPULATIONS = st.builds(
    PopulationPlan,
    scale=st.sampled_from([None, "range", "percentile", "mse", "rate"]),
    codes_per_volt=st.one_of(st.none(), st.floats(1e-6, 1e9)),
    channel_gain=st.one_of(st.none(), st.lists(st.floats(0.1, 8), min_size=1, max_size=4)),
    threshold=st.one_of(st.none(), CODE),
    leak_u=st.one_of(st.none(), CODE),
    leak_v=st.one_of(st.none(), CODE),
    bias=st.one_of(st.none(), st.builds(BiasPlan, mantissa=CODE, exponent=st.integers(0, 7))),
)
PROJECTIONS = st.builds(
    ProjectionPlan,
    bits=st.sampled_from([None, 1, 4, 8, "binary", "ternary"]),
    exponent=st.one_of(st.none(), st.integers(0, 7)),
    rounding=st.sampled_from([None, "nearest", "learned"]),
)
PLANS = st.builds(
    Plan,
    target=st.sampled_from([None, "loihi2"]),
    populations=st.dictionaries(NAMES, POPULATIONS, max_size=3),
    projections=st.dictionaries(NAMES, PROJECTIONS, max_size=3),
)
MODELS = ("fc_model", "conv_model", "recurrent_model")
METHODS = (
    {},
    {"weight_bits": 4, "scale": "percentile"},
    {"weight_bits": "ternary", "per_channel": True},
    {"weight_bits": "binary"},
    {"weight_bits": 4, "scale": "rate", "calibrated": True},
    {
        "weight_bits": 3,
        "rounding": "learned",
        "correct": ("bias", "threshold"),
        "per_channel": True,
        "calibrated": True,
    },
)


@settings(deadline=None)
@given(PLANS)
def test_a_plan_comes_back_from_its_file(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> None:
    path = tmp_path_factory.mktemp("plan") / "p.yaml"
    save_plan(plan, path)
    assert load_plan(path).model_dump() == plan.model_dump()
    assert to_yaml(load_plan(path)) == path.read_text()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_plan_gives_its_program_back_byte_for_byte(
    kind: str, method: dict, request: pytest.FixtureRequest, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = request.getfixturevalue(kind)
    options = {key: value for key, value in method.items() if key != "calibrated"}
    if method.get("calibrated"):
        inputs = read_network(model)[0].inputs
        options["calibrate"] = Data({n: spikes(rng, 20, 6, *shape) for n, shape in inputs.items()}, None, "test")
    compiled = compile_with_plan(model, "loihi2", **options)
    save_plan(compiled.plan, tmp_path / "p.yaml")
    again = compile_with_plan(model, "loihi2", plan=tmp_path / "p.yaml")
    assert again.plan == compiled.plan
    for name, one in (("a", compiled), ("b", again)):
        save_program(one.program, tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert not program_faults(again.program)


def test_a_part_of_a_plan_is_completed(fc_model: Path) -> None:
    name = read_network(fc_model)[0].projections[0].name
    compiled = compile_with_plan(fc_model, "loihi2", plan=Plan(projections={name: ProjectionPlan(bits=4)}))
    assert compiled.plan.projections[name].bits == 4
    assert [p.weight_bits for p in compiled.program.projections] == [4, 8]
    assert all(p.threshold is not None for p in compiled.plan.populations.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bits: 8", "bitz: 8", r"line \d+: projections\..*bitz: Extra inputs"),
        ("bits: 8", "bits: 9", r"line \d+: .*bits: Input should be 1, 2"),
        ("exponent: ", "exponent: 1", r"line \d+: .*exponent"),
        ("threshold: ", "threshold: 99999", r"line \d+: threshold is"),
        ("leak_v: ", "leak_v: 9", r"line \d+: leak_v is"),
        ("target: loihi2", "target: loihi9", r"line 6: the plan is for target 'loihi9'"),
        ("version: 1", "version: 2", r"line 5: version: Input should be 1"),
        ("  lif1:", "  lifx:", r"line \d+: 'lifx' is not one of the model's populations"),
        ("populations:", "populations: [", "not readable YAML"),
    ],
)
def test_what_a_plan_cannot_be_is_refused_with_its_line(
    fc_model: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "p.yaml"
    text = to_yaml(compile_with_plan(fc_model, "loihi2").plan)
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DeployError, match=message):
        compile_with_plan(fc_model, "loihi2", plan=path)


def test_a_list_of_the_wrong_length_is_refused_with_its_line(fc_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    plan = compile_with_plan(fc_model, "loihi2").plan
    name, own = next(iter(plan.populations.items()))
    populations = {**plan.populations, name: own.model_copy(update={"threshold": [1, 2]})}
    save_plan(plan.model_copy(update={"populations": populations}), path)
    with pytest.raises(DeployError, match=r"line \d+: there are 2 values for"):
        compile_with_plan(fc_model, "loihi2", plan=path)


def test_steps_of_learned_rounding_come_back(rng: np.random.Generator) -> None:
    steps = rng.integers(-300, 400, 50).astype(np.int16)
    np.testing.assert_array_equal(unpack_steps(pack_steps(steps, 4), 50, 4, "w"), steps)
    with pytest.raises(DeployError, match="learned rounding of 50 weights of 4 bits, but the projection has 49"):
        unpack_steps(pack_steps(steps, 4), 49, 4, "w")
    with pytest.raises(DeployError, match="of 4 bits, but the projection has 50 weights of 2 bits"):
        unpack_steps(pack_steps(steps, 4), 50, 2, "w")


@pytest.mark.parametrize(
    "name",
    ["snntorch-leaky-subtract", "snntorch-synaptic-subtract", "norse-cuba", "norse-box-readout", "norse-recurrent"],
)
@pytest.mark.parametrize("method", [{"scale": "mse"}, {"scale": "rate", "weight_bits": 4}], ids=str)
def test_plans_of_framework_networks_give_their_programs_back(
    name: str, method: dict, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = Path(__file__).parents[1] / "golden" / "frameworks" / f"{name}.nir"
    inputs = read_network(model)[0].inputs
    data = Data({n: spikes(rng, 20, 6, *shape, share=0.4) for n, shape in inputs.items()}, None, "test")
    learned = {"rounding": "learned", "correct": ("bias", "threshold"), "per_channel": True, "allow_silent": True}
    compiled = compile_with_plan(model, "loihi2", calibrate=data, **learned, **method)
    again = compile_with_plan(model, "loihi2", plan=compiled.plan, allow_silent=True)
    for which, one in (("a", compiled), ("b", again)):
        save_program(one.program, tmp_path / f"{which}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    codes_per_volt: ", "    codes_per_volt: 9", "codes per volt its threshold is"),
        ("  lif1:", "  lif1: {}\n  lif1:", "the key 'lif1' appears twice"),
    ],
)
def test_scales_beyond_the_registers_and_repeated_keys_are_refused(
    fc_model: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "p.yaml"
    text = to_yaml(compile_with_plan(fc_model, "loihi2").plan)
    new = new + "9" * 6 if "codes" in old else new
    kept = [line for line in text.splitlines() if not line.strip().startswith("threshold:")]
    path.write_text("\n".join(kept).replace(old, new, 1))
    with pytest.raises(DeployError, match=message):
        compile_with_plan(fc_model, "loihi2", plan=path)
