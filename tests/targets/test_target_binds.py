"""Every fact of a target has a reader: another value makes another program, or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.coding.data import Data
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.program import FORMATTED, program_faults
from neurodeploy.families.loihi.target import ALLOWED
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.families.target_file import load_target
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Linear

SUBTRACT = NeuronRule(reset="subtract")


def chain(rule: NeuronRule = SUBTRACT, **parameters: Any) -> Network:
    """Return 12 neurons of a rule behind 8 inputs, and 6 plain ones behind them that the inputs reach as well."""
    rng = np.random.default_rng(5)
    first = Population("a", (12,), rule, np.float32(0.9), np.float32(3.0), **parameters)
    second = Population("b", (6,), NeuronRule(), np.float32(0.9), np.float32(2.0), bias=np.float32(0.1))
    ways = (("in", "a", (12, 8)), ("a", "b", (6, 12)), ("in", "b", (6, 8)))
    if not rule.fires:
        return Network({"in": (8,)}, (first,), (_linear(rng, *ways[0]),), ("a",), 1e-3, "snntorch")
    return Network({"in": (8,)}, (first, second), tuple(_linear(rng, *way) for way in ways), ("b",), 1e-3, "snntorch")


def _linear(rng: np.random.Generator, source: str, target: str, shape: tuple[int, int]) -> Projection:
    return Projection(source, target, (Linear(rng.normal(0.2, 0.5, shape).astype(np.float32)),))


@dataclass(frozen=True, slots=True)
class Shown:
    """Where a fact shows: facts as TOML, what is compiled, and a refusal, or what is true of the program only then."""

    facts: str
    network: Callable[[], Network] = chain
    options: dict[str, Any] = field(default_factory=dict)
    refusal: str = ""
    holds: Callable[[Program], bool] | None = None


def _most(program: Program, key: str) -> int:
    return max(int(np.abs(getattr(p, key)).max(initial=0)) for p in program.populations)


def _lacks(facts: str, network: Callable[[], Network], refusal: str) -> Shown:
    return Shown(f"neuron.{facts}", network, refusal=refusal)


SHOWN = {
    "neuron.spike": Shown(
        'neuron.spike = [">"]',
        lambda: chain(NeuronRule(reset="subtract", spike=">=")),
        holds=lambda p: p.population("a").model.spike == ">",
    ),
    "neuron.resets": _lacks('resets = ["zero"]', chain, "reset by subtraction"),
    "neuron.spikes_per_step_max": _lacks(
        "spikes_per_step_max = 1", lambda: chain(replace(SUBTRACT, max_spikes=None)), "any number of spikes a step"
    ),
    "neuron.refractory_max": _lacks("refractory_max = 1", lambda: chain(refractory=2), "refractory period of 2 steps"),
    "neuron.adaptive_threshold": _lacks(
        "adaptive_threshold = false", lambda: chain(adapt_decay=0.5, adapt_gain=1.0), "adaptive threshold"
    ),
    "neuron.second_current": _lacks(
        "second_current = false",
        lambda: chain(decay_syn=np.float32(0.5), decay_second=0.7, gain_second=-1.0),
        "second synaptic current",
    ),
    "neuron.reset_currents": _lacks(
        "reset_currents = false",
        lambda: chain(replace(SUBTRACT, reset_currents=True), decay_syn=np.float32(0.5)),
        "reset that clears its currents",
    ),
    "neuron.potential_floor": _lacks("potential_floor = false", lambda: chain(v_min=-1.0), "lower bound"),
    "neuron.potential_output": _lacks(
        "potential_output = false", lambda: chain(NeuronRule(fires=False)), "potential that is read"
    ),
    "number_formats.threshold_bits": Shown(
        "number_formats.threshold_bits = 7", holds=lambda p: _most(p, "threshold_code") < 128
    ),
    "number_formats.bias_mantissa_max": Shown(
        "number_formats.bias_mantissa_max = 5", holds=lambda p: _most(p, "bias_mantissa") <= 5
    ),
    "number_formats.bias_exponent_max": Shown(
        "number_formats.bias_exponent_max = 0",
        lambda: chain(bias=np.float32(5.0)),
        holds=lambda p: all(q.bias_exponent == 0 for q in p.populations),
    ),
    "number_formats.weight_bits_max": Shown(
        "number_formats.weight_bits_max = 4", options={"weight_bits": 5}, refusal="stores 1 to 4 bits"
    ),
    "number_formats.weight_exponent_max": Shown(
        "number_formats.weight_exponent_max = 1", holds=lambda p: max(q.exponent for q in p.projections) <= 1
    ),
    "number_formats.delay_max": Shown(
        "number_formats.delay_max = 0", holds=lambda p: {q.delay for q in p.projections} == {1}
    ),
    "number_formats.message_bits_max": Shown(
        "number_formats.message_bits_max = 8\nneuron.spikes_per_step_max = 127",
        options={"message_bits": 16},
        refusal="takes messages of 2 to 8 bits",
    ),
    "number_formats.input_sum_bits": Shown(
        "number_formats.input_sum_bits = 12",
        holds=lambda p: any("can leave the 12 bits in which the chip sums it" in warning for warning in p.warnings),
    ),
    "limits.cores": Shown("limits.cores = 1\nlimits.neurons_per_core = 17", refusal="neurons: 18 needed, 17 available"),
    "limits.neurons_per_core": Shown(
        "limits.neurons_per_core = 1\nlimits.cores = 10", refusal="neurons: 18 needed, 10 available"
    ),
    "limits.synapse_bytes_per_core": Shown("limits.synapse_bytes_per_core = 1", refusal="128 available"),
}
"""One case for each fact."""


def own_chip(tmp_path: Path, facts: str) -> Path:
    """Return the file of a chip that is Loihi 2 but for some facts."""
    (tmp_path / "mychip.toml").write_text(f'extends = "loihi2"\n{facts}\n')
    return tmp_path / "mychip.toml"


def test_there_is_a_case_for_every_fact_that_can_have_two_values() -> None:
    assert set(SHOWN) == {key for key, one in ALLOWED.items() if one.span is None or one.span[0] < one.span[1]}


@pytest.mark.parametrize("key", SHOWN)
def test_every_fact_has_a_reader(key: str, tmp_path: Path) -> None:
    shown = SHOWN[key]
    assert key in shown.facts
    chip = own_chip(tmp_path, shown.facts)
    usual = compile(shown.network(), "loihi2", **shown.options)
    if shown.refusal:
        with pytest.raises(DeployError, match=shown.refusal):
            compile(shown.network(), chip, **shown.options)
        return
    assert shown.holds is not None
    assert not shown.holds(usual)
    program = compile(shown.network(), chip, **shown.options)
    assert shown.holds(program)
    assert program_faults(program) == []


@pytest.mark.parametrize("seed", range(3))
def test_thresholds_that_calibration_moves_stay_within_the_target(seed: int, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the float reference needs torch")
    network = chain()
    near_the_top = zip(network.populations, (5.5, 2.9), strict=True)
    populations = tuple(replace(p, threshold=np.full(p.shape, value, np.float32)) for p, value in near_the_top)
    x = (np.random.default_rng(seed).random((30, 6, 8)) < 0.3).astype(np.uint8)
    program = compile(
        replace(network, populations=populations),
        own_chip(tmp_path, "number_formats.threshold_bits = 7"),
        calibrate=Data({"in": x}, None, "calibration"),
        scale="percentile",
        rounding="nearest",
        correct=("threshold",),
        per_channel=False,
        weight_bits=4,
        allow_silent=True,
    )
    assert _most(program, "threshold_code") in range(120, 128)


@pytest.mark.parametrize("calibrated", [True, False])
def test_messages_of_a_chip_that_sends_few_bits_are_that_narrow(calibrated: bool, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the float reference needs torch")
    values = np.random.default_rng(0).random((20, 4, 8)).astype(np.float32)
    known: dict[str, Any] = {"calibrate": Data({"in": values}, None, "calibration")}
    known = known if calibrated else {"input_range": {"in": (0.0, 1.0)}}
    chip = own_chip(tmp_path, "number_formats.message_bits_max = 5\nneuron.spikes_per_step_max = 15")
    assert compile(chain(), chip, **known).message_bits == {"in": 5}


def test_a_name_a_file_and_a_target_compile_to_the_same(tmp_path: Path) -> None:
    chip = own_chip(tmp_path, "number_formats.delay_max = 0")
    programs = [compile(chain(), one) for one in (chip, str(chip), load_target(chip))]
    for index, program in enumerate(programs):
        save_program(program, tmp_path / f"{index}.npz")
    assert len({(tmp_path / f"{index}.npz").read_bytes() for index in range(3)}) == 1
    assert {program.target for program in programs} == {"mychip"}


def test_a_program_names_the_arithmetic_of_its_target(tmp_path: Path) -> None:
    assert compile(chain(), own_chip(tmp_path, 'arithmetic = "lava"')).arithmetic == "lava"


@pytest.mark.parametrize("key", FORMATTED)
def test_a_program_that_exceeds_its_own_number_formats_is_no_program(key: str, tmp_path: Path) -> None:
    program = compile(chain(replace(SUBTRACT, max_spikes=None), bias=np.float32(2.0)), "loihi2")
    program = replace(program, number_formats={**program.number_formats, key: 0})
    save_program(program, tmp_path / "p.npz")
    with pytest.raises(DeployError, match=f"{key} of the target is 0"):
        load_program(tmp_path / "p.npz")
