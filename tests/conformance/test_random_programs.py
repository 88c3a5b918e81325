"""Lava's real runtime, the twin and the emulator agree on random programs, value by value, raw hardware rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava.backend import Lava
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import LAVA
from neurodeploy.families.loihi.codes import RESETS
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions
from tests.conformance.programs import census, differences, draw

OPTIONS = RunOptions(record=("spikes", "u", "v"), arithmetic="lava", raw_time=True)
FIRST_SEED, N_PROGRAMS = 15, 28
"""Few programs, for each is a dozen processes of Lava, and yet of all kinds."""

BATCH = 50


@dataclass(frozen=True, eq=False, slots=True)
class Proof:
    """Dozens of programs side by side, what entered them, and what the twin and Lava computed."""

    program: Program
    inputs: Inputs
    traces: definition.Traces
    of_lava: Recording


def prove(seed: int, n_programs: int) -> Proof:
    if (reason := Lava().missing()) is not None:
        pytest.skip(reason)
    program, inputs = draw(seed, n_programs)
    traces = definition.run(program, {name: values.astype(np.int64) for name, values in inputs.items()}, LAVA)
    return Proof(program, inputs, traces, Lava().run(program, inputs, OPTIONS))


@pytest.fixture(scope="module")
def proof() -> Proof:
    return prove(FIRST_SEED, N_PROGRAMS)


def test_lava_equals_the_twin(proof: Proof) -> None:
    assert not differences(proof.of_lava, proof.traces)


def test_emulator_equals_lava(proof: Proof) -> None:
    emulated = Emulator().run(proof.program, proof.inputs, OPTIONS)
    for node, observed in proof.of_lava.nodes.items():
        assert set(observed) == set(emulated.nodes[node])
        for key, values in observed.items():
            assert values.dtype == emulated.nodes[node][key].dtype
            np.testing.assert_array_equal(emulated.nodes[node][key], values, err_msg=f"{node} {key}")


def test_last_sample_runs_as_the_first_did(proof: Proof) -> None:
    for node, observed in proof.of_lava.nodes.items():
        for key, values in observed.items():
            np.testing.assert_array_equal(values[:, -1], values[:, 0], err_msg=f"{node} {key}")


def test_samples_between_differ_from_the_first(proof: Proof) -> None:
    v = [observed["v"] for observed in proof.of_lava.nodes.values()]
    assert sum((values[:, 1] != values[:, 0]).any() for values in v) > len(v) / 2


def test_programs_are_of_all_kinds(proof: Proof) -> None:
    kinds = census(proof.program)
    synapses = ("dense", "sparse", "conv", "reshaped", "delayed", "graded")
    for kind in ("LIF", "LIFReset", "TernaryLIF", "custom", *synapses, "1 axes", "2 axes", "3 axes", "4 axes"):
        assert kinds[kind] > 4, kinds
    assert kinds["0 axes"]
    models = [p.model for p in proof.program.populations]
    assert {m.reset for m in models} == set(RESETS)
    assert max(p.delay for p in proof.program.projections) > 50
    for claim in (
        [m.max_spikes is None for m in models],
        [m.max_spikes not in (None, 1) for m in models],
        [m.refractory > 0 for m in models],
        [not m.fires for m in models],
        [m.spike == ">=" for m in models],
        [m.adapts == "v" for m in models],
        [m.clears_u == "now" for m in models],
        [m.clears_u == "late" for m in models],
        [p.du_second is not None for p in proof.program.populations],
        [p.v_min is not None for p in proof.program.populations],
        [p.adapt_step is not None for p in proof.program.populations],
        [p.source == p.target for p in proof.program.projections],
    ):
        assert sum(claim) > 1


def test_most_populations_fire_and_rest_and_registers_overflow(proof: Proof) -> None:
    rates = [(proof.traces.spikes[p.name] != 0).mean() for p in proof.program.populations if p.model.fires]
    assert sum(0.005 < rate < 0.95 for rate in rates) > len(rates) / 2
    assert proof.traces.counters["u_wraps"].sum() > 100
    assert proof.traces.counters["v_clips"].sum() > 100
    assert max(np.abs(spikes).max() for spikes in proof.traces.spikes.values()) > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *range(1000, 1000 + 6 * BATCH, BATCH)])
def test_hundreds_of_programs_are_the_same_in_lava_twin_and_emulator(seed: int) -> None:
    proof = prove(seed, BATCH)
    assert not differences(proof.of_lava, proof.traces)
    assert not differences(Emulator().run(proof.program, proof.inputs, OPTIONS), proof.traces)
