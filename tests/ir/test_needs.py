"""What a program needs is said by its fields, and whoever does not know a need refuses it by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy
from neurodeploy.backends import loihi
from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava import backend as lava
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.compiler import compile
from neurodeploy.cost import energy
from neurodeploy.errors import DeployError, LackingError
from neurodeploy.families import program_file
from neurodeploy.families.loihi import affine_form, definition, exactness, overflow
from neurodeploy.families.loihi import bounds as reach
from neurodeploy.families.loihi.arithmetic import LOIHI
from neurodeploy.families.loihi.check import observe, program_check
from neurodeploy.families.loihi.codes import (
    ADAPTATIONS,
    CLEARED,
    CONDITIONS,
    PLAIN,
    RESETS,
    LoihiPopulation,
    NeuronModel,
)
from neurodeploy.families.loihi.emulator import tables
from neurodeploy.families.loihi.quantise import population
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.families.target_file import load_target, target_names
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.needs import EXTRAS, LAYOUT, MODEL, NEEDS
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.ir.synapses import Linear
from tests.conformance.programs import draw

neuron = pytest.importorskip("neurodeploy.backends.reference.neuron", reason="the float reference needs torch")
integer = pytest.importorskip("neurodeploy.families.loihi.finetuning.integer", reason="fine-tuning needs torch")

NO_BOARD = "lava-loihi is given plain neurons and dense synapses only; nothing else was ever seen to run on a board"
NOT_COMPILED = "no float neuron of ours becomes such, so the compiler never quantises one"

CONSUMERS: dict[str, tuple[frozenset[str], dict[str, str]]] = {
    "definition": (definition.CAN, {}),
    "kernels": (tables.CAN, {}),
    "bounds": (reach.CAN, {}),
    "overflow": (overflow.CAN, {}),
    "observation": (observe.CAN, {}),
    "energy": (energy.CAN, {}),
    "fine-tuning": (integer.CAN, {}),
    "Lava": (lava.CAN, {}),
    "board": (loihi.CAN, dict.fromkeys(set(NEEDS) - loihi.CAN, NO_BOARD)),
    "program file": (program_file.CAN, {}),
    "quantisation": (population.CAN, dict.fromkeys(("ternary", "negative-exponent", "host"), NOT_COMPILED)),
}
"""Whoever computes with programs: what it can, and what it refuses, with the reason."""

ROOMS_OF_OTHERS = {
    "families/loihi/codes.py": "the fields themselves",
    "families/loihi/program.py": "looks at numbers alone, for the target's formats",
    "ir/needs.py": "the needs themselves",
    "families/loihi/check/program_check.py": "its bounds are reach's, its observations those of observe.py",
    "families/loihi/exactness.py": "chooses the neuron, for quantise/population.py",
    "families/loihi/affine_form.py": "brings float neurons into affine form, for quantise/population.py",
    "families/loihi/step.py": "a neuron of definition.py and of the worker, which look at what they can",
    "families/loihi/registers.py": "codes for quantise/population.py",
    "families/loihi/compile/losses.py": "looks at what quantise/population.py made, by reach's bounds",
    "families/loihi/relays.py": "makes populations that keep time, and reads none",
    "families/loihi/emulator/limits.py": "ranges for tables.py",
    "backends/lava/worker.py": "runs what backends/lava/backend.py lets through",
}
"""Files that know of a neuron's fields and have no ``CAN``, each with the reason."""


@dataclass(frozen=True, slots=True)
class Dendrite(NeuronModel):
    """A neuron that nobody knows."""

    dendrite: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class WithDendrite(LoihiPopulation):
    """Codes that nobody knows."""

    dendrite_decay: np.ndarray | None = None


