"""The definition is XyloSim, and no rule of it can be left out."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from neurodeploy.families.xylo import definition
from neurodeploy.families.xylo.codes import XyloRun
from tests.families.xylo import golden
from tests.families.xylo.configurations import Case, draw, reached

SEEDS = range(40)
"""Those that ``tests/backends/xylosim`` runs on the real XyloSim."""


@functools.cache
def truth(seed: int) -> tuple[Case, XyloRun]:
    case = draw(seed)
    return case, definition.run(case.codes, case.inputs)


@pytest.mark.parametrize("path", golden.paths(), ids=lambda path: path.stem)
def test_recorded_run_of_xylosim_is_met_in_all_registers(path: Path) -> None:
    codes, inputs, recorded = golden.load(path)
    assert definition.run(codes, inputs).differences(recorded) == {}


def test_all_twelve_recorded_runs_are_there() -> None:
    if not golden.FOLDER.is_dir():
        pytest.skip(f"the recorded runs of XyloSim are not in {golden.FOLDER}; XYLO_GOLDEN names another folder")
    assert len(golden.paths()) >= 12


def test_random_configurations_reach_every_extreme() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        seen.update({extreme: int(is_so) for extreme, is_so in reached(*truth(seed)).items()})
    assert [extreme for extreme, n in seen.items() if n < 2] == []


def test_samples_of_a_batch_do_not_meet() -> None:
    for seed in range(8):
        case, together = truth(seed)
        alone = definition.run(case.codes, case.inputs[:, 1:])
        assert np.array_equal(alone.v, together.v[:, 1:]) and np.array_equal(alone.spikes, together.spikes[:, 1:])


def test_step_leaves_its_state_unchanged() -> None:
    case, _ = truth(2)
    state = definition.step(case.codes, definition.init(case.codes, 2), case.inputs[0].astype(np.int64))
    before = state.hidden.v.copy(), state.hidden.spikes.copy()
    definition.step(case.codes, state, case.inputs[1].astype(np.int64))
    assert np.array_equal(before[0], state.hidden.v) and np.array_equal(before[1], state.hidden.spikes)


RULES = {
    "input counts are capped at 15": ("np.minimum(counts, INPUT_MAX)", "counts"),
    "inputs come before recurrent ones": (
        "codes.weight_in, codes.shift_in)\n    i = add_sources(i, sent, codes.weight_rec, codes.shift_rec)",
        "codes.weight_in[:0], 0)\n    i = add_sources(i, sent, codes.weight_rec, codes.shift_rec)\n"
        "    i = add_sources(i, np.minimum(counts, INPUT_MAX), codes.weight_in, codes.shift_in)",
    ),
    "sources come in ascending order": ("in range(len(weight))", "in reversed(range(len(weight)))"),
    "currents saturate after each source": (
        "        i = saturate(i + spikes[:, source, None, None] * shifted[source])\n    return i",
        "        i = i + spikes[:, source, None, None] * shifted[source]\n    return saturate(i)",
    ),
    "currents saturate": (
        "i = saturate(i + spikes[:, source, None, None] * shifted[source])",
        "i = cut(i + spikes[:, source, None, None] * shifted[source])",
    ),
    "a shifted weight is cut to 16 bits": ("cut(weight << shift)", "(weight << shift)"),
    "the recurrent weights have a shift of their own": (
        "codes.weight_rec, codes.shift_rec", "codes.weight_rec, codes.shift_in",
    ),
    "hidden spikes arrive a step later at the outputs": ("state.outputs.i, sent,", "state.outputs.i, 0 * sent,"),
    "a current decays after its input": (
        "add_sources(state.hidden.i,", "add_sources(state.hidden.i - lost(state.hidden.i, codes.hidden.dash_syn),",
        "add_sources(state.outputs.i,", "add_sources(state.outputs.i - lost(state.outputs.i, codes.outputs.dash_syn),",
        "    i = i - lost(i, neurons.dash_syn)\n", "",
    ),
    "v takes the currents after their decay": (
        "    i = i - lost(i, neurons.dash_syn)\n", "    before, i = i, i - lost(i, neurons.dash_syn)\n",
        "i.sum(axis=1)", "before.sum(axis=1)",
    ),
    "v takes both currents": ("i.sum(axis=1)", "i[:, 0]"),
    "a positive register loses at least 1": ("np.where((shifted == 0) & (x > 0), 1, shifted)", "shifted"),
    "a negative register loses by rounding down": (
        "shifted = x >> dash", "shifted = np.sign(x) * (np.abs(x) >> dash)",
    ),
    "the decay of v is cut to 16 bits": ("cut(-lost(v, neurons.dash_mem))", "(-lost(v, neurons.dash_mem))"),
    "the sum of both currents is wider than 16 bits": (
        "change = saturate(change + i.sum(axis=1))", "change = saturate(change + cut(i.sum(axis=1)))",
    ),
    "the change of v saturates before the bias": (
        "change = saturate(change + i.sum(axis=1))", "change = change + i.sum(axis=1)",
    ),
    "the change of v saturates after the bias": (
        "change = saturate(change + neurons.bias_code)", "change = change + neurons.bias_code",
    ),
    "the bias comes after the currents": (
        "change = saturate(change + i.sum(axis=1))\n    change = saturate(change + neurons.bias_code)",
        "change = saturate(change + neurons.bias_code)\n    change = saturate(change + i.sum(axis=1))",
    ),
    "v saturates": ("saturate(v + change)", "cut(v + change)"),
    "version 1 sums at once": ("if version == 1:", "if version == 0:"),
    "v that meets its threshold fires": ("v[:, k] >= threshold", "v[:, k] > threshold"),
    "a hidden neuron sends at most 31": ("codes.alias, HIDDEN_MAX", "codes.alias, 255"),
    "an output sends at most 1": ("no_alias, OUTPUT_MAX", "no_alias, HIDDEN_MAX"),
    "each spike subtracts the threshold": ("v[:, k] - fires * threshold", "np.where(fires, 0, v[:, k])"),
    "the subtraction wraps": ("cut(v[:, k] - fires * threshold)", "saturate(v[:, k] - fires * threshold)"),
    "aliases add their spikes": ("if alias[k] != NO_ALIAS:", "if False:"),
    "aliased spikes are capped": (
        "np.minimum(spikes[:, alias[k]] + spikes[:, k], most)", "spikes[:, alias[k]] + spikes[:, k]",
    ),
    "an alias counts before a later neuron fires": (
        "    for k, threshold in enumerate(neurons.threshold_code):\n",
        "    for k in [*np.flatnonzero(alias == NO_ALIAS), *np.flatnonzero(alias != NO_ALIAS)]:\n"
        "        threshold = neurons.threshold_code[k]\n",
    ),
}  # fmt: skip
"""Each rule, the words of the definition that state it, and after each those that would stand there without it."""


def changed(*words: str) -> ModuleType:
    """Return the definition with other words in it: what stands there, what shall stand there, and so on."""
    source = Path(definition.__file__).read_text()
    for old, new in zip(words[::2], words[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    module = ModuleType(definition.__name__)
    exec(compile(source, "changed definition", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_can_be_left_out(rule: str) -> None:
    without = changed(*RULES[rule])
    assert any(without.run(case.codes, case.inputs).differences(run) for case, run in map(truth, SEEDS))