def chain(make: Callable[..., LoihiPopulation] = LoihiPopulation, **extra: Any) -> Program:
    """Return three neurons behind two inputs."""
    zeros = np.zeros(3, np.int32)
    codes = {key: zeros for key in ("du", "dv", "bias_mantissa", "u_init", "v_init")}
    lif = make("lif", (3,), **codes, threshold_code=zeros + 5, bias_exponent=0, latency=0, unit=64.0, **extra)
    synapses = CodedProjection("in", "lif", np.full((3, 2), 4, np.int16), 0, 8, "mixed", 1)
    return Program("loihi2", "loihi", {"in": (2,)}, (lif,), (synapses,), ("lif",), 1e-3, "nir", {})


SPIKES = {"in": np.ones((4, 1, 2), np.uint8)}

USES: dict[str, Callable[[Program, Path], object]] = {
    "definition": lambda p, _: definition.run(p, SPIKES, LOIHI),
    "start of the definition": lambda p, _: definition.start(p.populations[0], 1),
    "kernels": lambda p, _: Emulator().run(p, SPIKES, RunOptions()),
    "bounds": lambda p, _: reach.reach(p.populations[0], p.projections, ((0, 1),), LOIHI),
    "check": lambda p, _: program_check.check_program(p),
    "overflow": lambda p, _: overflow.overflow_warnings(p.populations[0], p.projections, ((0, 1),)),
    "differences": lambda p, _: overflow.arithmetic_differences(p),
    "observation": lambda p, _: observe.observe_on_data(p, SPIKES),
    "energy": lambda p, _: energy.mean_events(
        p, ["lif"], {key: np.zeros(1) for key in definition.COUNTERS}, 4, {"in": 1.0}
    ),
    "fine-tuning": lambda p, _: integer.IntegerNetwork(p),
    "Lava": lambda p, _: lava.check_program(p),
    "board": lambda p, _: loihi.check(p, RunOptions()),
    "program file": lambda p, folder: save_program(p, folder / "p.npz"),
}


@pytest.mark.parametrize("use", USES)
def test_everybody_takes_the_plain_neuron(use: str, tmp_path: Path) -> None:
    USES[use](chain(), tmp_path)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("program", "need"),
    [
        (chain(model=Dendrite(dendrite=2)), "dendrite"),
        (chain(WithDendrite, dendrite_decay=np.ones(3, np.int32)), "dendrite_decay"),
    ],
)
def test_everybody_refuses_a_neuron_that_it_does_not_know(
    use: str, program: Program, need: str, tmp_path: Path
) -> None:
    with pytest.raises(DeployError, match=need):
        USES[use](program, tmp_path)


def test_the_compiler_refuses_a_neuron_that_it_does_not_know(fc_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affine_form, "integer_model", lambda *_: Dendrite(dendrite=2))
    with pytest.raises(LackingError, match="quantisation cannot compute with dendrite of lif1"):
        compile(fc_model, "loihi2")


@dataclass(frozen=True, slots=True)
class DendriteRule(NeuronRule):
    """A float rule that nobody knows."""

    dendrite: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class WithRate(Population):
    """A float population that nobody knows."""

    dendrite_rate: float | None = None


def network(make: Callable[..., Population] = Population, rule: NeuronRule | None = None, **extra: Any) -> Network:
    """Return three float neurons behind two inputs."""
    neurons = make("lif", (3,), rule or NeuronRule(), np.float32(0.9), np.float32(1.0), **extra)
    synapses = Projection("in", "lif", (Linear(np.ones((3, 2), np.float32)),))
    return Network({"in": (2,)}, (neurons,), (synapses,), ("lif",), 1e-3, "nir")


@pytest.mark.parametrize(
    ("unknown", "field"),
    [
        (network(rule=DendriteRule(dendrite=0.5)), "dendrite"),
        (network(WithRate, dendrite_rate=0.5), "dendrite_rate"),
    ],
)
def test_a_float_neuron_with_more_than_is_read_is_refused(unknown: Network, field: str) -> None:
    with pytest.raises(LackingError, match=f"the compiler does not support {field} of 'lif'"):
        compile(unknown, "loihi2")
    with pytest.raises(LackingError, match=f"the reference does not support {field} of 'lif'"):
        Reference().run(unknown, {"in": np.ones((4, 1, 2), np.float32)}, RunOptions())


@pytest.mark.parametrize("reader", [exactness, neuron], ids=["compiler", "reference"])
def test_all_fields_of_float_neurons_are_read(reader: Any) -> None:
    assert set(reader.READS_OF_RULE) == {field.name for field in fields(NeuronRule)}
    assert set(reader.READS_OF_POPULATION) == {field.name for field in fields(Population)}


def test_a_chip_refuses_what_no_fact_says_that_it_has() -> None:
    for name in target_names():
        assert load_target(name).can() <= set(NEEDS)
    assert set(NEEDS) - load_target("loihi2").can() == set()
    assert "dendrite" not in load_target("loihi2").can()


def test_every_field_says_what_it_needs() -> None:
    assert set(MODEL) == {field.name for field in fields(NeuronModel)}
    assert set(EXTRAS) == {field.name for field in fields(LoihiPopulation) if field.default is None}
    optional = {field.name for field in fields(CodedProjection) if field.default is None or field.default == 0}
    assert set(LAYOUT) == optional


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("reset", value) for value in RESETS[1:]),
        *(("spike", value) for value in CONDITIONS[1:]),
        *(("adapts", value) for value in ADAPTATIONS[1:]),
        *(("clears_u", value) for value in CLEARED[1:]),
        ("max_spikes", 3),
        ("max_spikes", None),
        ("refractory", 1),
        ("reset_interval", 5),
        ("fires", False),
    ],
)
def test_every_value_of_a_neuron_model_needs_something_that_has_words(key: str, value: Any) -> None:
    assert replace(PLAIN, **{key: value}).needs() & set(NEEDS)
    assert replace(PLAIN, **{key: value}).needs() <= set(NEEDS)


def test_an_offset_of_no_interval_needs_nothing() -> None:
    assert NeuronModel(reset_offset=3).needs() == frozenset()
    assert NeuronModel(reset_offset=3) == PLAIN


def test_all_needs_occur_in_random_programs_but_what_the_host_does() -> None:
    program, _ = draw(0, 60)
    found = {need for part in program.parts for need in part.needs()}
    assert found == set(NEEDS) - {"host", "negative-exponent"}


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_everybody_says_of_every_need_whether_it_is_met(consumer: str) -> None:
    can, cannot = CONSUMERS[consumer]
    assert can | set(cannot) == set(NEEDS)
    assert not can & set(cannot)


def test_every_file_that_reads_fields_of_neurons_says_what_it_can() -> None:
    package = Path(neurodeploy.__file__).parent
    reads = re.compile(r"threshold_low_code|adapt_step|du_second|reset_interval|clears_u")
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if reads.search(text := path.read_text()) and not re.search(r"^CAN = ", text, re.MULTILINE)
    }
    assert found == set(ROOMS_OF_OTHERS)


def _changed(tmp_path: Path, **arrays: np.ndarray) -> Path:
    save_program(chain(), tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as stored:
        np.savez(tmp_path / "q.npz", **{**stored, **arrays})
    return tmp_path / "q.npz"


@pytest.mark.parametrize("name", ["population/lif/dendrite_decay", "population/other/du", "projection/7/weight", "x"])
def test_an_array_that_nobody_reads_is_refused_by_name(name: str, tmp_path: Path) -> None:
    load_program(_changed(tmp_path))
    with pytest.raises(DeployError, match=f"nothing reads the arrays {name}"):
        load_program(_changed(tmp_path, **{name: np.zeros(3, np.int32)}))


def test_a_key_of_the_manifest_that_nobody_reads_is_refused_by_name(tmp_path: Path) -> None:
    save_program(chain(), tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as stored:
        manifest = np.array(str(stored["manifest"]).replace('"format":', '"wings": 2, "format":', 1))
    with pytest.raises(DeployError, match="nothing reads wings of the manifest"):
        load_program(_changed(tmp_path, manifest=manifest))
